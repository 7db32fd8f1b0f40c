//! The one place that tells a component from a native test: here the SDK's handles are the host's,
//! there they are the fakes of `testing`, which have the same functions.
//!
//! There is no trait between them: in a component each wrapper calls the import itself, so that what
//! a plugin does not use is not linked, and its imports say truly what it can touch.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::remit::{
    data::{
        common::{Grants, Reader, Writer},
        documents::{DocumentStore, PendingDocuments},
        files::Folder,
        http_api::{Api, PendingResponse},
        sql::{Database, PendingChange, PendingRows, Transaction},
    },
    notify::notify::Channel,
    plugin::invocation::Invocation,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::handles::{
    Api, Channel, Database, DocumentStore, Folder, Grants, Invocation, PendingChange, PendingDocuments,
    PendingResponse, PendingRows, Reader, Transaction, Writer,
};
