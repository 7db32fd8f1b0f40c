//! What the host offers to guests: one file for each WIT interface, each turning guest types into
//! domain types at its edge and asking the permit before every operation.
//!
//! Deliberately absent: what a component may import beside these; one that imports more is refused by name.

#![expect(unreachable_pub, reason = "the generated bindings re-export what stands behind each resource")]

pub(crate) mod common;
pub(crate) mod documents;
pub(crate) mod files;
pub(crate) mod http_api;
pub(crate) mod invocation;
pub(crate) mod notify;
mod pending;
pub(crate) mod sql;

use remit_domain::grant::Grants;
use wasmtime::{
    Engine,
    component::{HasSelf, Linker},
};

pub use common::{Reader, Writer};
pub(crate) use pending::Pending;

use crate::{
    bindings::remit::{data, notify::notify as channels, plugin},
    state::State,
};

/// What stands behind a guest's `grants`.
pub struct Bag(pub(crate) Grants);

/// The interfaces of this project's packages that are linked, with their versions.
pub(crate) const LINKED: [&str; 9] = [
    "remit:data/common@0.1.0",
    "remit:data/sql@0.1.0",
    "remit:data/documents@0.1.0",
    "remit:data/http-api@0.1.0",
    "remit:data/files@0.1.0",
    "remit:notify/notify@0.1.0",
    "remit:plugin/types@0.1.0",
    "remit:plugin/context@0.1.0",
    "remit:plugin/invocation@0.1.0",
];

/// A linker with everything that a guest can import. WASI is there as far as the standard libraries
/// of Rust, JavaScript and Python need it to start, with nothing behind it: no environment, no
/// arguments, no files, no sockets.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::<State>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    data::common::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    data::sql::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    data::documents::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    data::http_api::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    data::files::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    channels::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    plugin::types::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    plugin::context::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    plugin::invocation::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}
