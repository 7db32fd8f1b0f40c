//! The key that this host signs checkpoints and removals with: a file in the state folder that only
//! this user can read.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use anyhow::Context as _;
use remit_domain::signature::SecretKey;
use secrecy::ExposeSecret as _;

const FILE: &str = "secrets/audit.key";

/// The key, if there is one. Errors: a file that can't be read or holds none.
pub(super) fn find(state: &Path) -> anyhow::Result<Option<SecretKey>> {
    let file = state.join(FILE);
    match fs::read_to_string(&file) {
        Ok(text) => SecretKey::from_text(&text).map(Some).with_context(|| format!("{} holds no key", file.display())),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("the key in {} can't be read", file.display())),
    }
}

/// The key, made now if there is none. Errors: as [`find`]; a file that can't be made.
pub(super) fn keep(state: &Path) -> anyhow::Result<SecretKey> {
    match find(state)? {
        Some(key) => Ok(key),
        None => make(state),
    }
}

fn make(state: &Path) -> anyhow::Result<SecretKey> {
    let file = state.join(FILE);
    let failed = || format!("no key could be kept in {}", file.display());
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("this machine gives no random bytes")?;
    let key = SecretKey::from_seed(&seed);
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(failed)?;
    }
    // Written whole beside its place and linked there, so that two programs that start at once end with
    // one key.
    let new = file.with_extension(format!("new-{}", std::process::id()));
    let mut written =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).with_context(failed)?;
    writeln!(written, "{}", key.to_text().expose_secret()).with_context(failed)?;
    written.sync_all().with_context(failed)?;
    let linked = fs::hard_link(&new, &file);
    let _ = fs::remove_file(&new);
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => find(state)?.with_context(failed),
        Err(error) => Err(error).with_context(failed),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_from_others() {
        let state = tempfile::tempdir().unwrap();
        assert!(find(state.path()).unwrap().is_none());
        let made = keep(state.path()).unwrap().public();
        assert_eq!(keep(state.path()).unwrap().public(), made);
        let file = state.path().join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        fs::write(&file, "nonsense").unwrap();
        assert!(keep(state.path()).is_err(), "a damaged key is not replaced");
    }
}
