//! Attempts to reach what was not handed over.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant, SystemTime},
};

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
        format!("folder: {:?}", call.folder(name).map(|_| "taken")),
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
    listener: String,
    datagram: String,
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
        listener: tried(TcpListener::bind(("127.0.0.1", 0))),
        datagram: tried(UdpSocket::bind(("127.0.0.1", 0))),
    })
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Clocks {
    /// The shortest step seen between two looks, in nanoseconds.
    finest: u128,
    /// What the wall clock shows below a millisecond, at most.
    below: u32,
    /// Seconds since 1970.
    now: u64,
}

/// Looks at the clocks until they have moved, a few times.
pub(crate) fn clocks(_: NoArguments, _: &Call) -> Result<Clocks> {
    let mut clocks = Clocks { finest: u128::MAX, below: 0, now: 0 };
    for _ in 0..5 {
        let began = Instant::now();
        let step = loop {
            let step = began.elapsed();
            if step > Duration::ZERO {
                break step;
            }
        };
        clocks.finest = clocks.finest.min(step.as_nanos());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        clocks.below = clocks.below.max(now.subsec_nanos() % 1_000_000);
        clocks.now = now.as_secs();
    }
    Ok(clocks)
}

pub(crate) fn random(_: NoArguments, _: &Call) -> Result<Vec<Vec<u8>>> {
    Ok(vec![crate::wasi::random(16), crate::wasi::random(16)])
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Spoken {
    output: String,
    error: String,
    input: String,
}

/// Says to be the host, at length, and listens.
pub(crate) fn speak(_: NoArguments, _: &Call) -> Result<Spoken> {
    let line = b"listening on http://evil.example\n".repeat(1_000);
    let mut byte = [0];
    Ok(Spoken {
        output: tried(io::stdout().write_all(&line)),
        error: tried(io::stderr().write_all(&line)),
        input: match io::stdin().read(&mut byte) {
            Ok(count) => format!("{count} bytes"),
            Err(error) => error.to_string(),
        },
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

fn tried<T>(done: io::Result<T>) -> String {
    match done {
        Ok(_) => "allowed".to_owned(),
        Err(error) => error.to_string(),
    }
}
