//! A page of what is in a folder, in order, whatever the folder holds: a page's worth of names is kept, and
//! the disk goes through all of them for each page.

use std::collections::BTreeSet;

use cap_std::fs::Dir;
use remit_domain::data::{
    Error,
    files::{Kind, MAX_ENTRIES, Page, Path},
};

use super::{
    super::no_cursor,
    beside::GivenUp,
    place::{found, lost},
};

/// How many names are looked at between two questions whether anybody waits.
const STEPS: usize = 1_024;

/// The entries of an open folder after a cursor, which is the name of the last one, a folder's with a slash.
///
/// Names that no [`Path`] can have are left out, as are links, devices and files of several names.
pub(super) fn page(folder: &Dir, path: &Path, after: Option<&str>, given_up: &GivenUp) -> Result<Page, Error> {
    if let Some(after) = after {
        path.join(after.strip_suffix('/').unwrap_or(after)).map_err(|_| no_cursor())?;
    }
    let (keys, more) = first(folder, path, after, given_up)?;
    let next = keys.last().cloned().filter(|_| more);
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let (name, wanted) = match key.strip_suffix('/') {
            Some(name) => (name, Kind::Folder),
            None => (key.as_str(), Kind::File),
        };
        // It may have gone, or become something else.
        if let Some(found) = found(folder, name)?.filter(|found| found.kind == wanted) {
            entries.push(found.entry(&path.join(name)?));
        }
    }
    Ok(Page { entries, next })
}

/// The first names after a cursor, as many as a page has, and whether there are more.
fn first(
    folder: &Dir,
    path: &Path,
    after: Option<&str>,
    given_up: &GivenUp,
) -> Result<(BTreeSet<String>, bool), Error> {
    let (mut keys, mut more) = (BTreeSet::new(), false);
    for (number, entry) in folder.entries().map_err(lost)?.enumerate() {
        if number.is_multiple_of(STEPS) {
            given_up.check()?;
        }
        let entry = entry.map_err(lost)?;
        let file_type = entry.file_type().map_err(lost)?;
        let ending = match () {
            () if file_type.is_dir() => "/",
            () if file_type.is_file() => "",
            () => continue,
        };
        let Ok(name) = entry.file_name().into_string() else { continue };
        if path.join(&name).is_err() {
            continue;
        }
        let key = name + ending;
        if after.is_some_and(|after| key.as_str() <= after) {
            continue;
        }
        keys.insert(key);
        if keys.len() > MAX_ENTRIES {
            keys.pop_last();
            more = true;
        }
    }
    Ok((keys, more))
}
