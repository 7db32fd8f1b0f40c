//! Records of four kinds, with the fields each has.
//!
//! It lacks triggers, validation rules and deletion.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::soql::{Statement, Test};
use super::{Refusal, VERSION};
use crate::data::techstart::{Customer, Dataset, LEAD_EMAIL, salesforce_id, with_checksum};

/// Which kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Account,
    Contact,
    Lead,
    Task,
}

impl Kind {
    /// The kind of this name, whatever its case.
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        let all = [Self::Account, Self::Contact, Self::Lead, Self::Task];
        all.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name)).ok_or_else(Refusal::not_found)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Account => "Account",
            Self::Contact => "Contact",
            Self::Lead => "Lead",
            Self::Task => "Task",
        }
    }

    /// The first three characters of its ids.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Account => "001",
            Self::Contact => "003",
            Self::Lead => "00Q",
            Self::Task => "00T",
        }
    }

    /// The fields that can be written.
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Account => &["Name", "Industry", "Website", "Phone", "Description"],
            Self::Contact => &["FirstName", "LastName", "Email", "Phone", "Title", "AccountId", "Description"],
            Self::Lead => &["FirstName", "LastName", "Company", "Email", "Phone", "Status", "Rating", "Description"],
            Self::Task => &[
                "Subject",
                "Description",
                "Status",
                "Priority",
                "ActivityDate",
                "WhoId",
                "WhatId",
                "TaskSubtype",
                "Type",
            ],
        }
    }

    /// The fields that a new record must have.
    const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Account => &["Name"],
            Self::Contact => &["LastName"],
            Self::Lead => &["LastName", "Company"],
            Self::Task => &[],
        }
    }

    /// The field's name in its own case, among those that can be read.
    fn field(self, name: &str) -> Result<&'static str, Refusal> {
        let named = matches!(self, Self::Contact | Self::Lead).then_some("Name");
        let read_only = ["Id", "CreatedDate", "LastModifiedDate"].into_iter().chain(named);
        let mut all = read_only.chain(self.fields().iter().copied());
        all.find(|field| field.eq_ignore_ascii_case(name)).ok_or_else(|| Refusal::no_column(name, self.name()))
    }
}

/// All records, each with every field of its kind.
#[derive(Debug)]
pub(super) struct Records {
    records: BTreeMap<(Kind, String), Map<String, Value>>,
    now: fn() -> OffsetDateTime,
    next: u32,
}

impl Records {
    pub(super) fn new(data: &Dataset, now: fn() -> OffsetDateTime) -> Self {
        let mut records = Self { records: BTreeMap::new(), now, next: 50_000 };
        let companies: BTreeSet<&str> = data.customers.iter().map(|customer| customer.company.as_str()).collect();
        let accounts: BTreeMap<&str, String> =
            (1_u32..).zip(companies).map(|(number, company)| (company, salesforce_id("001", number))).collect();
        for (company, id) in &accounts {
            records.put(Kind::Account, id, &[("Name", (*company).into())]);
        }
        for (number, customer) in (1_u32..).zip(&data.customers) {
            records.put_customer(number, customer, accounts.get(customer.company.as_str()));
        }
        records
    }

    fn put_customer(&mut self, number: u32, customer: &Customer, account: Option<&String>) {
        let person = [
            ("FirstName", customer.first_name.as_str().into()),
            ("LastName", customer.last_name.as_str().into()),
            ("Email", customer.email.as_str().into()),
            ("Description", json!(customer.notes)),
        ];
        if customer.email == LEAD_EMAIL {
            let lead = [("Company", customer.company.as_str().into()), ("Status", "Open - Not Contacted".into())];
            self.put(Kind::Lead, &salesforce_id("00Q", number), &[person.as_slice(), &lead].concat());
        }
        if let Some(id) = &customer.salesforce_id {
            self.put(Kind::Contact, id, &[person.as_slice(), &[("AccountId", json!(account))]].concat());
        }
    }

