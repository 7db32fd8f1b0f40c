//! Handles used out of their time: after they were dropped, after their answer, after their call.

use std::{
    mem::{self, ManuallyDrop},
    sync::atomic::{AtomicU32, Ordering},
};

use remit_sdk::{
    bindings::remit::data::{common::Grants, sql},
    prelude::*,
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Misused {
    how: Misuse,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Misuse {
    AfterDrop,
    DroppedTwice,
    AnsweredTwice,
    OfAnotherKind,
    OfAFreedPlace,
}

pub(crate) fn misuse(args: Misused, _: &Call) -> Result<String> {
    let database = take();
    let index = database.handle();
    let answered = match args.how {
        Misuse::AfterDrop => {
            drop(database);
            forged(index).query(TRIVIAL, &[])
        }
        Misuse::DroppedTwice => {
            drop(database);
            drop(forged(index));
            return Ok("dropped twice".to_owned());
        }
        Misuse::AnsweredTwice => {
            let pending = database.start_query(TRIVIAL, &[]);
            let _first = pending.get();
            pending.get()
        }
        // The second thing that a call is handed is its invocation.
        Misuse::OfAnotherKind => ManuallyDrop::new(forged(2)).query(TRIVIAL, &[]),
        Misuse::OfAFreedPlace => {
            let pending = database.start_query(TRIVIAL, &[]);
            let place = pending.handle();
            drop(pending);
            ManuallyDrop::new(forged(place)).query(TRIVIAL, &[])
        }
    };
    Ok(format!("{answered:?}"))
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Remembered {
    /// How many calls came before, as far as this instance knows.
    before: u32,
    /// The handle that is kept.
    handle: u32,
}

/// Keeps a handle beyond its call, as far as it can.
pub(crate) fn remember(_: NoArguments, _: &Call) -> Result<Remembered> {
    static BEFORE: AtomicU32 = AtomicU32::new(0);
    let database = take();
    let handle = database.handle();
    mem::forget(database);
    Ok(Remembered { before: BEFORE.fetch_add(1, Ordering::Relaxed), handle })
}

const TRIVIAL: &str = "SELECT 1 AS one";

/// The database of this call, as the raw handle that the SDK keeps to itself.
#[expect(clippy::expect_used, reason = "a trap is an answer")]
fn take() -> sql::Database {
    #[expect(unsafe_code, reason = "the attack")]
    // SAFETY: the first handle that a call is given is that of its grants; it is not dropped here.
    let grants = ManuallyDrop::new(unsafe { Grants::from_handle(1) });
    sql::Database::take(&grants, "primary").expect("the source is granted")
}

fn forged(index: u32) -> sql::Database {
    #[expect(unsafe_code, reason = "the attack")]
    // SAFETY: there is none; the host has to hold against it.
    unsafe {
        sql::Database::from_handle(index)
    }
}
