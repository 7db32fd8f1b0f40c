//! What is done with each document of a collection. It is done beside the async threads: how long it
//! takes is a guest's to say, within its time.

use remit_domain::data::Error;
use serde_json::Value;

use super::{
    filter::Filter,
    json::body,
    meter::Meter,
    pipeline::Work,
    storage::{document, id_key},
    update::Update,
};

/// Looks at documents, one after the other.
pub(super) trait Visit: Send + 'static {
    /// Looks at one, by its text; false once it has seen enough.
    fn visit(&mut self, text: &str) -> Result<bool, Error>;
}

/// Runs what takes time on a thread where it may. Errors: its own; `unavailable` if it panics.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::unavailable("the documents could not be worked on")))
}

/// Keeps the documents that a filter means, up to a number.
pub(super) struct Finding {
    pub(super) filter: Filter,
    pub(super) meter: Meter,
    pub(super) most: usize,
    pub(super) work: Work,
}

impl Visit for Finding {
    fn visit(&mut self, text: &str) -> Result<bool, Error> {
        if let Some(document) = meant(&self.filter, &self.meter, text)? {
            self.work.push(document, &self.meter)?;
        }
        Ok(self.work.len() < self.most)
    }
}

/// Counts them.
pub(super) struct Counting {
    pub(super) filter: Filter,
    pub(super) meter: Meter,
    pub(super) count: u64,
}

impl Visit for Counting {
    fn visit(&mut self, text: &str) -> Result<bool, Error> {
        self.count += u64::from(meant(&self.filter, &self.meter, text)?.is_some());
        Ok(true)
    }
}

/// Finds what is to be deleted, by key.
pub(super) struct Deleting {
    pub(super) filter: Filter,
    pub(super) meter: Meter,
    pub(super) keys: Vec<String>,
}

impl Visit for Deleting {
    fn visit(&mut self, text: &str) -> Result<bool, Error> {
        if let Some(document) = meant(&self.filter, &self.meter, text)? {
            let key = id_key(&document);
            self.meter.take(size_of::<String>() + key.len())?;
            self.keys.push(key);
        }
        Ok(true)
    }
}

/// Makes the changed documents, by key.
pub(super) struct Changing {
    pub(super) filter: Filter,
    pub(super) update: Update,
    pub(super) meter: Meter,
    pub(super) matched: u64,
    pub(super) changes: Vec<(String, String)>,
}

impl Visit for Changing {
    fn visit(&mut self, text: &str) -> Result<bool, Error> {
        let Some(before) = meant(&self.filter, &self.meter, text)? else { return Ok(true) };
        self.matched += 1;
        let mut after = before.clone();
        self.update.apply(&mut after)?;
        if after != before {
            let change = (id_key(&before), body(&after)?);
            self.meter.take(size_of_val(&change) + change.0.len() + change.1.len())?;
            self.changes.push(change);
        }
        Ok(true)
    }
}

fn meant(filter: &Filter, meter: &Meter, text: &str) -> Result<Option<Value>, Error> {
    meter.check()?;
    let document = document(text)?;
    Ok(filter.matches(&document, meter)?.then_some(document))
}
