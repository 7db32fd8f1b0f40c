//! Attempts to get out of a folder, and to leave in it what should not stay.

use remit_sdk::{
    prelude::*,
    source::{Condition, Folder},
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Reach {
    path: String,
    through: Through,
}

/// Which door of the handle the path goes through.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Through {
    Read,
    Open,
    List,
    Stat,
    Write,
    Create,
    Delete,
}

/// By a handle that reads.
pub(crate) fn escape(args: Reach, call: &Call) -> Result<String> {
    Ok(through(&args, &call.folder("documents")?))
}

/// By a handle that writes.
pub(crate) fn spoil(args: Reach, call: &Call) -> Result<String> {
    Ok(through(&args, &call.folder("storage")?))
}

fn through(args: &Reach, folder: &Folder) -> String {
    let path = args.path.as_str();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let done = match args.through {
        Through::Read => folder.read(path).map(text),
        Through::Open => folder.open(path, 0).and_then(|mut reader| Ok(text(reader.chunk()?.unwrap_or_default()))),
        Through::List => folder.list(path).map(|entries| format!("{entries:?}")),
        Through::Stat => folder.stat(path).map(|entry| format!("{entry:?}")),
        Through::Write => folder.write(path, b"hostile", &Condition::Always).map(|entry| format!("{entry:?}")),
        Through::Create => folder.create(path, &Condition::Always).and_then(|mut writer| {
            writer.append(b"hostile")?;
            writer.finish().map(|length| length.to_string())
        }),
        Through::Delete => folder.delete(path).map(|()| "deleted".to_owned()),
    };
    match done {
        Ok(what) => format!("allowed: {what}"),
        Err(error) => format!("{error:?}"),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Litter {
    /// How many writers are begun.
    count: u32,
    /// Whether the guest then ends as no guest should.
    trap: bool,
}

/// Begins files and ends none of them.
pub(crate) fn litter(args: Litter, call: &Call) -> Result<String> {
    let folder = call.folder("storage")?;
    let mut writers = Vec::new();
    for number in 0..args.count {
        match folder.create(&format!("litter/{number}"), &Condition::Always) {
            Ok(mut writer) => {
                writer.append(&[b'x'; 100_000])?;
                writers.push(writer);
            }
            Err(error) => return Ok(format!("{} begun, then {error:?}", writers.len())),
        }
    }
    assert!(!args.trap, "on purpose");
    Ok(format!("{} begun", writers.len()))
}
