//! Document databases on their way.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error,
        documents::{self, Selection, UpdateCount},
    },
    grant::{Reading, Writing},
    operation::{Digest, Extent},
};

use super::{Came, Kept, MAX_BYTES, Passage, head, rows, shape::shape};
use crate::kept::{Answer, Key};

/// A store whose operations go the way.
pub(super) struct Store {
    passage: Arc<Passage>,
    store: Arc<dyn documents::Store>,
}

impl Store {
    pub(super) fn new(passage: Arc<Passage>, store: Arc<dyn documents::Store>) -> Self {
        Self { passage, store }
    }

    fn key(&self, access: &Reading<'_>, asked: &[&str]) -> Option<Key> {
        let bytes = asked.iter().map(|text| text.len()).fold(0, usize::saturating_add);
        (bytes <= MAX_BYTES).then(|| self.passage.key(access.scope(), asked.iter().map(|text| text.as_bytes())))
    }
}

#[async_trait]
impl documents::Store for Store {
    async fn find(&self, access: Reading<'_>, collection: &str, selection: &Selection) -> Result<Vec<String>, Error> {
        let Selection { filter, projection, sort, skip, limit } = selection;
        let (shown, sorted) = (projection.as_deref().unwrap_or_default(), sort.as_deref().unwrap_or_default());
        let digest = Digest::of(&[head(collection), &shape(filter), &shape(shown), &shape(sorted)]);
        let scoped = access.clone();
        let key = || {
            // Whether there is a projection and a sort is said too: an empty one is not none.
            let rest = format!("{} {} {skip} {limit}", projection.is_some(), sort.is_some());
            self.key(&scoped, &["find", collection, filter, shown, sorted, &rest])
        };
        let (recorder, run) = (access.recorder(), self.store.find(access, collection, selection));
        self.passage.read(&recorder, "find", digest, key, run).await
    }

    async fn count(&self, access: Reading<'_>, collection: &str, filter: &str) -> Result<u64, Error> {
        let digest = Digest::of(&[head(collection), &shape(filter)]);
        let scoped = access.clone();
        let key = || self.key(&scoped, &["count", collection, filter]);
        let recorder = access.recorder();
        let run = async { self.store.count(access, collection, filter).await.map(Counted) };
        self.passage.read(&recorder, "count", digest, key, run).await.map(|Counted(count)| count)
    }

    async fn aggregate(&self, access: Reading<'_>, collection: &str, pipeline: &str) -> Result<Vec<String>, Error> {
        let digest = Digest::of(&[head(collection), &shape(pipeline)]);
        let scoped = access.clone();
        let key = || self.key(&scoped, &["aggregate", collection, pipeline]);
        let (recorder, run) = (access.recorder(), self.store.aggregate(access, collection, pipeline));
        self.passage.read(&recorder, "aggregate", digest, key, run).await
    }

    async fn insert(&self, access: Writing<'_>, collection: &str, documents: &[String]) -> Result<Vec<String>, Error> {
        let first = documents.first().map(String::as_str).unwrap_or_default();
        let digest = Digest::of(&[head(collection), &shape(first)]);
        let recorder = access.recorder();
        let run = async { self.store.insert(access, collection, documents).await.map(Inserted) };
        self.passage.write(&recorder, "insert", digest, run).await.map(|Inserted(ids)| ids)
    }

    async fn update(
        &self,
        access: Writing<'_>,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<UpdateCount, Error> {
        let digest = Digest::of(&[head(collection), &shape(filter), &shape(update)]);
        let (recorder, run) = (access.recorder(), self.store.update(access, collection, filter, update, upsert));
        self.passage.write(&recorder, "update", digest, run).await
    }

    async fn delete(&self, access: Writing<'_>, collection: &str, filter: &str) -> Result<u64, Error> {
        let digest = Digest::of(&[head(collection), &shape(filter)]);
        let recorder = access.recorder();
        let run = async { self.store.delete(access, collection, filter).await.map(Changed) };
        self.passage.write(&recorder, "delete", digest, run).await.map(|Changed(count)| count)
    }
}

/// How many documents were counted: none of them came.
struct Counted(u64);
/// The ids of documents that were inserted.
struct Inserted(Vec<String>);
/// How many documents were changed.
struct Changed(u64);

impl Came for Counted {}

impl Kept for Counted {
    fn bytes(&self) -> u64 {
        0
    }

    fn kept(&self) -> Option<Answer> {
        Some(Answer::Count(self.0))
    }

    fn again(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Count(count) => Some(Self(count)),
            Answer::Rows(_) | Answer::Documents(_) | Answer::Response(_) => None,
        }
    }
}

impl Came for Vec<String> {
    fn extent(&self) -> Extent {
        let bytes = self.iter().map(String::len).fold(0, usize::saturating_add);
        Extent { rows: rows(self.len()), bytes: rows(bytes), cached: false }
    }
}

impl Kept for Vec<String> {
    fn bytes(&self) -> u64 {
        const EACH: usize = size_of::<String>();
        rows(self.iter().map(|document| document.len() + EACH).fold(0, usize::saturating_add))
    }

    fn kept(&self) -> Option<Answer> {
        Some(Answer::Documents(Arc::new(self.clone())))
    }

    fn again(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Documents(documents) => Some(Arc::unwrap_or_clone(documents)),
            Answer::Rows(_) | Answer::Count(_) | Answer::Response(_) => None,
        }
    }
}

impl Came for Inserted {
    fn extent(&self) -> Extent {
        Extent { rows: rows(self.0.len()), bytes: 0, cached: false }
    }
}

impl Came for Changed {
    fn extent(&self) -> Extent {
        Extent { rows: self.0, bytes: 0, cached: false }
    }
}

impl Came for UpdateCount {
    fn extent(&self) -> Extent {
        let upserted = u64::from(self.upserted_id.is_some());
        Extent { rows: self.modified.saturating_add(upserted), bytes: 0, cached: false }
    }
}
