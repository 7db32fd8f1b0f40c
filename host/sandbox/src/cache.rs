//! Compiled code on disk, keyed by the component's digest and the engine's configuration.
//!
//! Wasmtime does not check compiled code when it loads it: a flipped bit is accepted and run. So
//! each entry carries a MAC under a key that only this host's state holds, over the engine, the
//! component's digest and the code; what does not verify is not ours and is compiled anew.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::{Engine, component::Component};

use crate::Error;

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// What the entries may take on disk together; beyond it the one that was used longest ago goes. Tenants
/// upload what they like, and what was refused after compiling is kept as well.
const MOST_BYTES: u64 = 4 << 30;

/// The compiled code of components.
pub struct CodeCache {
    dir: PathBuf,
    engine: String,
    key: [u8; KEY_BYTES],
    most_bytes: u64,
    /// So that no two writers write one file.
    writes: AtomicU64,
}

impl CodeCache {
    /// Opens the cache under `dir`, with the key kept in `secrets`; makes both where they are missing,
    /// readable by this user alone.
    ///
    /// Errors: [`Error::Io`]; [`Error::Cache`] for a key file of another length.
    pub fn open(engine: &Engine, dir: &Path, secrets: &Path) -> Result<Self, Error> {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = format!("{:016x}", hasher.finish());
        let dir = dir.join(&engine);
        private_dir(&dir)?;
        private_dir(secrets)?;
        let key = key(&secrets.join("code-cache.key"))?;
        Ok(Self { dir, engine, key, most_bytes: MOST_BYTES, writes: AtomicU64::new(0) })
    }

    /// The compiled form of a component, if there is an entry that is ours. `digest` is the SHA-256 of the
    /// component in hex.
    pub(crate) fn find(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let mut file = fs::File::open(self.path(digest)).ok()?;
        let mut entry = Vec::new();
        file.read_to_end(&mut entry).ok()?;
        let (mac, code) = entry.split_at_checked(MAC_BYTES)?;
        if self.mac(digest, code).verify_slice(mac).is_err() {
            tracing::warn!(digest, "a cache entry is not ours or was damaged; compiling anew");
            return None;
        }
        // Used now: the last to be pruned. Where this is not to be had, it goes earlier.
        let _ = file.set_modified(SystemTime::now());
        load(engine, code).inspect_err(|error| tracing::warn!(digest, %error, "a cache entry was not loaded")).ok()
    }

    /// Keeps code that this host's compiler made of the component with this digest, and loads it. A cache
    /// that can't be written costs the next start its time, and is logged.
    ///
    /// Errors: [`Error::Misfit`] if the engine does not take it, such as for more memories than it has room
    /// for.
    pub(crate) fn adopt(&self, engine: &Engine, digest: &str, code: &[u8]) -> Result<Component, Error> {
        let component = load(engine, code).map_err(|error| Error::Misfit(error.root_cause().to_string()))?;
        if let Err(error) = self.keep(digest, code) {
            tracing::warn!(digest, %error, "compiled code was not kept");
        }
        Ok(component)
    }

    fn keep(&self, digest: &str, code: &[u8]) -> Result<(), Error> {
        let mac = self.mac(digest, code).finalize().into_bytes();
        let path = self.path(digest);
        let nth = self.writes.fetch_add(1, Ordering::Relaxed);
        let new = path.with_extension(format!("new-{}-{nth}", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&mac)?;
            file.write_all(code)?;
            fs::rename(&new, &path)?;
            self.prune()
        };
        let written = write().inspect_err(|_| _ = fs::remove_file(&new));
        written.map_err(|cause| Error::Io { what: format!("cannot write {}", path.display()), cause })
    }

    /// Removes what was used longest ago, and what a writer left that was killed, until the rest fits.
    fn prune(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // One that is gone meanwhile takes no room.
            if let Ok(about) = entry.metadata() {
                entries.push((about.modified()?, about.len(), entry.path()));
            }
        }
        entries.sort();
        let mut bytes = entries.iter().map(|(_, bytes, _)| bytes).fold(0, |sum: u64, it| sum.saturating_add(*it));
        // The newest is what was just written.
        let older = entries.len().saturating_sub(1);
        for (_, size, path) in entries.into_iter().take(older) {
            if bytes <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            bytes = bytes.saturating_sub(size);
        }
        Ok(())
    }

    fn mac(&self, digest: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = match <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key) {
            Ok(mac) => mac,
            // An HMAC takes a key of any length.
            Err(error) => unreachable!("{error}"),
        };
        for part in [self.engine.as_bytes(), digest.as_bytes(), code] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            mac.update(part);
        }
        mac
    }

    /// Removes a component's compiled code from the folder of a cache, whichever engine it was made for. Says
    /// how many entries there were.
    ///
    /// Errors: [`Error::Io`].
    pub fn forget(dir: &Path, digest: &str) -> Result<usize, Error> {
        let io = |cause| Error::Io { what: format!("cannot remove from {}", dir.display()), cause };
        let mut removed = 0;
        let engines = match fs::read_dir(dir) {
            Ok(engines) => engines,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(io(error)),
        };
        for engine in engines {
            match fs::remove_file(engine.map_err(io)?.path().join(digest).with_extension("cwasm")) {
                Ok(()) => removed += 1,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(io(error)),
            }
        }
        Ok(removed)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(digest).with_extension("cwasm")
    }
}

