//! Attempts to reach what was not handed over.

use std::{env, fs, net::TcpStream};

use remit_sdk::{bindings::remit::data::sql, prelude::*};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Ungranted {
    name: String,
}

/// Tries the name as each kind of source, and tells what came of each.
pub(crate) fn open_ungranted(args: Ungranted, call: &Call) -> Result<Vec<String>> {
    let name = &args.name;
    Ok(vec![
        format!("database: {:?}", call.database(name).map(|_| "taken")),
        format!("documents: {:?}", call.documents(name).map(|_| "taken")),
        format!("api: {:?}", call.api(name).map(|_| "taken")),
        format!("has: {}", call.has(name)),
    ])
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Surroundings {
    variables: usize,
    arguments: usize,
    /// Null if there is none.
    folder: Option<String>,
    root: String,
    passwd: String,
    written: String,
    socket: String,
    lookup: String,
}

pub(crate) fn environment(_: NoArguments, _: &Call) -> Result<Surroundings> {
    Ok(Surroundings {
        variables: env::vars_os().count(),
        arguments: env::args_os().count(),
        folder: env::current_dir().and_then(|_| fs::read_dir(".")).ok().map(|entries| format!("{}", entries.count())),
        root: tried(fs::read_dir("/").map(|entries| entries.count())),
        passwd: tried(fs::read("/etc/passwd").map(|bytes| bytes.len())),
        written: tried(fs::write("/tmp/hostile", "hostile")),
        socket: tried(TcpStream::connect(("127.0.0.1", 80))),
        lookup: tried(TcpStream::connect(("localhost", 80))),
    })
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Forged {
    index: u32,
}

/// Uses any number as a handle to a database.
pub(crate) fn forge(args: Forged, _: &Call) -> Result<String> {
    #[expect(unsafe_code, reason = "the attack")]
    // SAFETY: there is none; the host has to hold against it.
    let database = unsafe { sql::Database::from_handle(args.index) };
    let answer = database.query("SELECT COUNT(*) AS n FROM customers", &[]);
    Ok(format!("{answer:?}"))
}

fn tried<T>(done: std::io::Result<T>) -> String {
    match done {
        Ok(_) => "allowed".to_owned(),
        Err(error) => error.to_string(),
    }
}
