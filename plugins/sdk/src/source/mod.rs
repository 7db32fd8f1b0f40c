//! The sources that a call may be handed, each as narrow as its grant. Every failure names the source,
//! so that `?` tells the host which one it was.

mod api;
mod channel;
mod database;
mod documents;
mod folder;
mod pages;
mod rows;
mod soql;

pub use crate::bindings::remit::{
    data::{
        documents::{Selection, UpdateCount},
        files::{Condition, Entry, Kind},
        http_api::{Method, Request, Response},
        sql::{Change, Column, RowSet, Value},
    },
    notify::notify::{Attachment, Body, Mail, Post},
};
pub use api::{Api, Stream, segment};
pub use channel::Channel;
pub use database::{Database, Dialect, Transaction};
pub use documents::DocumentStore;
pub use folder::{Folder, Reader, Writer};
pub use pages::{Pages, Paging};
#[doc(hidden)]
pub use soql::fill as fill_soql;
pub use soql::{Literal, phrase};
