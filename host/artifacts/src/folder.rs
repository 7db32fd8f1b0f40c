//! Components' bytes in a folder, a file each, named by digest.
//!
//! A file appears whole or not at all, and is on the disk before it is acknowledged; what is read is
//! checked against its name.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use remit_domain::{
    Error,
    library::{Artifacts, Digest},
};

const ENDING: &str = "wasm";

/// A folder of components.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, readable by this user alone, and removes what a crash left half written.
    ///
    /// Errors: it can't be made or read.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The folder as it is, for those who read while a host may be at work in it: nothing is made or removed.
    pub fn existing(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.path.join(digest.hex()).with_extension(ENDING)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(folder)).await;
        done.map_err(|error| Error::Internal(error.into()))?.map_err(|error| Error::Internal(error.into()))
    }
}

/// How the names of files begin that are not yet what they are to be.
const UNFINISHED: &str = ".new-";

#[async_trait]
impl Artifacts for Folder {
    async fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let (digest, bytes) = (digest.clone(), bytes.to_vec());
        self.blocking(move |folder| {
            let file = folder.file(&digest);
            // In place of one that is there: it may be damaged, or not on the disk yet.
            let mut new = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&folder.path)?;
            new.write_all(&bytes)?;
            new.as_file().sync_all()?;
            new.persist(&file)?;
            // The name is on the disk once its folder is.
            fs::File::open(&folder.path)?.sync_all()
        })
        .await
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let digest = digest.clone();
        self.blocking(move |folder| match fs::read(folder.file(&digest)) {
            Ok(bytes) if Digest::of(&bytes) == digest => Ok(Some(bytes)),
            Ok(_) => {
                tracing::error!(%digest, "a component's file was changed: it is not used");
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn remove(&self, digest: &Digest) -> Result<(), Error> {
        let digest = digest.clone();
        self.blocking(move |folder| match fs::remove_file(folder.file(&digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    async fn all(&self) -> Result<Vec<Digest>, Error> {
        self.blocking(move |folder| {
            let mut digests = Vec::new();
            for entry in fs::read_dir(&folder.path)? {
                let path = entry?.path();
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                if path.extension().is_some_and(|ending| ending == ENDING) {
                    digests.extend(Digest::new(&format!("sha256:{stem}")));
                }
            }
            Ok(digests)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[tokio::test]
    async fn bytes_are_kept_by_what_they_are() -> Tested {
        let place = tempfile::tempdir()?;
        let folder = Folder::open(&place.path().join("artifacts"))?;
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        assert_eq!(folder.get(&one).await?, None);
        folder.put(&one, b"one").await?;
        folder.put(&one, b"one").await?;
        folder.put(&two, b"two").await?;
        assert_eq!(folder.get(&one).await?.as_deref(), Some(b"one".as_slice()));
        let mut all = folder.all().await?;
        all.sort();
        let mut both = [one.clone(), two.clone()];
        both.sort();
        assert_eq!(all, both);
        folder.remove(&two).await?;
        folder.remove(&two).await?;
        assert_eq!(folder.all().await?, [one]);
        Ok(())
    }

    #[tokio::test]
    async fn a_file_that_was_changed_is_not_given_out_and_can_be_mended() -> Tested {
        let place = tempfile::tempdir()?;
        let folder = Folder::open(place.path())?;
        let digest = Digest::of(b"one");
        folder.put(&digest, b"one").await?;
        fs::write(folder.file(&digest), b"evil")?;
        assert_eq!(folder.get(&digest).await?, None);
        folder.put(&digest, b"one").await?;
        assert_eq!(folder.get(&digest).await?.as_deref(), Some(b"one".as_slice()));
        Ok(())
    }

    #[tokio::test]
    async fn what_a_crash_left_half_written_is_gone_at_the_next_start() -> Tested {
        let place = tempfile::tempdir()?;
        let half = place.path().join(format!("{UNFINISHED}abc"));
        fs::write(&half, b"ha")?;
        let folder = Folder::open(place.path())?;
        assert!(!half.exists());
        assert!(folder.all().await?.is_empty());
        assert_eq!(fs::metadata(place.path())?.permissions().mode() & 0o777, 0o700);
        Ok(())
    }
}
