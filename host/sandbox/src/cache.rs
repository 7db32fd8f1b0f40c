//! Compiled code on disk, keyed by the component's digest and the engine's configuration.
//!
//! Wasmtime does not check compiled code when it loads it: a flipped bit is accepted and run. So
//! each entry carries a MAC under a key that only this host's state holds, over the engine, the
//! component's digest and the code; what does not verify is not ours and is compiled anew.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::{Engine, component::Component};

use crate::Error;

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// The compiled code of components.
pub struct CodeCache {
    dir: PathBuf,
    engine: String,
    key: [u8; KEY_BYTES],
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
        Ok(Self { dir, engine, key: key(&secrets.join("code-cache.key"))? })
    }

    /// The compiled form of a component: from the cache if there is an entry that is ours, else
    /// compiled now and kept. `digest` is the SHA-256 of `wasm` in hex.
    ///
    /// Errors: [`Error::NotAComponent`] if it does not compile. A cache that can't be written costs
    /// the next start its time, and is logged.
    pub(crate) fn load(&self, engine: &Engine, digest: &str, wasm: &[u8]) -> Result<Component, Error> {
        if let Some(component) = self.find(engine, digest) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, wasm)
            .map_err(|error| Error::NotAComponent(error.root_cause().to_string()))?;
        if let Err(error) = self.keep(digest, &component) {
            tracing::warn!(digest, %error, "compiled code was not kept");
        }
        Ok(component)
    }

    fn find(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let entry = fs::read(self.path(digest)).ok()?;
        let (mac, code) = entry.split_at_checked(MAC_BYTES)?;
        if self.mac(digest, code).verify_slice(mac).is_err() {
            tracing::warn!(digest, "a cache entry is not ours or was damaged; compiling anew");
            return None;
        }
        // SAFETY: the bytes are what `Component::serialize` of this very engine configuration gave to
        // this host: the MAC over engine, digest and code verified over this copy in memory, which
        // nothing can change between the check and the use.
        #[expect(unsafe_code, reason = "loading compiled code is how a start takes milliseconds, not seconds")]
        let loaded = unsafe { Component::deserialize(engine, code) };
        loaded.inspect_err(|error| tracing::warn!(digest, %error, "a cache entry was not loaded")).ok()
    }

    fn keep(&self, digest: &str, component: &Component) -> Result<(), Error> {
        let code = component.serialize().map_err(|error| Error::Cache(error.to_string()))?;
        let mac = self.mac(digest, &code).finalize().into_bytes();
        let path = self.path(digest);
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&mac)?;
            file.write_all(&code)?;
            fs::rename(&new, &path)
        };
        write().map_err(|cause| Error::Io { what: format!("cannot write {}", path.display()), cause })
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

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(digest).with_extension("cwasm")
    }
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
