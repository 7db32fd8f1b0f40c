//! Sources that print each operation and what came of it, and otherwise are the sources behind them.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use remit_domain::{
    TenantId,
    data::{
        Error, Handle, Sources,
        documents::{Selection, Store, UpdateCount},
        files,
        http_api::{Api, Method, Request, Response, ResponseHead},
        notify::{Body, Channel, Mail, Post},
        sql::{Change, Database, Dialect, RowSet, Transaction, Value},
    },
    grant::{Access, Permission, Reading, Writing},
    source::Definition,
};

/// Sources whose handles print.
pub(super) struct Watched(pub(super) Arc<dyn Sources>);

#[async_trait]
impl Sources for Watched {
    async fn open(&self, tenant: &TenantId, source: &Arc<Definition>) -> Result<Handle, Error> {
        let name: Arc<str> = source.name.as_str().into();
        Ok(match self.0.open(tenant, source).await? {
            Handle::Sql(inner) => Handle::Sql(Arc::new(Seen { name, inner })),
            Handle::Documents(inner) => Handle::Documents(Arc::new(Seen { name, inner })),
            Handle::Api(inner) => Handle::Api(Arc::new(Seen { name, inner })),
            Handle::Files(inner) => Handle::Files(Arc::new(Seen { name, inner })),
            Handle::Channel(inner) => Handle::Channel(Arc::new(Seen { name, inner })),
        })
    }

    async fn probe(&self, tenant: &TenantId, source: &Arc<Definition>) -> Result<Duration, Error> {
        self.0.probe(tenant, source).await
    }
}

/// A handle of a source, with the source's name.
struct Seen<T> {
    name: Arc<str>,
    inner: T,
}

impl<T> Seen<T> {
    /// Prints an operation with what came of it, and passes that on.
    fn told<R>(
        &self,
        operation: impl fmt::Display,
        result: Result<R, Error>,
        came: impl FnOnce(&R) -> String,
    ) -> Result<R, Error> {
        let outcome = match &result {
            Ok(result) => came(result),
            Err(error) => error.to_string(),
        };
        println!("{}: {operation} -> {outcome}", self.name);
        result
    }
}

/// A statement with its parameters, on one line.
struct Statement<'a>(&'a str, &'a str, &'a [Value]);

impl fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(operation, statement, parameters) = self;
        let words: Vec<&str> = statement.split_whitespace().collect();
        write!(f, "{operation} {}", words.join(" "))?;
        for (at, value) in (1..).zip(*parameters) {
            write!(f, "{} ${at} = {value:?}", if at == 1 { "," } else { "" })?;
        }
        Ok(())
    }
}

fn rows(set: &RowSet) -> String {
    counted(set.rows.len(), "row")
}

fn changed(change: &Change) -> String {
    format!("{} changed", counted(change.rows_affected, "row"))
}

fn documents<T>(documents: &T) -> String
where
    T: AsRef<[String]>,
{
    counted(documents.as_ref().len(), "document")
}

fn counted<N: PartialEq + From<u8> + fmt::Display>(number: N, what: &str) -> String {
    format!("{number} {what}{}", if number == N::from(1) { "" } else { "s" })
}

#[async_trait]
impl Database for Seen<Arc<dyn Database>> {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn query(&self, access: Reading<'_>, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        let result = self.inner.query(access, statement, parameters).await;
        self.told(Statement("query", statement, parameters), result, rows)
    }

    async fn execute(&self, access: Writing<'_>, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        let result = self.inner.execute(access, statement, parameters).await;
        self.told(Statement("execute", statement, parameters), result, changed)
    }

    async fn begin(&self, access: Writing<'_>) -> Result<Box<dyn Transaction>, Error> {
        let inner = self.told("begin", self.inner.begin(access).await, |_| "a transaction".to_owned())?;
        Ok(Box::new(Seen { name: self.name.clone(), inner }))
    }
}

#[async_trait]
impl Transaction for Seen<Box<dyn Transaction>> {
    async fn query(&mut self, access: Reading<'_>, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        let result = self.inner.query(access, statement, parameters).await;
        self.told(Statement("query", statement, parameters), result, rows)
    }

    async fn execute(&mut self, access: Writing<'_>, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        let result = self.inner.execute(access, statement, parameters).await;
        self.told(Statement("execute", statement, parameters), result, changed)
    }

    async fn commit(self: Box<Self>, access: Writing<'_>) -> Result<(), Error> {
        let Self { name, inner } = *self;
        let result = inner.commit(access).await;
        Seen { name, inner: () }.told("commit", result, |()| "done".to_owned())
    }

    async fn rollback(self: Box<Self>) -> Result<(), Error> {
        let Self { name, inner } = *self;
        let result = inner.rollback().await;
        Seen { name, inner: () }.told("rollback", result, |()| "done".to_owned())
    }
}

#[async_trait]
impl Store for Seen<Arc<dyn Store>> {
    async fn find(&self, access: Reading<'_>, collection: &str, selection: &Selection) -> Result<Vec<String>, Error> {
        let result = self.inner.find(access, collection, selection).await;
        self.told(format_args!("find {collection} {}", selection.filter), result, documents)
    }

    async fn count(&self, access: Reading<'_>, collection: &str, filter: &str) -> Result<u64, Error> {
        let result = self.inner.count(access, collection, filter).await;
        self.told(format_args!("count {collection} {filter}"), result, ToString::to_string)
    }

    async fn aggregate(&self, access: Reading<'_>, collection: &str, pipeline: &str) -> Result<Vec<String>, Error> {
        let result = self.inner.aggregate(access, collection, pipeline).await;
        self.told(format_args!("aggregate {collection} {pipeline}"), result, documents)
    }