    fn put(&mut self, kind: Kind, id: &str, given: &[(&str, Value)]) {
        let now = self.now_text();
        let mut record = Map::new();
        record.insert("Id".to_owned(), id.into());
        for field in kind.fields() {
            record.insert((*field).to_owned(), Value::Null);
        }
        for (field, value) in given {
            record.insert((*field).to_owned(), value.clone());
        }
        record.insert("CreatedDate".to_owned(), now.clone().into());
        record.insert("LastModifiedDate".to_owned(), now.into());
        name(kind, &mut record);
        self.records.insert((kind, id.to_owned()), record);
    }

    pub(super) fn query(&self, statement: &Statement) -> Result<Vec<Value>, Refusal> {
        let kind = Kind::named(&statement.kind).map_err(|_refusal| {
            let message = format!("sObject type '{}' is not supported.", statement.kind);
            Refusal::new(StatusCode::BAD_REQUEST, "INVALID_TYPE", message)
        })?;
        let fields: Vec<&str> = statement.fields.iter().map(|field| kind.field(field)).collect::<Result<_, _>>()?;
        let conditions =
            statement.conditions.iter().map(|condition| Ok((kind.field(&condition.field)?, &condition.test)));
        let conditions: Vec<(&str, &Test)> = conditions.collect::<Result<_, Refusal>>()?;
        let of_kind = self.records.iter().filter(|((other, _), _)| *other == kind).map(|(_, record)| record);
        let mut found: Vec<_> =
            of_kind.filter(|record| conditions.iter().all(|(field, test)| meets(record.get(*field), test))).collect();
        if let Some(order) = &statement.order {
            let field = kind.field(&order.field)?;
            found.sort_by_key(|record| record.get(field).and_then(Value::as_str).unwrap_or_default().to_lowercase());
            if order.descending {
                found.reverse();
            }
        }
        found.truncate(statement.limit.unwrap_or(usize::MAX));
        Ok(found.into_iter().map(|record| render(kind, record, Some(&fields))).collect())
    }

    pub(super) fn get(&self, kind: Kind, id: &str, fields: Option<&[&str]>) -> Result<Value, Refusal> {
        let record = self.records.get(&(kind, full_id(id)?)).ok_or_else(Refusal::not_found)?;
        let fields = fields.map(|fields| fields.iter().map(|field| kind.field(field)).collect::<Result<Vec<_>, _>>());
        Ok(render(kind, record, fields.transpose()?.as_deref()))
    }

    pub(super) fn create(&mut self, kind: Kind, given: &Map<String, Value>) -> Result<String, Refusal> {
        let checked = self.check(kind, given)?;
        let empty = |field: &&&str| !checked.iter().any(|(name, value)| name == *field && !is_empty(value));
        let missing: Vec<String> = kind.required().iter().filter(empty).map(|field| (*field).to_owned()).collect();
        if !missing.is_empty() {
            let message = format!("Required fields are missing: [{}]", missing.join(", "));
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, "REQUIRED_FIELD_MISSING", message);
            return Err(Refusal { fields: Some(missing), ..refusal });
        }
        self.next += 1;
        let id = salesforce_id(kind.prefix(), self.next);
        self.put(kind, &id, &checked);
        Ok(id)
    }

    pub(super) fn update(&mut self, kind: Kind, id: &str, given: &Map<String, Value>) -> Result<(), Refusal> {
        let checked = self.check(kind, given)?;
        let now = self.now_text();
        let record = self.records.get_mut(&(kind, full_id(id)?)).ok_or_else(Refusal::not_found)?;
        for (field, value) in checked {
            record.insert(field.to_owned(), value);
        }
        record.insert("LastModifiedDate".to_owned(), now.into());
        name(kind, record);
        Ok(())
    }

    /// The fields given, by their own names; those that refer to a record must find it.
    fn check(&self, kind: Kind, given: &Map<String, Value>) -> Result<Vec<(&'static str, Value)>, Refusal> {
        let mut checked = Vec::new();
        for (name, value) in given {
            let field = kind.fields().iter().find(|field| field.eq_ignore_ascii_case(name));
            let field = *field.ok_or_else(|| Refusal::no_column(name, kind.name()))?;
            if !matches!(value, Value::Null | Value::String(_)) {
                let message = format!("Cannot deserialize instance of string from {value}");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "JSON_PARSER_ERROR", message));
            }
            if let (true, Some(id)) = (["WhoId", "WhatId", "AccountId"].contains(&field), value.as_str()) {
                let id = full_id(id)?;
                if !self.records.keys().any(|(_, known)| *known == id) {
                    let message = format!("{field}: invalid cross reference id");
                    let refusal = Refusal::new(StatusCode::BAD_REQUEST, "INVALID_CROSS_REFERENCE_KEY", message);
                    return Err(Refusal { fields: Some(vec![field.to_owned()]), ..refusal });
                }
            }
            checked.push((field, value.clone()));
        }
        Ok(checked)
    }

    fn now_text(&self) -> String {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].000+0000");
        // Formatting to a string fails only for components that a date with a time has.
        (self.now)().to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_default()
    }
}

