//! What a mapping's `only.paths` leaves of a folder.
//!
//! A path that is listed is covered with all that lies under it. A folder above one is seen, but nothing in
//! it except what leads on. All else is `denied`, whether it exists or not.

use remit_domain::{
    data::{Error, files::Path},
    scope::Scope,
};

/// How much of a folder is seen.
pub(super) enum Seen {
    /// Everything in it.
    Whole,
    /// What leads on to something covered.
    WaysOn,
}

/// Errors: `denied` for a path that is not covered.
pub(super) fn covered(scope: &Scope, path: &Path) -> Result<(), Error> {
    if scope.covers(path.as_str()) { Ok(()) } else { Err(outside()) }
}

/// Errors: `denied` for a path that is neither covered nor leads on.
pub(super) fn seen(scope: &Scope, path: &Path) -> Result<Seen, Error> {
    if scope.covers(path.as_str()) {
        return Ok(Seen::Whole);
    }
    // The folder itself is there for everybody who was handed it.
    if path.is_root() || !scope.ways_on(path.as_str()).is_empty() { Ok(Seen::WaysOn) } else { Err(outside()) }
}

pub(super) fn outside() -> Error {
    Error::Denied("the agent's mapping does not reach this path".to_owned())
}
