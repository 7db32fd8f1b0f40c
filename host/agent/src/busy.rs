//! One request at a time for each conversation.
//!
//! Holds for this process; deliberately absent: a lock between hosts, which the journal would have to give.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use remit_domain::{Error, conversation::Key};

/// The conversations that are being worked on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Busy(Arc<Mutex<HashSet<Key>>>);

/// Working on a conversation, until it is dropped.
#[derive(Debug)]
pub(crate) struct Working {
    busy: Busy,
    key: Key,
}

impl Busy {
    /// Errors: [`Error::ConversationBusy`].
    pub(crate) fn enter(&self, key: &Key) -> Result<Working, Error> {
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        if entered {
            Ok(Working { busy: self.clone(), key: key.clone() })
        } else {
            Err(Error::ConversationBusy(key.id.clone()))
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.busy.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