    async fn insert(&self, access: Writing<'_>, collection: &str, inserted: &[String]) -> Result<Vec<String>, Error> {
        let result = self.inner.insert(access, collection, inserted).await;
        self.told(format_args!("insert {collection} {}", inserted.join(" ")), result, documents)
    }

    async fn update(
        &self,
        access: Writing<'_>,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<UpdateCount, Error> {
        let result = self.inner.update(access, collection, filter, update, upsert).await;
        let came = |count: &UpdateCount| format!("{} matched, {} modified", count.matched, count.modified);
        self.told(format_args!("update {collection} {filter} {update}"), result, came)
    }

    async fn delete(&self, access: Writing<'_>, collection: &str, filter: &str) -> Result<u64, Error> {
        let result = self.inner.delete(access, collection, filter).await;
        self.told(format_args!("delete {collection} {filter}"), result, |count| format!("{count} deleted"))
    }
}

#[async_trait]
impl Api for Seen<Arc<dyn Api>> {
    fn permission(&self, request: &Request) -> Permission {
        self.inner.permission(request)
    }

    async fn send(&self, access: Access<'_>, request: &Request) -> Result<Response, Error> {
        let result = self.inner.send(access, request).await;
        self.told(Line(request), result, |answer| format!("status {}, {} bytes", answer.status, answer.body.len()))
    }

    async fn open(&self, access: Access<'_>, request: &Request) -> Result<ResponseHead, Error> {
        let result = self.inner.open(access, request).await;
        self.told(Line(request), result, |head| format!("status {}", head.status))
    }
}

#[async_trait]
impl files::Folder for Seen<Arc<dyn files::Folder>> {
    async fn read(&self, access: Reading<'_>, path: &files::Path) -> Result<Vec<u8>, Error> {
        let result = self.inner.read(access, path).await;
        self.told(format_args!("read {path}"), result, |bytes| counted(bytes.len(), "byte"))
    }

    async fn open(
        &self,
        access: Reading<'_>,
        path: &files::Path,
        offset: u64,
    ) -> Result<Box<dyn files::Reader>, Error> {
        let result = self.inner.open(access, path, offset).await;
        self.told(format_args!("open {path} at {offset}"), result, |_| "a reader".to_owned())
    }

    async fn write(
        &self,
        access: Writing<'_>,
        path: &files::Path,
        bytes: &[u8],
        when: &files::Condition,
    ) -> Result<files::Entry, Error> {
        let result = self.inner.write(access, path, bytes, when).await;
        self.told(format_args!("write {path}"), result, |entry| counted(entry.size, "byte"))
    }

    async fn create(
        &self,
        access: Writing<'_>,
        path: &files::Path,
        when: &files::Condition,
    ) -> Result<Box<dyn files::Writer>, Error> {
        let inner = self.inner.create(access, path, when).await;
        let inner = self.told(format_args!("create {path}"), inner, |_| "a writer".to_owned())?;
        Ok(Box::new(Seen { name: self.name.clone(), inner }))
    }

    async fn list(&self, access: Reading<'_>, path: &files::Path, after: Option<&str>) -> Result<files::Page, Error> {
        let result = self.inner.list(access, path, after).await;
        self.told(format_args!("list {path}"), result, |page| format!("{} entries", page.entries.len()))
    }

    async fn stat(&self, access: Reading<'_>, path: &files::Path) -> Result<files::Entry, Error> {
        let result = self.inner.stat(access, path).await;
        self.told(format_args!("stat {path}"), result, |entry| counted(entry.size, "byte"))
    }

    async fn delete(&self, access: Writing<'_>, path: &files::Path) -> Result<(), Error> {
        let result = self.inner.delete(access, path).await;
        self.told(format_args!("delete {path}"), result, |()| "done".to_owned())
    }
}

#[async_trait]
impl files::Writer for Seen<Box<dyn files::Writer>> {
    async fn write(&mut self, access: Writing<'_>, bytes: &[u8]) -> Result<(), Error> {
        self.inner.write(access, bytes).await
    }

    async fn finish(&mut self, access: Writing<'_>) -> Result<u64, Error> {
        let result = self.inner.finish(access).await;
        self.told("finish", result, |length| counted(*length, "byte"))
    }
}

/// A request as the plugin wrote it, with its body if that is text.
struct Line<'a>(&'a Request);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.0;
        let method = match request.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        };
        write!(f, "{method} {}", request.path)?;
        for (at, (name, value)) in request.query.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { "?" } else { "&" })?;
        }
        match request.body.as_deref().map(std::str::from_utf8) {
            Some(Ok(text)) => write!(f, " {text}"),
            Some(Err(_)) => write!(f, " (bytes)"),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Channel for Seen<Arc<dyn Channel>> {
    async fn send(&self, access: Writing<'_>, mail: &Mail) -> Result<String, Error> {
        let result = self.inner.send(access, mail).await;
        let to: Vec<&str> = [&mail.to, &mail.cc, &mail.bcc].into_iter().flatten().map(String::as_str).collect();
        let what = match &mail.body {
            Body::Text { text, .. } => format!("{text:?}"),
            Body::Template { name, data } => format!("{name} {data}"),
        };
        self.told(format_args!("send to {} {:?} {what}", to.join(", "), mail.subject), result, Clone::clone)
    }

    async fn post(&self, access: Writing<'_>, post: &Post) -> Result<String, Error> {
        let result = self.inner.post(access, post).await;
        let room = post.room.as_deref().unwrap_or("the agent's own room");
        self.told(format_args!("post to {room} {:?}", post.text), result, Clone::clone)
    }

    async fn update(&self, access: Writing<'_>, id: &str, post: &Post) -> Result<(), Error> {
        let result = self.inner.update(access, id, post).await;
        self.told(format_args!("update {id} {:?}", post.text), result, |()| "done".to_owned())
    }
}
