//! Attacks on the host's time, memory and patience.

use std::{hint::black_box, thread, time::Duration};

use remit_sdk::{Pending, prelude::*, serde_json};

const MIB: usize = 1024 * 1024;

pub(crate) fn spin(_: NoArguments, _: &Call) -> Result<()> {
    loop {
        black_box(());
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Sleep {
    milliseconds: u64,
}

pub(crate) fn sleep(args: Sleep, _: &Call) -> Result<&'static str> {
    thread::sleep(Duration::from_millis(args.milliseconds));
    Ok("slept")
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Mebibytes {
    mib: usize,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Grown {
    mib: usize,
}

/// Stops at `mib`, or when it is refused more.
pub(crate) fn grow(args: Mebibytes, _: &Call) -> Result<Grown> {
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() < args.mib {
        let mut block = Vec::new();
        if block.try_reserve_exact(MIB).is_err() || held.try_reserve(1).is_err() {
            break;
        }
        block.resize(MIB, 1);
        held.push(black_box(block));
    }
    Ok(Grown { mib: held.len() })
}

pub(crate) fn recurse(_: NoArguments, _: &Call) -> Result<u64> {
    #[expect(unconditional_recursion, reason = "the attack")]
    fn deeper(depth: u64) -> u64 {
        // What is done with the result keeps it from becoming a loop; no memory is used, so that it is
        // the host's stack that runs out.
        deeper(depth.wrapping_add(1)).rotate_left(3) ^ depth
    }
    Ok(deeper(0))
}

#[expect(clippy::panic, reason = "the attack")]
pub(crate) fn trap(_: NoArguments, _: &Call) -> Result<()> {
    panic!("a panic on purpose, with secrets in its message")
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct End {
    how: How,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
    Panic,
    Abort,
    Unreachable,
    ExitWell,
    ExitBadly,
    OutOfBounds,
}

#[expect(clippy::panic, clippy::indexing_slicing, reason = "the attack")]
pub(crate) fn end(args: End, _: &Call) -> Result<u8> {
    match args.how {
        How::Panic => panic!("a panic on purpose"),
        How::Abort => std::process::abort(),
        #[cfg(target_arch = "wasm32")]
        How::Unreachable => std::arch::wasm32::unreachable(),
        How::ExitWell => std::process::exit(0),
        How::ExitBadly => std::process::exit(1),
        _ => Ok(black_box([1_u8, 2].as_slice())[black_box(7)]),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Shout {
    what: Loud,
    bytes: usize,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Loud {
    Log,
    Progress,
    Statement,
    Parameter,
    Parameters,
    Name,
    Random,
}

/// Hands the host so many bytes, or asks it for so many.
pub(crate) fn shout(args: Shout, call: &Call) -> Result<String> {
    let text = || "x".repeat(args.bytes);
    let rows = |statement: &str, parameters: &[Value]| {
        call.database("primary")?.rows::<serde_json::Value>(statement, parameters).map(|rows| format!("{rows:?}"))
    };
    let done = match args.what {
        Loud::Log => {
            call.log(Level::Warning, &text());
            Ok("logged".to_owned())
        }
        Loud::Progress => {
            call.progress(1.0, None, Some(&text()));
            Ok("told".to_owned())
        }
        Loud::Statement => rows(&format!("SELECT '{}' AS a", text()), params![]),
        Loud::Parameter => rows("SELECT length($1) AS a", params![text()]),
        Loud::Parameters => {
            let many: Vec<Value> = (0..args.bytes).map(|_| Value::from(1)).collect();
            rows("SELECT 1 AS a", &many)
        }
        Loud::Name => call.database(&text()).map(|_| "taken".to_owned()),
        Loud::Random => Ok(crate::wasi::random(args.bytes)).map(|bytes| format!("{} bytes", bytes.len())),
    };
    Ok(match done {
        Ok(what) => format!("allowed: {what:.100}"),
        Err(error) => format!("{error:?}").chars().take(400).collect(),
    })
}

pub(crate) fn hoard_timers(args: Count, _: &Call) -> Result<usize> {
    Ok(crate::wasi::timers(args.count))
}

pub(crate) fn big_output(args: Mebibytes, _: &Call) -> Result<String> {
    Ok("x".repeat(args.mib.saturating_mul(MIB)))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Deep {
    depth: usize,
}

pub(crate) fn deep_output(args: Deep, _: &Call) -> Result<Reply> {
    let (open, close) = ("[".repeat(args.depth), "]".repeat(args.depth));
    let nested = serde_json::value::RawValue::from_string(format!("{open}{close}"));
    let nested = nested.map_err(|error| Error::refused(error.to_string()))?;
    Reply::default().with_structured(&nested)
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Many {
    count: u32,
    #[serde(default = "trivial")]
    statement: String,
}

#[derive(Serialize, JsonSchema, Default)]
pub(crate) struct Waited {
    answered: u32,
    limited: u32,
    failed: u32,
    /// What the last that was limited was told.
    said: Option<String>,
}

pub(crate) fn wait_many(args: Many, call: &Call) -> Result<Waited> {
    let database = call.database("primary")?;
    let start = |_| database.start_rows::<serde_json::Value>(&args.statement, params![]);
    let under_way: Vec<_> = (0..args.count).map(start).collect();
    let mut waited = Waited::default();
    for answer in under_way.into_iter().map(Pending::get) {
        let kind = match answer {
            Ok(_) => &mut waited.answered,
            Err(error) if matches!(error.cause(), Some(Cause::Limit(_))) => {
                waited.said = Some(format!("{error:?}"));
                &mut waited.limited
            }
            Err(_) => &mut waited.failed,
        };
        *kind += 1;
    }
    Ok(waited)
}

fn trivial() -> String {
    "SELECT 1 AS one".to_owned()
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Count {
    count: u32,
}

pub(crate) fn hoard(args: Count, call: &Call) -> Result<usize> {
    let held: Result<Vec<Database>> = (0..args.count).map(|_| call.database("primary")).collect();
    held.map(|held| held.len())
}

pub(crate) fn flood(args: Count, call: &Call) -> Result<u32> {
    let line = "flood ".repeat(1000);
    for number in 0..args.count {
        call.log(Level::Error, &line);
        call.progress(number.into(), None, Some(&line));
    }
    Ok(args.count)
}
