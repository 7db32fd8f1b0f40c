//! Fakes, so that tools run natively in an author's own tests: sources that answer from memory and
//! remember what was asked, and a call that holds them.
//!
//! ```
//! use remit_sdk::{prelude::*, testing::{self, FakeDatabase}};
//!
//! #[derive(Deserialize)]
//! struct Counted {
//!     n: i64,
//! }
//!
//! fn orders(call: &Call) -> Result<i64> {
//!     let row: Option<Counted> = call.database("primary")?.row("SELECT COUNT(*) AS n FROM orders", params![])?;
//!     Ok(row.map_or(0, |row| row.n))
//! }
//!
//! let database = FakeDatabase::sqlite().rows("from orders", json!([{ "n": 3 }]));
//! let call = testing::call().reads("primary", &database).build();
//! assert_eq!(orders(&call), Ok(3));
//! assert_eq!(database.statements().len(), 1);
//! ```
//!
//! They hold a call to its grants (a write through a read handle is `denied`), but are no databases or
//! services: they understand no SQL, and only equality in document filters.

mod api;
mod channel;
mod database;
mod documents;
mod folder;
pub(crate) mod handles;
mod invocation;

pub use api::FakeApi;
pub use channel::{FakeChannel, Sent};
pub use database::{Ended, FakeDatabase, Statement};
pub use documents::FakeDocuments;
pub use folder::FakeFolder;
pub use invocation::{FakeCall, Told, call};

use crate::Cause;

/// A fake source of any kind.
#[derive(Debug, Clone)]
pub enum Source {
    /// A database.
    Database(FakeDatabase),
    /// A document database.
    Documents(FakeDocuments),
    /// An HTTP service.
    Api(FakeApi),
    /// A folder.
    Folder(FakeFolder),
    /// A channel.
    Channel(FakeChannel),
}

macro_rules! sources {
    ($($kind:ident: $fake:ident),+) => {
        $(impl From<&$fake> for Source {
            fn from(fake: &$fake) -> Self {
                Self::$kind(fake.clone())
            }
        })+
    };
}
sources!(Database: FakeDatabase, Documents: FakeDocuments, Api: FakeApi, Folder: FakeFolder, Channel: FakeChannel);

/// A source that is down: what an unreachable one answers.
pub fn unavailable() -> Cause {
    Cause::Unavailable(crate::Wait { message: "the source cannot be reached".to_owned(), retry_after_ms: None })
}

fn read_only() -> Cause {
    Cause::Denied("this handle only reads".to_owned())
}
