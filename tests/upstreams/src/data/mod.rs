//! The demo's data, the same on every machine.
//!
//! Nothing here is random in the end: [`crate::random`] with fixed seeds decides every row, and dates
//! count back from [`techstart::ANCHOR`].

pub mod catalogue;
pub mod documents;
pub mod files;
pub mod table;
pub mod techstart;
