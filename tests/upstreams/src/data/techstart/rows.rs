//! The data as tables: names, columns and rows, for whichever engine.

use time::OffsetDateTime;
use time::macros::format_description;

use super::Dataset;
use crate::data::table::{Column, Kind, Table, Value};

/// The tables of `data` in the order in which they can be created.
pub fn tables(data: &Dataset) -> Vec<Table> {
    vec![customers(data), orders(data), order_items(data), interactions(data), announcements(data)]
}

fn customers(data: &Dataset) -> Table {
    let rows = data.customers.iter().map(|customer| {
        vec![
            Value::from(customer.id.as_str()),
            Value::Text(customer.name()),
            Value::from(customer.email.as_str()),
            Value::from(customer.company.as_str()),
            Value::from(if customer.active { "active" } else { "inactive" }),
            customer.notes.as_deref().map_or(Value::Null, Value::from),
            customer.salesforce_id.as_deref().map_or(Value::Null, Value::from),
            moment(customer.created_at),
            moment(customer.updated_at),
            customer.last_contact_date.map_or(Value::Null, moment),
        ]
    });
    Table {
        name: "customers",
        columns: vec![
            Column::new("id", Kind::Key),
            Column::new("name", Kind::Name),
            Column::new("email", Kind::Name),
            Column::new("company", Kind::Name),
            Column::new("status", Kind::Word),
            Column::nullable("notes", Kind::Prose),
            Column::nullable("salesforce_id", Kind::Word),
            Column::new("created_at", Kind::Moment),
            Column::new("updated_at", Kind::Moment),
            Column::nullable("last_contact_date", Kind::Moment),
        ],
        indexes: vec![&["email"], &["last_contact_date"]],
        rows: rows.collect(),
    }
}

fn orders(data: &Dataset) -> Table {
    let rows = data.orders.iter().map(|order| {
        vec![
            Value::from(order.id.as_str()),
            Value::from(order.number.as_str()),
            Value::from(order.customer_id.as_str()),
            Value::from(order.status.word()),
            Value::Money(order.total()),
            moment(order.created_at),
        ]
    });
    Table {
        name: "orders",
        columns: vec![
            Column::new("id", Kind::Key),
            Column::new("order_number", Kind::Word),
            Column::new("customer_id", Kind::Word),
            Column::new("status", Kind::Word),
            Column::new("total_amount", Kind::Money),
            Column::new("created_at", Kind::Moment),
        ],
        indexes: vec![&["customer_id", "created_at"]],
        rows: rows.collect(),
    }
}

fn order_items(data: &Dataset) -> Table {
    let items = data.orders.iter().flat_map(|order| order.items.iter().map(move |item| (order, item)));
    let rows = (1_i64..).zip(items).map(|(number, (order, item))| {
        vec![
            Value::Integer(number),
            Value::from(order.id.as_str()),
            Value::from(item.product_name.as_str()),
            Value::Integer(i64::from(item.quantity)),
            Value::Money(item.unit_price),
        ]
    });
    Table {
        name: "order_items",
        columns: vec![
            Column::new("id", Kind::Serial),
            Column::new("order_id", Kind::Word),
            Column::new("product_name", Kind::Name),
            Column::new("quantity", Kind::Count),
            Column::new("unit_price", Kind::Money),
        ],
        indexes: vec![&["order_id"]],
        rows: rows.collect(),
    }
}

fn interactions(data: &Dataset) -> Table {
    let rows = (1_i64..).zip(&data.interactions).map(|(number, interaction)| {
        vec![
            Value::Integer(number),
            Value::from(interaction.customer_id.as_str()),
            Value::from(interaction.agent_type),
            Value::from(interaction.kind),
            Value::from(interaction.notes.as_str()),
            moment(interaction.created_at),
        ]
    });
    Table {
        name: "customer_interactions",
        columns: vec![
            Column::new("id", Kind::Serial),
            Column::new("customer_id", Kind::Word),
            Column::new("agent_type", Kind::Word),
            Column::new("interaction_type", Kind::Word),
            Column::new("notes", Kind::Prose),
            Column::new("created_at", Kind::Moment),
        ],
        indexes: vec![&["customer_id", "created_at"]],
        rows: rows.collect(),
    }
}

fn announcements(data: &Dataset) -> Table {
    let rows = (1_i64..).zip(&data.announcements).map(|(number, announcement)| {
        vec![
            Value::Integer(number),
            Value::from(announcement.title),
            Value::from(announcement.content),
            Value::Integer(i64::from(announcement.active)),
            moment(announcement.created_at),
        ]
    });
    Table {
        name: "announcements",
        columns: vec![
            Column::new("id", Kind::Serial),
            Column::new("title", Kind::Name),
            Column::new("content", Kind::Prose),
            Column::new("active", Kind::Flag),
            Column::new("created_at", Kind::Moment),
        ],
        indexes: Vec::new(),
        rows: rows.collect(),
    }
}

/// `YYYY-MM-DD HH:MM:SS` in UTC, which both engines take for a DATETIME.
fn moment(at: OffsetDateTime) -> Value {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    // Formatting to a string fails only for components that a date with a time has.
    Value::Text(at.format(&format).unwrap_or_default())
}
