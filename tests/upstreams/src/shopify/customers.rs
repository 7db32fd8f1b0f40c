//! `customers`: list, search by address or name, read, create, update.

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::page::{self, Entry};
use super::store::{Store, object};
use super::{Answer, Call};

/// What a PUT may change.
const CHANGEABLE: [&str; 6] = ["email", "first_name", "last_name", "note", "tags", "phone"];

pub(super) fn list(store: &Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    page::answer("customers", call, &["ids", "since_id", "email"], |filters| {
        let found = store.customers.iter().filter(|(id, customer)| {
            filters.iter().all(|(name, value)| match name.as_str() {
                "ids" => value.split(',').any(|wanted| wanted.trim().parse() == Ok(**id)),
                "since_id" => value.parse().is_ok_and(|since: u64| **id > since),
                "email" => text(customer, "email").eq_ignore_ascii_case(value),
                _ => true,
            })
        });
        Ok(found.map(entry).collect())
    })
}

/// `query` is `field:value` for the fields of a customer, or a word that any of them contains.
pub(super) fn search(store: &Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    page::answer("customers", call, &["query"], |filters| {
        let query = filters.get("query").map(|query| query.to_lowercase()).unwrap_or_default();
        let found = store.customers.iter().filter(|(_, customer)| match query.split_once(':') {
            Some((field, value)) => text(customer, field.trim()).eq_ignore_ascii_case(value.trim().trim_matches('"')),
            None => ["email", "first_name", "last_name", "tags"]
                .iter()
                .any(|field| text(customer, field).to_lowercase().contains(&query)),
        });
        Ok(found.map(entry).collect())
    })
}

pub(super) fn get(store: &Store, id: u64) -> Result<Answer, Refusal> {
    let customer = store.customers.get(&id).ok_or_else(Refusal::not_found)?;
    Ok(Answer::ok("customer", Value::Object(customer.clone())))
}

pub(super) fn create(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    let wanted = call.object("customer")?;
    if text(&wanted, "email").is_empty()
        && text(&wanted, "first_name").is_empty()
        && text(&wanted, "last_name").is_empty()
    {
        return Err(Refusal::unprocessable("base", "Customer must have a name, phone number or email address"));
    }
    check_email(store, &wanted, None)?;
    let id = store.new_id();
    let now = store.now_text();
    let mut customer = object(json!({ "id": id, "state": "disabled", "created_at": now, "updated_at": now }));
    change(&mut customer, &wanted);
    store.customers.insert(id, customer.clone());
    Ok(Answer::created("customer", Value::Object(customer)))
}

pub(super) fn update(store: &mut Store, id: u64, call: &Call<'_>) -> Result<Answer, Refusal> {
    let wanted = call.object("customer")?;
    check_email(store, &wanted, Some(id))?;
    let now = store.now_text();
    let customer = store.customers.get_mut(&id).ok_or_else(Refusal::not_found)?;
    change(customer, &wanted);
    customer.insert("updated_at".to_owned(), now.into());
    Ok(Answer::ok("customer", Value::Object(customer.clone())))
}

fn check_email(store: &Store, wanted: &Map<String, Value>, own: Option<u64>) -> Result<(), Refusal> {
    let email = text(wanted, "email");
    if wanted.contains_key("email") && !email.contains('@') {
        return Err(Refusal::unprocessable("email", "is invalid"));
    }
    let taken =
        |(id, other): (&u64, &Map<String, Value>)| Some(*id) != own && text(other, "email").eq_ignore_ascii_case(email);
    if !email.is_empty() && store.customers.iter().any(taken) {
        return Err(Refusal::unprocessable("email", "has already been taken"));
    }
    Ok(())
}

fn change(customer: &mut Map<String, Value>, wanted: &Map<String, Value>) {
    for name in CHANGEABLE {
        if let Some(value) = wanted.get(name) {
            customer.insert(name.to_owned(), value.clone());
        }
    }
}

fn text<'a>(customer: &'a Map<String, Value>, field: &str) -> &'a str {
    customer.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn entry((id, customer): (&u64, &Map<String, Value>)) -> Entry {
    Entry { id: *id, value: Value::Object(customer.clone()) }
}
