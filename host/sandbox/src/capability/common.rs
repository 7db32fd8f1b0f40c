//! `remit:data/common`: errors, grants, and bytes in pieces.

use remit_domain::{
    data::{Error, Refusal, files, http_api},
    grant::Permit,
};
use wasmtime::component::Resource;

use super::Bag;
use crate::{bindings::remit::data::common as wit, state::State};

/// The most bytes that one `reader.read` gives (1 MiB by contract).
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// What stands behind a guest's `reader`.
pub struct Reader {
    /// Asked before every piece: a grant may be revoked while a body streams.
    pub(crate) permit: Permit,
    /// The path that the bytes are of, where the source has paths: a mapping may be narrowed meanwhile.
    pub(crate) path: Option<files::Path>,
    pub(crate) body: Box<dyn http_api::Reader>,
}

impl Reader {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error> {
        let access = self.permit.read()?;
        if self.path.as_ref().is_some_and(|path| !access.scope().covers(path.as_str())) {
            return Err(Error::Denied("the agent's mapping does not reach this path".to_owned()));
        }
        self.body.read(max).await
    }
}

/// What stands behind a guest's `writer`.
pub struct Writer {
    /// Asked before every piece, as a reader's.
    pub(crate) permit: Permit,
    pub(crate) port: Box<dyn files::Writer>,
}

/// A domain error in the contract's words.
pub(crate) fn error(error: Error) -> wit::Error {
    match error {
        Error::Denied(text) => wit::Error::Denied(text),
        Error::Invalid(text) => wit::Error::Invalid(text),
        Error::NotFound(text) => wit::Error::NotFound(text),
        Error::Limit { name, allowed } => wit::Error::Limit(wit::LimitReached { name: name.to_owned(), allowed }),
        Error::Throttled(wait) => {
            wit::Error::Throttled(wit::Wait { message: wait.message, retry_after_ms: wait.retry_after_ms })
        }
        Error::Unavailable(wait) => {
            wit::Error::Unavailable(wit::Wait { message: wait.message, retry_after_ms: wait.retry_after_ms })
        }
        Error::Uncertain(text) => wit::Error::Uncertain(text),
        Error::Rejected(rejection) => wit::Error::Rejected(wit::Rejection {
            reason: match rejection.reason {
                Refusal::Constraint => wit::Refusal::Constraint,
                Refusal::Conflict => wit::Refusal::Conflict,
                Refusal::Rule => wit::Refusal::Rule,
            },
            code: rejection.code,
            message: rejection.message,
        }),
        Error::Cancelled => wit::Error::Cancelled,
    }
}

/// An error that a guest passes on, in the domain's words. The guest may have made it up: its texts are
/// cut, and a limit's name is only kept if the contract knows it.
pub(crate) fn reported(error: wit::Error) -> Error {
    use remit_domain::data::{Rejection, Wait};
    let wait = |wait: wit::Wait| Wait { message: cut(wait.message), retry_after_ms: wait.retry_after_ms };
    match error {
        wit::Error::Denied(text) => Error::Denied(cut(text)),
        wit::Error::Invalid(text) => Error::Invalid(cut(text)),
        wit::Error::NotFound(text) => Error::NotFound(cut(text)),
        wit::Error::Limit(limit) => Error::Limit { name: known_limit(&limit.name), allowed: limit.allowed },
        wit::Error::Throttled(it) => Error::Throttled(wait(it)),
        wit::Error::Unavailable(it) => Error::Unavailable(wait(it)),
        wit::Error::Uncertain(text) => Error::Uncertain(cut(text)),
        wit::Error::Rejected(rejection) => Error::Rejected(Rejection {
            reason: match rejection.reason {
                wit::Refusal::Constraint => Refusal::Constraint,
                wit::Refusal::Conflict => Refusal::Conflict,
                wit::Refusal::Rule => Refusal::Rule,
            },
            code: rejection.code.map(cut),
            message: cut(rejection.message),
        }),
        wit::Error::Cancelled => Error::Cancelled,
    }
}

/// The most bytes of a text that a guest gives as an error.
const MAX_TEXT_BYTES: usize = 4 << 10;

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}

fn known_limit(name: &str) -> &'static str {
    const KNOWN: [&str; 29] = [
        "max-statement-bytes",
        "max-parameters",
        "max-rows",
        "max-result-bytes",
        "max-pending",
        "max-transactions",
        "max-document-bytes",
        "max-documents",
        "max-request-bytes",
        "max-response-bytes",
        "max-stream-bytes",
        "max-headers",
        "max-read-bytes",
        "max-file-bytes",
        "max-chunk-bytes",
        "max-folder-bytes",
        "max-statement-ms",
        "max-value-bytes",
        "max-working-bytes",
        "max-database-bytes",
        "max-query-bytes",
        "max-query-parts",
        "max-bytes-billed",
        "max-message-bytes",
        "max-rendered-bytes",
        "max-recipients",
        "max-messages",
        "max-attachments",
        "max-attachment-bytes",
    ];
    KNOWN.into_iter().find(|known| *known == name).unwrap_or("unnamed")
}

impl wit::Host for State {}

impl wit::HostGrants for State {
    async fn names(&mut self, grants: Resource<Bag>) -> wasmtime::Result<Vec<String>> {
        self.enter(&())?;
        let names: Vec<String> = self.table.get(&grants)?.0.names().map(ToString::to_string).collect();
        self.leave(names)
    }

    async fn drop(&mut self, grants: Resource<Bag>) -> wasmtime::Result<()> {
        self.table.delete(grants)?;
        Ok(())
    }
}

impl wit::HostReader for State {
    async fn read(
        &mut self,
        reader: Resource<Reader>,
        max: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, wit::Error>> {
        self.enter(&())?;
        let max = usize::try_from(max).unwrap_or(usize::MAX).clamp(1, MAX_CHUNK_BYTES);
        let read = self.table.get_mut(&reader)?.read(max).await;
        self.answer(read)
    }

    async fn drop(&mut self, reader: Resource<Reader>) -> wasmtime::Result<()> {
        self.table.delete(reader)?;
        Ok(())
    }
}

impl Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.port.write(self.permit.write()?, bytes).await
    }

    async fn finish(&mut self) -> Result<u64, Error> {
        self.port.finish(self.permit.write()?).await
    }
}

impl wit::HostWriter for State {
    async fn write(&mut self, writer: Resource<Writer>, bytes: Vec<u8>) -> wasmtime::Result<Result<(), wit::Error>> {
        self.enter(&bytes)?;
        let written = self.table.get_mut(&writer)?.write(&bytes).await;
        self.answer(written)
    }

    async fn finish(&mut self, writer: Resource<Writer>) -> wasmtime::Result<Result<u64, wit::Error>> {
        self.enter(&())?;
        let finished = self.table.get_mut(&writer)?.finish().await;
        self.answer(finished)
    }

    async fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}