/// An id of 18 characters, or one of 15 with its checksum left out.
fn full_id(id: &str) -> Result<String, Refusal> {
    let plain = id.chars().all(|letter| letter.is_ascii_alphanumeric());
    match (plain, id.len()) {
        (true, 18) => Ok(id.to_owned()),
        (true, 15) => Ok(with_checksum(id)),
        _ => Err(Refusal::new(StatusCode::BAD_REQUEST, "MALFORMED_ID", format!("Provided ID '{id}' is malformed"))),
    }
}

/// The name of a person follows from its parts.
fn name(kind: Kind, record: &mut Map<String, Value>) {
    if matches!(kind, Kind::Contact | Kind::Lead) {
        let part = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
        let name = format!("{} {}", part("FirstName"), part("LastName"));
        record.insert("Name".to_owned(), name.trim().into());
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_str().is_none_or(|text| text.trim().is_empty())
}

fn render(kind: Kind, record: &Map<String, Value>, fields: Option<&[&'static str]>) -> Value {
    let id = record.get("Id").and_then(Value::as_str).unwrap_or_default();
    let address = format!("/services/data/{VERSION}/sobjects/{}/{id}", kind.name());
    let mut rendered = Map::new();
    rendered.insert("attributes".to_owned(), json!({ "type": kind.name(), "url": address }));
    for (field, value) in record {
        if fields.is_none_or(|fields| fields.contains(&field.as_str())) {
            rendered.insert(field.clone(), value.clone());
        }
    }
    Value::Object(rendered)
}

fn meets(value: Option<&Value>, test: &Test) -> bool {
    let text = value.and_then(Value::as_str).map(str::to_lowercase);
    match (test, text) {
        (Test::IsNull, text) => text.is_none(),
        (Test::Equals(wanted), Some(text)) => text == wanted.to_lowercase(),
        (Test::Like(pattern), Some(text)) => {
            let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
            let text: Vec<char> = text.chars().collect();
            like(&pattern, &text)
        }
        (_, None) => false,
    }
}

/// Matches without recursion: on a mismatch the last `%` takes one letter more.
fn like(pattern: &[char], text: &[char]) -> bool {
    let (mut place, mut at) = (0, 0);
    let mut wildcard = None;
    while at < text.len() {
        match pattern.get(place) {
            Some('%') => {
                wildcard = Some((place, at));
                place += 1;
            }
            Some(wanted) if *wanted == '_' || text.get(at) == Some(wanted) => {
                place += 1;
                at += 1;
            }
            _ => {
                let Some((star, taken)) = wildcard else { return false };
                wildcard = Some((star, taken + 1));
                place = star + 1;
                at = taken + 1;
            }
        }
    }
    pattern.iter().skip(place).all(|letter| *letter == '%')
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn patterns_match_as_in_sql() {
        for (pattern, text, matches) in [
            ("%acme%", "the acme corp", true),
            ("acme%", "the acme corp", false),
            ("%corp", "acme corp", true),
            ("a_me%", "acme", true),
            ("a_me", "acmee", false),
            ("", "", true),
            ("%", "", true),
            ("_", "", false),
            ("%a%a%a%a%a%a%a%a%b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(like(&letters(pattern), &letters(text)), matches, "{text} like {pattern}");
        }
    }
}
