//! A folder of files that is whole or not there: what backups and exports are.
//!
//! It is written beside its place under a name of its own, every file synchronised, with a manifest of all
//! digests; only then does it get its name. Read again, every byte is held against the manifest, and a file
//! too many is a fault as one too few. Deliberately absent: what the files hold, and signatures: who may write
//! the folder may write its manifest.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use remit_domain::clock::{Clock as _, SystemClock, rfc3339};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The manifest's file.
const MANIFEST: &str = "manifest.json";
/// The version of this form.
const VERSION: u32 = 1;
/// How the names of folders begin that are not whole.
const UNFINISHED: &str = ".remit-unfinished-";

/// What an archive says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// What it is: `remit-backup` or `remit-tenant`.
    format: String,
    /// The version of that.
    version: u32,
    /// When it was made, in RFC 3339.
    made: String,
    /// The host's version.
    host: String,
    /// Whose, if it is a tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// All files but this one.
    files: Vec<Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Below the archive's folder, with `/`.
    pub(crate) path: String,
    bytes: u64,
    sha256: String,
}

/// An archive in the making. Dropped before its end, it leaves nothing.
pub(crate) struct Making {
    to: PathBuf,
    folder: TempDir,
    files: Vec<Entry>,
}

impl Making {
    /// Begins one. Errors: something is there already, or nothing can be written there.
    pub(crate) fn begin(to: &Path) -> anyhow::Result<Self> {
        match fs::read_dir(to) {
            Ok(mut there) => ensure!(there.next().is_none(), "{} is there and not empty", to.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{} is no folder", to.display())),
        }
        let beside = parent(to);
        let folder = tempfile::Builder::new().prefix(UNFINISHED).permissions(private()).tempdir_in(beside);
        let folder = folder.with_context(|| format!("{} can't be written", beside.display()))?;
        Ok(Self { to: to.to_owned(), folder, files: Vec::new() })
    }

    /// Where a file is to be written, by somebody else, before [`Self::seal`].
    pub(crate) fn place(&self, path: &str) -> io::Result<PathBuf> {
        let file = self.folder.path().join(path);
        if let Some(folder) = file.parent() {
            make_private(folder)?;
        }
        Ok(file)
    }

    /// Takes in a file that was written where [`Self::place`] says.
    pub(crate) fn seal(&mut self, path: &str) -> anyhow::Result<()> {
        let file = self.folder.path().join(path);
        let sealed = || -> io::Result<Entry> {
            let opened = File::open(&file)?;
            opened.set_permissions(Permissions::from_mode(0o600))?;
            opened.sync_all()?;
            let (bytes, sha256) = pour(BufReader::new(opened), io::sink())?;
            Ok(Entry { path: path.to_owned(), bytes, sha256 })
        };
        self.files.push(sealed().with_context(|| format!("{path} can't be kept"))?);
        Ok(())
    }

    /// Writes a file.
    pub(crate) fn write(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let written = || create(&self.place(path)?)?.write_all(bytes);
        written().with_context(|| format!("{path} can't be written"))?;
        self.seal(path)
    }

    /// A file to be written bit by bit, and then sealed.
    pub(crate) fn create(&self, path: &str) -> io::Result<File> {
        create(&self.place(path)?)
    }

    /// Gives it its name.
    pub(crate) fn finish(mut self, format: &str, tenant: Option<&str>) -> anyhow::Result<()> {
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
        let manifest = Manifest {
            format: format.to_owned(),
            version: VERSION,
            made: rfc3339(SystemClock.now()),
            host: env!("CARGO_PKG_VERSION").to_owned(),
            tenant: tenant.map(str::to_owned),
            files: std::mem::take(&mut self.files),
        };
        let text = serde_json::to_vec_pretty(&manifest)?;
        self.write(MANIFEST, &text)?;
        let named = || -> io::Result<()> {
            sync_folders(self.folder.path())?;
            fs::rename(self.folder.path(), &self.to)?;
            sync(parent(&self.to))
        };
        named().with_context(|| format!("{} can't get its name", self.to.display()))?;
        // It is elsewhere now.
        let _ = self.folder.keep();
        Ok(())
    }
}

/// An archive as somebody left it.
pub(crate) struct Archive {
    folder: PathBuf,
    files: Vec<Entry>,
}

impl Archive {
    /// Reads the manifest. Errors: it is not there, of another form, or names what it must not; the folder
    /// holds other files than it names.
    pub(crate) fn open(folder: &Path, format: &str) -> anyhow::Result<Self> {
        let text = fs::read(folder.join(MANIFEST));
        let text = text.with_context(|| format!("{} holds no whole archive: no {MANIFEST}", folder.display()))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).with_context(|| format!("{MANIFEST} is none of this host's"))?;
        ensure!(manifest.format == format, "{} is a {}, no {format}", folder.display(), manifest.format);
        ensure!(manifest.version <= VERSION, "the archive is of a newer version: use the newer host");
        let named: BTreeSet<&str> = manifest.files.iter().map(|entry| entry.path.as_str()).collect();
        ensure!(named.len() == manifest.files.len(), "{MANIFEST} names a file twice");
        for path in &named {
            let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            ensure!(plain && !path.is_empty(), "{MANIFEST} names {path:?}");
        }
        let mut there = BTreeSet::new();
        list(folder, "", &mut there)?;
        there.remove(MANIFEST);
        for path in &named {
            ensure!(there.remove(*path), "{path} is missing");
        }
        if let Some(path) = there.first() {
            bail!("{path} does not belong there");
        }
        Ok(Self { folder: folder.to_owned(), files: manifest.files })
    }

