//! A lock for each name, for as long as somebody holds it or waits for it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// Locks by name.
#[derive(Debug)]
pub(crate) struct Locks<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Locks<K> {
    /// Waits until nobody else holds the lock of this name. Cancel: nothing is held.
    pub(crate) async fn lock(&self, name: &K) -> OwnedMutexGuard<()> {
        let own = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody has any more: the table stays as small as what is under way.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(name.clone()).or_default().clone()
        };
        own.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_name_is_held_once_and_others_do_not_wait() {
        let locks = Locks::default();
        let one = locks.lock(&1).await;
        let _two = locks.lock(&2).await;
        let mut again = Box::pin(locks.lock(&1));
        assert!(futures::poll!(&mut again).is_pending());
        drop(one);
        let _one = again.await;
        drop(locks.lock(&3).await);
        drop(locks.lock(&4).await);
        assert!(locks.0.lock().is_ok_and(|locks| locks.len() <= 3), "what nobody holds is forgotten");
    }
}
