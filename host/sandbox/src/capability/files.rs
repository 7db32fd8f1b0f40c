//! `remit:data/files`: folders of files.
//!
//! A text becomes a path here, before the permit is asked: an unsafe path is `invalid` whoever names it.

use std::sync::Arc;

use remit_domain::{
    data::{Error, Handle, files},
    grant::{Permission, Permit},
};
use wasmtime::component::Resource;

use super::{Bag, Reader, Writer, common::error, sql::wrong_family};
use crate::{
    bindings::remit::data::{common::Error as WitError, files as wit},
    state::State,
    traffic::Size,
};

type Answer<T> = wasmtime::Result<Result<T, WitError>>;

/// What stands behind a guest's `folder`.
#[derive(Clone)]
pub struct Folder {
    permit: Permit,
    port: Arc<dyn files::Folder>,
}

impl Folder {
    async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let path = files::Path::inside(path)?;
        self.port.read(self.permit.read()?, &path).await
    }

    async fn open(&self, path: &str, offset: u64) -> Result<Reader, Error> {
        let path = files::Path::inside(path)?;
        // The pieces are read under the permit of the whole, and not noted each.
        let permit = self.permit.start(Permission::Read)?;
        let body = self.port.open(permit.read()?, &path, offset).await?;
        Ok(Reader { permit, path: Some(path), body })
    }

    async fn write(&self, path: &str, bytes: &[u8], when: &files::Condition) -> Result<files::Entry, Error> {
        let path = files::Path::inside(path)?;
        self.port.write(self.permit.write()?, &path, bytes, when).await
    }

    async fn create(&self, path: &str, when: &files::Condition) -> Result<Writer, Error> {
        let path = files::Path::inside(path)?;
        let permit = self.permit.start(Permission::Write)?;
        let port = self.port.create(permit.write()?, &path, when).await?;
        Ok(Writer { permit, port })
    }

    async fn list(&self, path: &str, after: Option<&str>) -> Result<files::Page, Error> {
        let path = files::Path::new(path)?;
        self.port.list(self.permit.read()?, &path, after).await
    }

    async fn stat(&self, path: &str) -> Result<files::Entry, Error> {
        let path = files::Path::new(path)?;
        self.port.stat(self.permit.read()?, &path).await
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        let path = files::Path::inside(path)?;
        self.port.delete(self.permit.write()?, &path).await
    }
}

impl wit::Host for State {}

impl wit::HostFolder for State {
    async fn take(&mut self, grants: Resource<Bag>, name: String) -> Answer<Resource<Folder>> {
        self.enter(&name)?;
        let bag = self.table.get(&grants)?.0.clone();
        Ok(match bag.open(&name).await {
            Ok((permit, Handle::Files(port))) => Ok(self.table.push(Folder { permit, port })?),
            Ok((_, other)) => Err(wrong_family(&name, other.family())),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn read(&mut self, folder: Resource<Folder>, path: String) -> Answer<Vec<u8>> {
        self.enter(&path)?;
        let folder = self.table.get(&folder)?.clone();
        self.answer(folder.read(&path).await)
    }

    async fn open(&mut self, folder: Resource<Folder>, path: String, offset: u64) -> Answer<Resource<Reader>> {
        self.enter(&path)?;
        let folder = self.table.get(&folder)?.clone();
        Ok(match folder.open(&path, offset).await {
            Ok(reader) => Ok(self.table.push(reader)?),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn write(
        &mut self,
        folder: Resource<Folder>,
        path: String,
        bytes: Vec<u8>,
        when: wit::Condition,
    ) -> Answer<wit::Entry> {
        self.enter(&(&path, &bytes, &when))?;
        let folder = self.table.get(&folder)?.clone();
        self.answer(folder.write(&path, &bytes, &condition(when)).await.map(entry))
    }

    async fn create(
        &mut self,
        folder: Resource<Folder>,
        path: String,
        when: wit::Condition,
    ) -> Answer<Resource<Writer>> {
        self.enter(&(&path, &when))?;
        let folder = self.table.get(&folder)?.clone();
        Ok(match folder.create(&path, &condition(when)).await {
            Ok(writer) => Ok(self.table.push(writer)?),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn list(&mut self, folder: Resource<Folder>, path: String, after: Option<String>) -> Answer<wit::Page> {
        self.enter(&(&path, &after))?;
        let folder = self.table.get(&folder)?.clone();
        let page = folder.list(&path, after.as_deref()).await;
        self.answer(
            page.map(|page| wit::Page { entries: page.entries.into_iter().map(entry).collect(), next: page.next }),
        )
    }

    async fn stat(&mut self, folder: Resource<Folder>, path: String) -> Answer<wit::Entry> {
        self.enter(&path)?;
        let folder = self.table.get(&folder)?.clone();
        self.answer(folder.stat(&path).await.map(entry))
    }

    async fn delete(&mut self, folder: Resource<Folder>, path: String) -> Answer<()> {
        self.enter(&path)?;
        let folder = self.table.get(&folder)?.clone();
        self.answer(folder.delete(&path).await)
    }

    async fn drop(&mut self, folder: Resource<Folder>) -> wasmtime::Result<()> {
        self.table.delete(folder)?;
        Ok(())
    }
}

impl Size for wit::Condition {
    fn size(&self) -> usize {
        match self {
            Self::Always | Self::Absent => 0,
            Self::Unchanged(etag) => etag.len(),
        }
    }
}

impl Size for wit::Entry {
    fn size(&self) -> usize {
        (&self.path, &self.modified, &self.etag).size().saturating_add(self.size.size())
    }
}

impl Size for wit::Page {
    fn size(&self) -> usize {
        (&self.entries, &self.next).size()
    }
}

fn condition(when: wit::Condition) -> files::Condition {
    match when {
        wit::Condition::Always => files::Condition::Always,
        wit::Condition::Absent => files::Condition::Absent,
        wit::Condition::Unchanged(etag) => files::Condition::Unchanged(etag),
    }
}

fn entry(entry: files::Entry) -> wit::Entry {
    let kind = match entry.kind {
        files::Kind::File => wit::Kind::File,
        files::Kind::Folder => wit::Kind::Folder,
    };
    wit::Entry { path: entry.path, kind, size: entry.size, modified: entry.modified, etag: entry.etag }
}