/// Loads code that is known to be ours.
fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what wasmtime's compiler, of this very version and engine configuration (which
    // wasmtime checks), made for this host: either a compiler that this host ran gave them to it just now,
    // or the MAC over engine, digest and code verified over this copy in memory, which nothing can change
    // between the check and the use.
    #[expect(unsafe_code, reason = "loading compiled code is how a start takes milliseconds, not seconds")]
    let loaded = unsafe { Component::deserialize(engine, code) };
    loaded
}

fn private_dir(dir: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    // One that was there may have been made wider.
    let closed = made.and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o700)));
    closed.map_err(|cause| Error::Io { what: format!("cannot make the folder {}", dir.display()), cause })
}

fn key(path: &Path) -> Result<[u8; KEY_BYTES], Error> {
    let failed = |cause| Error::Io { what: format!("cannot keep a key in {}", path.display()), cause };
    match fs::read(path) {
        Ok(bytes) => {
            bytes.try_into().map_err(|_| Error::Cache(format!("{} is not a key of {KEY_BYTES} bytes", path.display())))
        }
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; KEY_BYTES];
            getrandom::fill(&mut key).map_err(|error| Error::Cache(error.to_string()))?;
            // Written whole beside its place and linked there, so that two hosts that start at once
            // end with one key.
            let new = path.with_extension(format!("new-{}", std::process::id()));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)
                .map_err(failed)?;
            file.write_all(&key).map_err(failed)?;
            let linked = fs::hard_link(&new, path);
            let _ = fs::remove_file(&new);
            match linked {
                Ok(()) => Ok(key),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self::key(path),
                Err(error) => Err(failed(error)),
            }
        }
        Err(cause) => Err(failed(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile::compile, engine::compiling};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn cache(engine: &Engine, folder: &Path) -> Result<CodeCache, Error> {
        CodeCache::open(engine, &folder.join("cache"), &folder.join("secrets"))
    }

    #[test]
    fn only_what_this_host_kept_for_this_component_is_loaded() -> Outcome {
        let folder = tempfile::tempdir()?;
        let engine = compiling()?;
        let ours = cache(&engine, folder.path())?;
        let code = compile(&engine, EMPTY)?;
        ours.adopt(&engine, "aa", &code)?;
        assert!(ours.find(&engine, "aa").is_some() && ours.find(&engine, "bb").is_none());
        fs::copy(ours.path("aa"), ours.path("bb"))?;
        assert!(ours.find(&engine, "bb").is_none(), "another component's");
        let mut damaged = fs::read(ours.path("aa"))?;
        if let Some(byte) = damaged.last_mut() {
            *byte ^= 1;
        }
        fs::write(ours.path("aa"), &damaged)?;
        assert!(ours.find(&engine, "aa").is_none(), "damaged");
        fs::write(ours.path("aa"), b"short")?;
        assert!(ours.find(&engine, "aa").is_none(), "cut");
        assert!(matches!(ours.adopt(&engine, "cc", b"not code"), Err(Error::Misfit(_))));
        assert!(!ours.path("cc").exists(), "what does not load is not kept");
        Ok(())
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() -> Outcome {
        let folder = tempfile::tempdir()?;
        let engine = compiling()?;
        let mut ours = cache(&engine, folder.path())?;
        let code = compile(&engine, EMPTY)?;
        ours.most_bytes = u64::try_from((code.len() + MAC_BYTES) * 2)?;
        for digest in ["a", "b"] {
            ours.keep(digest, &code)?;
        }
        let long_ago = |digest: &str, seconds| {
            let file = fs::File::options().write(true).open(ours.path(digest))?;
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(seconds))
        };
        long_ago("a", 2_000)?;
        long_ago("b", 1_000)?;
        assert!(ours.find(&engine, "a").is_some());
        ours.keep("c", &code)?;
        assert_eq!(["a", "b", "c"].map(|digest| ours.path(digest).exists()), [true, false, true]);
        Ok(())
    }
}
