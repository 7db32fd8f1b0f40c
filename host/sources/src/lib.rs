//! temp
mod documents;
pub mod guard;
mod lease;
mod mysql;
mod observe;
mod settings;
mod sql;
mod sqlite;
pub use settings::Settings;
