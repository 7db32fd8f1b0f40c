//! Waits for what never comes, and leaves behind what it began.

use std::{thread, time::Duration};

use remit_sdk::{prelude::*, serde_json::Value as Json};

/// Counts for ever.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) AS c FROM n";

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Wait {
    on: On,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum On {
    Clock,
    Query,
    Pending,
    /// Asks again and again whether the answer is there.
    Ready,
}

pub(crate) fn wait(args: Wait, call: &Call) -> Result<String> {
    let database = call.database("primary")?;
    let started = || database.start_rows::<Json>(ENDLESS, params![]);
    let answer = match args.on {
        On::Clock => {
            thread::sleep(Duration::from_secs(1 << 32));
            return Ok("woke".to_owned());
        }
        On::Query => database.rows::<Json>(ENDLESS, params![]),
        On::Pending => started().get(),
        On::Ready => {
            let pending = started();
            while !pending.ready() {}
            pending.get()
        }
    };
    Ok(format!("{answer:?}"))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Abandon {
    what: Begun,
    #[serde(default = "one")]
    count: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Begun {
    Queries,
    Transaction,
    /// In the middle of a transaction, for ever.
    Loop,
    /// In the middle of a transaction.
    Trap,
}

#[expect(clippy::panic, reason = "the attack")]
pub(crate) fn abandon(args: Abandon, call: &Call) -> Result<&'static str> {
    let database = call.database("primary")?;
    if matches!(args.what, Begun::Queries) {
        for pending in (0..args.count).map(|_| database.start_rows::<Json>(ENDLESS, params![])) {
            std::mem::forget(pending);
        }
        return Ok("left");
    }
    let transaction = database.begin()?;
    transaction.execute("UPDATE customers SET company = 'abandoned'", params![])?;
    match args.what {
        Begun::Loop => loop {
            std::hint::black_box(());
        },
        Begun::Trap => panic!("in the middle of a transaction"),
        _ => std::mem::forget(transaction),
    }
    Ok("left")
}

fn one() -> u32 {
    1
}