    /// The files there are.
    pub(crate) fn files(&self) -> &[Entry] {
        &self.files
    }

    /// Copies a file to where nothing is, for this user alone, and holds it against the manifest.
    ///
    /// Errors: it can't be copied, or is not what it was.
    pub(crate) fn copy(&self, entry: &Entry, to: &Path) -> anyhow::Result<()> {
        let copied = || -> io::Result<(u64, String)> {
            if let Some(folder) = to.parent() {
                make_private(folder)?;
            }
            let mut file = create(to)?;
            let poured = pour(File::open(self.folder.join(&entry.path))?, &mut file)?;
            file.sync_all()?;
            Ok(poured)
        };
        let (bytes, sha256) = copied().with_context(|| format!("{} can't be copied", entry.path))?;
        ensure!((bytes, &sha256) == (entry.bytes, &entry.sha256), "{} was changed since it was made", entry.path);
        Ok(())
    }
}

/// All files below a folder. Errors: it can't be read; something is neither a file nor a folder.
pub(crate) fn list(folder: &Path, below: &str, into: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let unreadable = || format!("{} can't be read", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| anyhow::anyhow!("{name:?} is no name that this host gives"))?;
        let (kind, path) = (entry.file_type().with_context(unreadable)?, format!("{below}{name}"));
        if kind.is_dir() {
            list(&entry.path(), &format!("{path}/"), into)?;
        } else {
            // Neither links, which lead elsewhere, nor devices.
            ensure!(kind.is_file(), "{path} is no file");
            into.insert(path);
        }
    }
    Ok(())
}

/// Sees to it that a folder's names are on the disk.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Where a path lies.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Permissions of a folder for this user alone.
pub(crate) fn private() -> Permissions {
    Permissions::from_mode(0o700)
}

fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync(folder)
}

/// Copies, and says how many bytes and with which digest.
fn pour(mut from: impl Read, mut to: impl Write) -> io::Result<(u64, String)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let piece = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(piece);
        to.write_all(piece)?;
        bytes += piece.len() as u64;
    }
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(to: &Path) -> anyhow::Result<()> {
        let mut making = Making::begin(to)?;
        making.write("journal.db", b"journal")?;
        making.write("artifacts/a.wasm", b"wasm")?;
        making.finish("remit-backup", None)
    }

    #[test]
    fn an_archive_is_whole_private_and_never_written_over() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let to = root.path().join("one");
        make(&to)?;
        let mode = |path: &str| Ok::<_, io::Error>(fs::metadata(to.join(path))?.permissions().mode() & 0o777);
        assert_eq!((mode("")?, mode("artifacts")?, mode("journal.db")?), (0o700, 0o700, 0o600));
        assert!(make(&to).is_err_and(|error| error.to_string().contains("not empty")));
        assert!(make(&to.join("journal.db")).is_err(), "not a folder");
        assert!(make(&root.path().join("no/such")).is_err());
        let archive = Archive::open(&to, "remit-backup")?;
        let copy = root.path().join("copy");
        for entry in archive.files() {
            archive.copy(entry, &copy.join(&entry.path))?;
        }
        assert_eq!(fs::read(copy.join("artifacts/a.wasm"))?, b"wasm");
        assert!(Archive::open(&to, "remit-tenant").is_err());
        drop(Making::begin(&root.path().join("two"))?);
        let left: Vec<_> = fs::read_dir(root.path())?.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 2, "what was dropped is gone: {left:?}");
        Ok(())
    }

    #[test]
    fn whatever_was_changed_is_noticed() -> anyhow::Result<()> {
        let changed = |change: &dyn Fn(&Path) -> io::Result<()>| -> anyhow::Result<String> {
            let root = tempfile::tempdir()?;
            let to = root.path().join("one");
            make(&to)?;
            change(&to)?;
            let opened = Archive::open(&to, "remit-backup").and_then(|archive| {
                archive.files().iter().try_for_each(|entry| archive.copy(entry, &root.path().join(&entry.path)))
            });
            Ok(opened.err().map(|error| format!("{error:#}")).unwrap_or_default())
        };
        let manifest = |from: &'static str, to: &'static str| {
            move |folder: &Path| {
                let file = folder.join(MANIFEST);
                let text = fs::read_to_string(&file)?;
                assert!(text.contains(from), "{text}");
                fs::write(file, text.replace(from, to))
            }
        };
        for (change, said) in [
            (&(|folder: &Path| fs::write(folder.join("journal.db"), b"jourNal")) as &dyn Fn(&Path) -> _, "was changed"),
            (&|folder: &Path| fs::write(folder.join("journal.db"), b"journal "), "was changed"),
            (&|folder: &Path| fs::remove_file(folder.join("artifacts/a.wasm")), "is missing"),
            (&|folder: &Path| fs::write(folder.join("artifacts/b.wasm"), b""), "does not belong"),
            (&|folder: &Path| fs::remove_file(folder.join(MANIFEST)), "no whole archive"),
            (&|folder: &Path| std::os::unix::fs::symlink("/etc/passwd", folder.join("x")), "is no file"),
            (&manifest("journal.db", "../journal.db"), "names"),
            (&manifest("journal.db", "/etc/passwd"), "names"),
            (&manifest("\"version\": 1", "\"version\": 2"), "newer"),
            (&manifest("remit-backup", "remit-other"), "no remit-backup"),
            (&manifest("\"files\"", "\"filez\""), "none of this host's"),
        ] {
            let found = changed(change)?;
            assert!(found.contains(said), "{found:?} says {said:?}");
        }
        Ok(())
    }
}
