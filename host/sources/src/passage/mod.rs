//! The way of every operation to a source: recorded, held back while the source fails again and again,
//! answered from what was kept where its definition says so.
//!
//! One wrapper a family stands before the connectors' own handles, so that no connector has to do any of
//! this. Deliberately absent: permission, whose proof the wrappers pass on.

mod documents;
mod files;
mod http_api;
mod notify;
mod shape;
mod sql;
#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc};

use remit_domain::{
    data::{Condition, Error, Handle, sql as port},
    operation::{Digest, Extent, Recorder, UnderWay},
    scope::Scope,
};

use crate::{
    breaker::{Breaker, Leave, Verdict},
    kept::{Answer, Key, Shelf},
    observe::{self, There},
};

/// What is asked in more bytes than these is neither kept nor looked for, and its digest is of these alone.
const MAX_BYTES: usize = port::MAX_STATEMENT_BYTES;

/// The way to one source.
#[derive(Debug)]
pub(crate) struct Passage {
    family: &'static str,
    revision: String,
    breaker: Breaker,
    shelf: Option<Shelf>,
}

impl Passage {
    pub(crate) fn new(family: &'static str, revision: &str, breaker: Breaker, shelf: Option<Shelf>) -> Arc<Self> {
        Arc::new(Self { family, revision: revision.to_owned(), breaker, shelf })
    }

    /// A handle whose operations go this way.
    pub(crate) fn before(self: &Arc<Self>, handle: Handle) -> Handle {
        match handle {
            Handle::Sql(database) => Handle::Sql(Arc::new(sql::Database::new(self.clone(), database))),
            Handle::Documents(store) => Handle::Documents(Arc::new(documents::Store::new(self.clone(), store))),
            Handle::Api(api) => Handle::Api(Arc::new(http_api::Api::new(self.clone(), api))),
            Handle::Files(folder) => Handle::Files(Arc::new(files::Folder::new(self.clone(), folder))),
            Handle::Channel(channel) => Handle::Channel(Arc::new(notify::Channel::new(self.clone(), channel))),
        }
    }

    /// Whether the source is asked, and how it failed last.
    pub(crate) fn condition(&self) -> Condition {
        self.breaker.condition()
    }

    /// Runs a health probe, whatever came before.
    pub(crate) async fn probe(&self, run: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        let leave = self.breaker.probe();
        let result = run.await;
        leave.end(Verdict::of(&result));
        result
    }

    /// Runs an operation that is neither answered from what was kept nor a change.
    async fn run<T: Came>(
        &self,
        recorder: &Recorder,
        name: &'static str,
        digest: Option<Digest>,
        run: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let under_way = recorder.begin(name, digest)?;
        self.through(under_way, run).await
    }

    /// Runs a read, unless its answer was kept. `key` says what it is kept by; None: not at all.
    async fn read<T: Kept>(
        &self,
        recorder: &Recorder,
        name: &'static str,
        digest: Digest,
        key: impl FnOnce() -> Option<Key>,
        run: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let under_way = recorder.begin(name, Some(digest))?;
        let Some((shelf, key)) = self.shelf.as_ref().and_then(|shelf| Some((shelf, key()?))) else {
            return self.through(under_way, run).await;
        };
        let reading = match shelf.get(key).map(T::again) {
            Ok(Some(answer)) => {
                observe::cached(self.family, true);
                under_way.end(answer.outcome(), Extent { cached: true, ..answer.extent() });
                return Ok(answer);
            }
            Ok(None) => return self.through(under_way, run).await,
            Err(reading) => reading,
        };
        observe::cached(self.family, false);
        let answer = self.through(under_way, run).await?;
        let bytes = answer.bytes();
        if shelf.takes(bytes)
            && let Some(kept) = answer.kept()
        {
            shelf.keep(reading, kept, bytes);
        }
        Ok(answer)
    }

    /// Runs a change, which makes void what was kept.
    async fn write<T: Came>(
        &self,
        recorder: &Recorder,
        name: &'static str,
        digest: Digest,
        run: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let under_way = recorder.begin(name, Some(digest))?;
        let write = self.shelf.as_ref().map(Shelf::write);
        let result = self.through(under_way, run).await;
        if let Some(write) = write.filter(|_| is_certain(&result)) {
            write.end();
        }
        result
    }

    /// A change whose end the caller knows: see [`Shelf::written`].
    fn written(&self, known: bool) {
        if let Some(shelf) = &self.shelf {
            shelf.written(known);
        }
    }

    async fn through<T: Came>(
        &self,
        under_way: UnderWay,
        run: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let leave = match self.breaker.ask() {
            Ok(leave) => leave,
            Err(refused) => {
                under_way.end(refused.case(), Extent::default());
                return Err(refused);
            }
        };
        let _there = There::operation(self.family);
        let result = run.await;
        end(leave, &result);
        record(under_way, &result);
        result
    }

    /// A key of parts: of this definition, and of what of the source may be touched.
    fn key<'a>(&'a self, scope: &Scope, parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
        let scope = scope.names().map(|names| names.collect::<Vec<_>>());
        let scope = format!("{scope:?}");
        let around = [self.revision.as_bytes(), scope.as_bytes()];
        let parts: Vec<&[u8]> = parts.into_iter().collect();
        Key::of(around.into_iter().chain(parts))
    }
}

/// What comes of an operation.
trait Came {
    /// How much.
    fn extent(&self) -> Extent {
        Extent::default()
    }

    /// What it says of the source.
    fn verdict(&self) -> Verdict {
        Verdict::Answers
    }

    /// What the record says.
    fn outcome(&self) -> &'static str {
        "ok"
    }
}

impl Came for () {}

/// What comes of a read and can be given again.
trait Kept: Came + Sized {
    /// What it takes in memory.
    fn bytes(&self) -> u64;

    /// A copy. None: it is not to be given again.
    fn kept(&self) -> Option<Answer>;

    /// From a copy.
    fn again(answer: Answer) -> Option<Self>;
}

fn end<T: Came>(leave: Leave<'_>, result: &Result<T, Error>) {
    leave.end(result.as_ref().map_or_else(|_| Verdict::of(result), Came::verdict));
}

fn record<T: Came>(under_way: UnderWay, result: &Result<T, Error>) {
    match result {
        Ok(came) => under_way.end(came.outcome(), came.extent()),
        Err(error) => under_way.end(error.case(), Extent::default()),
    }
}

/// Whether it is known of a change whether it took effect.
fn is_certain<T: Came>(result: &Result<T, Error>) -> bool {
    match result {
        Ok(came) => came.verdict() == Verdict::Answers,
        Err(error) => !matches!(error, Error::Uncertain(_)),
    }
}

fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The beginning of a text that is worth a digest.
fn head(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_BYTES)).unwrap_or_default()
}
