//! `graphql.json`: the shop, products in pages, and a product's title and status changed.
//!
//! It lacks fragments, directives, costs and introspection: what it does not know is an error, as at
//! Shopify.

use apollo_parser::Parser;
use apollo_parser::cst::{self, Definition, Selection};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::store::{Store, moment};
use super::{Answer, Call, products};
use crate::data::catalogue::Product;

type Found<T> = Result<T, String>;

/// Answers a request; what is wrong with it stands in `errors`, beside status 200.
pub(super) fn answer(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    let given = call.plain()?;
    let document = given.get("query").and_then(Value::as_str).unwrap_or_default();
    let none = Map::new();
    let variables = given.get("variables").and_then(Value::as_object).unwrap_or(&none);
    let body = match run(store, document, variables) {
        Ok(data) => json!({ "data": data }),
        Err(message) => json!({ "errors": [{ "message": message }] }),
    };
    Ok(Answer { status: StatusCode::OK, body, link: None })
}

fn run(store: &mut Store, document: &str, variables: &Map<String, Value>) -> Found<Value> {
    let tree = Parser::new(document).parse();
    if let Some(error) = tree.errors().next() {
        return Err(format!("syntax error: {}", error.message()));
    }
    let mut definitions = tree.document().definitions();
    let (Some(Definition::OperationDefinition(operation)), None) = (definitions.next(), definitions.next()) else {
        return Err("one operation is taken".to_owned());
    };
    let changes = operation.operation_type().is_some_and(|kind| kind.mutation_token().is_some());
    let mut data = Map::new();
    for field in fields(operation.selection_set())? {
        let arguments = arguments(&field, variables)?;
        let name = field_name(&field);
        let value = match (changes, name.as_str()) {
            (false, "shop") => json!({"name": "TechStart Inc", "myshopifyDomain": "techstart.myshopify.com"}),
            (false, "products") => page(store, &arguments)?,
            (false, "product") => store.products.get(&id(&arguments)?).map_or(Value::Null, node),
            (true, "productUpdate") => update(store, &arguments)?,
            _ => {
                return Err(format!(
                    "Field '{name}' doesn't exist on type '{}'",
                    if changes { "Mutation" } else { "QueryRoot" }
                ));
            }
        };
        data.insert(name, project(&value, field.selection_set())?);
    }
    Ok(data.into())
}

fn node(product: &Product) -> Value {
    json!({
        "id": format!("gid://shopify/Product/{}", product.id), "title": product.title,
        "productType": product.family, "status": product.status.word().to_uppercase(),
        "createdAt": moment(product.created_at),
    })
}

fn page(store: &Store, arguments: &Map<String, Value>) -> Found<Value> {
    let first = arguments.get("first").and_then(Value::as_u64).filter(|first| (1..=250).contains(first));
    let first = first.ok_or("you must provide one of first or last")?;
    let after = match arguments.get("after").and_then(Value::as_str) {
        Some(cursor) => cursor.parse().map_err(|_| "invalid cursor")?,
        None => 0_u64,
    };
    let mut rest = store.products.values().filter(|product| product.id > after);
    let taken: Vec<&Product> = rest.by_ref().take(usize::try_from(first).unwrap_or(250)).collect();
    let end = taken.last().map(|product| product.id.to_string());
    let edges: Vec<_> = taken.iter().map(|it| json!({"cursor": it.id.to_string(), "node": node(it)})).collect();
    let nodes: Vec<_> = taken.iter().map(|product| node(product)).collect();
    let info = json!({"hasNextPage": rest.next().is_some(), "endCursor": end});
    Ok(json!({"nodes": nodes, "edges": edges, "pageInfo": info}))
}

fn update(store: &mut Store, arguments: &Map<String, Value>) -> Found<Value> {
    let input = arguments.get("input").and_then(Value::as_object).ok_or("productUpdate needs `input`")?;
    let id = id(input)?;
    let wrong =
        |field: &str, message: &str| json!({"product": null, "userErrors": [{"field": [field], "message": message}]});
    let body = json!({"product": {"title": input.get("title").cloned().unwrap_or_default()}}).to_string();
    let call = Call { query: &std::collections::BTreeMap::new(), address: String::new(), body: body.as_bytes() };
    Ok(match (store.products.contains_key(&id), products::update(store, id, &call)) {
        (false, _) => wrong("id", "Product does not exist"),
        (_, Err(_)) => wrong("title", "Title can't be blank"),
        (_, Ok(_)) => json!({"product": store.products.get(&id).map(node), "userErrors": []}),
    })
}

fn id(arguments: &Map<String, Value>) -> Found<u64> {
    let text = arguments.get("id").and_then(Value::as_str).ok_or("argument 'id' is required")?;
    let number = text.strip_prefix("gid://shopify/Product/").and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("Invalid global id '{text}'"))
}

/// What of a value is asked for.
fn project(value: &Value, asked: Option<cst::SelectionSet>) -> Found<Value> {
    match (value, asked) {
        (Value::Array(all), asked) => all.iter().map(|one| project(one, asked.clone())).collect(),
        (Value::Object(object), Some(asked)) => {
            let mut kept = Map::new();
            for field in fields(Some(asked))? {
                let name = field_name(&field);
                let found = object.get(&name).ok_or_else(|| format!("Field '{name}' doesn't exist"))?;
                kept.insert(name, project(found, field.selection_set())?);
            }
            Ok(kept.into())
        }
        (Value::Object(_), None) => Err("Field must have selections".to_owned()),
        (other, _) => Ok(other.clone()),
    }
}

fn fields(set: Option<cst::SelectionSet>) -> Found<Vec<cst::Field>> {
    let selections = set.into_iter().flat_map(|set| set.selections());
    let fields = selections.map(|selection| match selection {
        Selection::Field(field) if field.alias().is_none() => Ok(field),
        _ => Err("fragments and aliases are not taken".to_owned()),
    });
    fields.collect()
}

fn field_name(field: &cst::Field) -> String {
    field.name().map(|name| name.text().to_string()).unwrap_or_default()
}

fn arguments(field: &cst::Field, variables: &Map<String, Value>) -> Found<Map<String, Value>> {
    let given = field.arguments().into_iter().flat_map(|all| all.arguments());
    let given = given.map(|argument| {
        let name = argument.name().map(|name| name.text().to_string()).unwrap_or_default();
        Ok((name, value(argument.value().ok_or("an argument without a value")?, variables)?))
    });
    given.collect()
}

fn value(given: cst::Value, variables: &Map<String, Value>) -> Found<Value> {
    Ok(match given {
        cst::Value::Variable(variable) => {
            let name = variable.name().map(|name| name.text().to_string()).unwrap_or_default();
            variables.get(&name).cloned().unwrap_or_default()
        }
        cst::Value::StringValue(text) => String::from(&text).into(),
        cst::Value::IntValue(number) => i32::try_from(number).map_err(|_| "not a number")?.into(),
        cst::Value::NullValue(_) => Value::Null,
        cst::Value::ObjectValue(object) => {
            let fields = object.object_fields().map(|field| {
                let name = field.name().map(|name| name.text().to_string()).unwrap_or_default();
                Ok((name, value(field.value().ok_or("a field without a value")?, variables)?))
            });
            fields.collect::<Found<Map<_, _>>>()?.into()
        }
        _ => return Err("this kind of value is not taken".to_owned()),
    })
}
