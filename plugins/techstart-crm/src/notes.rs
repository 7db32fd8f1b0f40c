//! `update_customer_notes`: a note and the interaction it comes from, in one transaction; and, beside
//! it, a Task in Salesforce where the customer is known there.

use remit_sdk::{
    CallContext,
    prelude::*,
    source::{Dialect, Transaction},
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    customer_id: String,
    #[schemars(length(min = 1, max = 10000))]
    notes: String,
    #[serde(default)]
    interaction_type: Interaction,
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Interaction {
    Call,
    Email,
    Meeting,
    Demo,
    Quote,
    #[default]
    Other,
    LeadQualification,
    FraudFlag,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    success: bool,
    message: &'static str,
    customer_id: String,
    /// What became of the Task in Salesforce.
    crm_task: Task,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Task {
    Recorded,
    NoSalesforceId,
    NotPermitted,
    Failed,
}

pub(crate) fn update(args: Note, call: &Call) -> Result<Updated> {
    if call.agent() != "sales" {
        return Err(Error::refused("Only sales agents can update customer notes"));
    }
    let started = call.started()?.to_seconds();
    let database = call.database("primary")?;
    let append = append_to_notes(&database.dialect());
    let salesforce_id =
        database.transaction(|transaction| write(transaction, &append, &args, call.agent(), started))?;
    // The note is kept by now: what fails beyond it is told, but must not make anyone repeat the call.
    let crm_task = match salesforce_id {
        None => Task::NoSalesforceId,
        Some(_) if !call.may_write("crm") => Task::NotPermitted,
        Some(id) => match record_task(&args, &id, call, started) {
            Ok(()) => Task::Recorded,
            Err(error) => {
                call.log(Level::Warning, &format!("no task was recorded in crm: {error}"));
                Task::Failed
            }
        },
    };
    let message = "Customer notes updated and interaction logged";
    Ok(Updated { success: true, message, customer_id: args.customer_id, crm_task })
}

/// The statement that appends within the database, so that of two notes at the same time none is lost.
fn append_to_notes(dialect: &Dialect) -> String {
    let appended = match dialect {
        Dialect::Mysql => "CONCAT(COALESCE(notes, ''), $1)",
        _ => "COALESCE(notes, '') || $1",
    };
    format!("UPDATE customers SET notes = {appended}, updated_at = $2, last_contact_date = $3 WHERE id = $4")
}

/// Writes first and reads after, so that the transaction holds its lock from the beginning.
fn write(
    transaction: &Transaction,
    append: &str,
    args: &Note,
    agent: &str,
    started: Timestamp,
) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Linked {
        salesforce_id: Option<String>,
    }
    let now = started.to_sql();
    let kind = args.interaction_type.word();
    let line = format!("\n[{started}] {}: {}", kind.to_uppercase(), args.notes);
    let changed = transaction.execute(append, params![line, &now, &now, &args.customer_id])?;
    if changed.rows_affected == 0 {
        return Err(Error::refused(format!("Customer not found: {}", args.customer_id)));
    }
    transaction.execute(
        "INSERT INTO customer_interactions (customer_id, agent_type, interaction_type, notes, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
        params![&args.customer_id, agent, kind, &args.notes, &now],
    )?;
    let linked: Option<Linked> =
        transaction.row("SELECT salesforce_id FROM customers WHERE id = $1", params![&args.customer_id])?;
    Ok(linked.and_then(|linked| linked.salesforce_id).filter(|id| !id.is_empty()))
}

fn record_task(args: &Note, salesforce_id: &str, call: &Call, started: Timestamp) -> Result<()> {
    let CallContext { idempotency_key, .. } = call.context();
    let first_line: String = args.notes.lines().next().unwrap_or_default().chars().take(200).collect();
    // People are linked by `WhoId` (contacts `003`, leads `00Q`), all else by `WhatId`.
    let person = salesforce_id.starts_with("003") || salesforce_id.starts_with("00Q");
    let task = json!({
        "Subject": format!("{}: {first_line}", args.interaction_type.word().to_uppercase()),
        "Description": args.notes,
        "Status": "Completed",
        "ActivityDate": started.0.date().to_string(),
        (if person { "WhoId" } else { "WhatId" }): salesforce_id,
    });
    let request = Request::post("sobjects/Task").json(&task)?.idempotency_key(idempotency_key);
    call.api("crm")?.fetch(&request).map(drop)
}

impl Interaction {
    fn word(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Email => "email",
            Self::Meeting => "meeting",
            Self::Demo => "demo",
            Self::Quote => "quote",
            Self::Other => "other",
            Self::LeadQualification => "lead_qualification",
            Self::FraudFlag => "fraud_flag",
        }
    }
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        Refusal, Rejection,
        prelude::*,
        serde_json,
        source::Method,
        testing::{self, Ended, FakeApi, FakeCall, FakeDatabase, unavailable},
    };

    use crate::tool_set;

    const NOTE: &str = r#"{"customer_id":"cust_123","notes":"Wants a demo.\nSoon.","interaction_type":"call"}"#;

    fn primary(salesforce_id: Option<&str>) -> FakeDatabase {
        FakeDatabase::sqlite()
            .change("update customers", 1)
            .change("insert into customer_interactions", 1)
            .rows("select salesforce_id", json!([{ "salesforce_id": salesforce_id }]))
    }

    fn salesforce() -> FakeApi {
        FakeApi::new().status(Method::Post, "sobjects/Task", 201)
    }

    fn update(call: FakeCall) -> Result<serde_json::Value> {
        let call = call.started("2026-11-23T12:00:00.25Z");
        let answer = tool_set().call("update_customer_notes", NOTE, &call.build())?;
        Ok(serde_json::from_str(&answer.structured.unwrap_or_default()).unwrap_or_default())
    }

    #[test]
    fn note_interaction_and_task_are_recorded() -> Result<()> {
        let (database, crm) = (primary(Some("0035g00000ABCDE")), salesforce());
        let answer = update(testing::call().writes("primary", &database).writes("crm", &crm))?;
        assert_eq!(
            answer,
            json!({
                "success": true,
                "message": "Customer notes updated and interaction logged",
                "customer_id": "cust_123",
                "crm_task": "recorded",
            })
        );
        let asked = database.statements();
        assert!(asked.iter().all(|statement| statement.in_transaction));
        assert_eq!(
            asked[0].parameters,
            [
                Value::from("\n[2026-11-23T12:00:00Z] CALL: Wants a demo.\nSoon."),
                Value::from("2026-11-23 12:00:00"),
                Value::from("2026-11-23 12:00:00"),
                Value::from("cust_123"),
            ]
        );
        assert_eq!(
            asked[1].parameters,
            ["cust_123", "sales", "call", "Wants a demo.\nSoon.", "2026-11-23 12:00:00"].map(Value::from)
        );
        assert_eq!(database.transactions(), [Ended::Committed]);

        let [request] = &crm.requests()[..] else { panic!("one request") };
        assert_eq!(request.idempotency_key.as_deref(), Some("key-1"));
        let body: Option<serde_json::Value> = request.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        assert_eq!(
            body,
            Some(json!({
                "Subject": "CALL: Wants a demo.",
                "Description": "Wants a demo.\nSoon.",
                "Status": "Completed",
                "ActivityDate": "2026-11-23",
                "WhoId": "0035g00000ABCDE",
            }))
        );
        Ok(())
    }

    #[test]
    fn each_dialect_appends_in_its_own_way() -> Result<()> {
        let mysql = FakeDatabase::mysql()
            .change("notes = concat(coalesce(notes, ''), $1)", 1)
            .change("insert into", 1)
            .rows("select salesforce_id", json!([{ "salesforce_id": null }]));
        let answer = update(testing::call().writes("primary", &mysql))?;
        assert_eq!(answer["crm_task"], "no_salesforce_id");
        let sqlite = primary(None);
        update(testing::call().writes("primary", &sqlite))?;
        assert!(sqlite.statements()[0].text.contains("COALESCE(notes, '') || $1"));
        Ok(())
    }

    #[test]
    fn only_sales_may() {
        let database = primary(None);
        let answer = update(testing::call().agent("support").writes("primary", &database));
        assert_eq!(answer, Err(Error::refused("Only sales agents can update customer notes")));
        assert_eq!(database.statements(), []);
    }

    #[test]
    fn an_unknown_customer_changes_nothing() {
        let database = FakeDatabase::sqlite().change("update customers", 0);
        let answer = update(testing::call().writes("primary", &database));
        assert_eq!(answer, Err(Error::refused("Customer not found: cust_123")));
        assert_eq!(database.transactions(), [Ended::Undone]);
    }

    #[test]
    fn a_failure_midway_undoes_the_note() {
        let database = FakeDatabase::sqlite().change("update customers", 1).fails("insert into", unavailable());
        let crm = salesforce();
        let answer = update(testing::call().writes("primary", &database).writes("crm", &crm));
        assert_eq!(answer.map_err(|error| error.cause().cloned()), Err(Some(unavailable())));
        assert_eq!(database.transactions(), [Ended::Undone]);
        assert_eq!(crm.requests(), []);
    }

    #[test]
    fn a_lost_transaction_is_begun_again() -> Result<()> {
        let conflict = || {
            let message = "deadlock".to_owned();
            Cause::Rejected(Rejection { reason: Refusal::Conflict, code: None, message })
        };
        let database = primary(None).fails_commit(conflict()).fails_commit(conflict());
        update(testing::call().writes("primary", &database))?;
        assert_eq!(database.transactions(), [Ended::Undone, Ended::Undone, Ended::Committed]);

        let database = primary(None).fails_commit(conflict()).fails_commit(conflict()).fails_commit(conflict());
        let answer = update(testing::call().writes("primary", &database));
        assert_eq!(answer.map_err(|error| error.cause().cloned()), Err(Some(conflict())));
        Ok(())
    }

    #[test]
    fn the_note_stays_where_the_task_fails() -> Result<()> {
        let down = FakeApi::new().fails(Method::Post, "sobjects/Task", unavailable());
        let refusing = FakeApi::new().status(Method::Post, "sobjects/Task", 400);
        let cases = [
            (testing::call().writes("crm", &down), "failed"),
            (testing::call().writes("crm", &refusing), "failed"),
            (testing::call().reads("crm", &salesforce()), "not_permitted"),
            (testing::call(), "not_permitted"),
        ];
        for (call, outcome) in cases {
            let database = primary(Some("0015g00000ABCDE"));
            assert_eq!(update(call.writes("primary", &database))?["crm_task"], outcome);
            assert_eq!(database.transactions(), [Ended::Committed]);
        }
        Ok(())
    }

    #[test]
    fn a_read_handle_is_not_enough() {
        let database = primary(None);
        let answer = update(testing::call().reads("primary", &database));
        assert!(matches!(answer.map_err(|error| error.cause().cloned()), Err(Some(Cause::Denied(_)))));
    }
}
