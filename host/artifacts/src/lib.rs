//! Components' bytes by digest, in a folder or in an object store.
//!
//! Deliberately absent: what the bytes are, and who may have them.

mod bucket;
mod folder;

pub use bucket::{Access, Bucket};
pub use folder::Folder;
