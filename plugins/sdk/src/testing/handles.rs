//! What the SDK's wrappers hold in a native test, in place of the host's handles and with the same
//! functions: a fake, and what may be done with it.

use super::{FakeApi, FakeChannel, FakeDatabase, FakeDocuments, FakeFolder, Source, read_only};
use crate::{Cause, Permission};

pub(crate) use super::api::PendingResponse;
pub(crate) use super::{
    database::{PendingChange, PendingRows, Transaction},
    documents::PendingDocuments,
    folder::{Reader, Writer},
    invocation::Invocation,
};

pub(crate) type Database = Handle<FakeDatabase>;
pub(crate) type DocumentStore = Handle<FakeDocuments>;
pub(crate) type Api = Handle<FakeApi>;
pub(crate) type Folder = Handle<FakeFolder>;
pub(crate) type Channel = Handle<FakeChannel>;

/// The bag of a call's handles.
#[derive(Debug, Default)]
pub(crate) struct Grants(pub(super) Vec<(String, Source, Permission)>);

impl Grants {
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _, _)| name.clone()).collect()
    }
}

pub(crate) struct Handle<F> {
    pub(super) fake: F,
    permission: Permission,
}

impl<F> Handle<F> {
    /// Errors: `denied` on a read handle.
    pub(super) fn for_writing(&self) -> Result<&F, Cause> {
        match self.permission {
            Permission::Write => Ok(&self.fake),
            Permission::Read => Err(read_only()),
        }
    }
}

macro_rules! takes {
    ($($kind:ident: $fake:ident),+) => {
        $(impl Handle<$fake> {
            pub(crate) fn take(grants: &Grants, name: &str) -> Result<Self, Cause> {
                let found = grants.0.iter().find_map(|(it, source, permission)| match source {
                    Source::$kind(fake) if it == name => Some(Self { fake: fake.clone(), permission: *permission }),
                    _ => None,
                });
                found.ok_or_else(|| Cause::NotFound(name.to_owned()))
            }
        })+
    };
}
takes!(Database: FakeDatabase, Documents: FakeDocuments, Api: FakeApi, Folder: FakeFolder, Channel: FakeChannel);
