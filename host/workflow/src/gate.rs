//! How many runs of a workflow are at work at once: the others wait for their turn, the one first that began
//! first, before and after a restart.
//!
//! A run has its slot while any of its lines is at work, and none while all of them wait for a time or for a
//! person. Deliberately absent: how many of a tenant's and of all runs there may be (`runs`).

use std::{
    collections::BTreeMap,
    future::Future as _,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use remit_domain::{TenantId, execution::RunId};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Runs that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) tenant: TenantId,
    pub(crate) workflow: String,
    /// What the workflow's own key comes to.
    pub(crate) word: String,
}

/// The slots of all workflows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gates(Arc<Mutex<BTreeMap<Key, Lane>>>);

#[derive(Debug, Default)]
struct Lane {
    held: usize,
    /// In the order in which they began, each with how many its definition allows.
    waiting: BTreeMap<RunId, (usize, oneshot::Sender<Held>)>,
}

/// A slot that is held; dropping it gives it to the next.
#[derive(Debug)]
struct Held {
    gates: Gates,
    key: Option<Key>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.gates.lanes().entry(key.clone()).and_modify(|lane| lane.held = lane.held.saturating_sub(1));
            self.gates.next(&key);
        }
    }
}

impl Gates {
    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Key, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, key: &Key) -> Held {
        Held { gates: self.clone(), key: Some(key.clone()) }
    }

    /// A slot, or a place among those that wait. `None` if more than `queue` wait already.
    fn ask(&self, key: &Key, run: &RunId, limit: usize, queue: usize) -> Option<Turn> {
        let mut lanes = self.lanes();
        let lane = lanes.entry(key.clone()).or_default();
        if lane.held < limit && lane.waiting.is_empty() {
            lane.held += 1;
            return Some(Turn::Held(self.held(key)));
        }
        if lane.waiting.len() >= queue {
            return None;
        }
        let (give, take) = oneshot::channel();
        lane.waiting.insert(run.clone(), (limit, give));
        Some(Turn::Waits(take))
    }

    /// Gives free slots to those that wait.
    fn next(&self, key: &Key) {
        loop {
            let give = {
                let mut lanes = self.lanes();
                let Some(lane) = lanes.get_mut(key) else { return };
                let held = lane.held;
                let fits = lane.waiting.first_entry().filter(|first| held < first.get().0);
                let Some(first) = fits else {
                    if lane.held == 0 && lane.waiting.is_empty() {
                        lanes.remove(key);
                    }
                    return;
                };
                let (_, give) = first.remove();
                lane.held += 1;
                give
            };
            // One that is no longer waited for comes back here.
            if let Err(mut unwanted) = give.send(self.held(key)) {
                unwanted.key = None;
                self.lanes().entry(key.clone()).and_modify(|lane| lane.held = lane.held.saturating_sub(1));
            }
        }
    }

    fn withdraw(&self, key: &Key, run: &RunId) {
        if let Some(lane) = self.lanes().get_mut(key) {
            lane.waiting.remove(run);
        }
        self.next(key);
    }
}

#[derive(Debug)]
enum Turn {
    Out,
    Waits(oneshot::Receiver<Held>),
    /// Held to be dropped.
    Held(#[expect(dead_code, reason = "its drop gives the slot away")] Held),
}

/// One run's way to a slot. One without a limit is always through.
#[derive(Debug, Default)]
pub(crate) struct Slot(Option<Limited>);

#[derive(Debug)]
struct Limited {
    gates: Gates,
    key: Key,
    run: RunId,
    limit: usize,
    state: Mutex<State>,
    /// Held by the line that waits for the slot on behalf of all.
    entering: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// The lines at work.
    lines: usize,
    turn: Turn,
}

impl Slot {
    /// A run's, in the queue from now on. `None` if too many wait already.
    pub(crate) fn queue(gates: &Gates, key: Key, run: &RunId, limit: usize, queue: usize) -> Option<Self> {
        let turn = gates.ask(&key, run, limit, queue)?;
        let state = Mutex::new(State { lines: 0, turn });
        let entering = tokio::sync::Mutex::new(());
        Some(Self(Some(Limited { gates: gates.clone(), key, run: run.clone(), limit, state, entering })))
    }

    /// Whether the run waits for its turn.
    pub(crate) fn waits(&self) -> bool {
        self.0.as_ref().is_some_and(|limited| matches!(limited.state().turn, Turn::Waits(_)))
    }

    /// A line goes to work, once the run has its slot. A run that is cancelled waits for none: what is left of
    /// it is to clean up.
    pub(crate) async fn enter(&self, cancel: &CancellationToken) {
        let Some(limited) = &self.0 else { return };
        limited.state().lines += 1;
        let _alone = limited.entering.lock().await;
        {
            let mut state = limited.state();
            if matches!(state.turn, Turn::Out) && !cancel.is_cancelled() {
                let asked = limited.gates.ask(&limited.key, &limited.run, limited.limit, usize::MAX);
                state.turn = asked.unwrap_or(Turn::Out);
            }
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => limited.withdraw(),
            () = std::future::poll_fn(|cx| limited.poll(cx)) => {}
        }
    }

    /// A line waits, or is over: with the last one the run gives up its slot.
    pub(crate) fn leave(&self) {
        let Some(limited) = &self.0 else { return };
        let free = {
            let mut state = limited.state();
            state.lines = state.lines.saturating_sub(1);
            (state.lines == 0).then(|| std::mem::replace(&mut state.turn, Turn::Out))
        };
        drop(free);
    }
}

impl Limited {
    /// Ready once it does not wait any more.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let Turn::Waits(take) = &mut state.turn else { return Poll::Ready(()) };
        Pin::new(take).poll(cx).map(|given| state.turn = given.map_or(Turn::Out, Turn::Held))
    }

    /// Waits no longer. What was given in this moment goes to the next.
    fn withdraw(&self) {
        let mut waiting = Turn::Out;
        {
            let mut state = self.state();
            if matches!(state.turn, Turn::Waits(_)) {
                std::mem::swap(&mut state.turn, &mut waiting);
            }
        }
        drop(waiting);
        self.gates.withdraw(&self.key, &self.run);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// Several lines in the place of one: the first takes its place, and the last leaves it to what follows.
#[derive(Debug, Default)]
pub(crate) struct Fork(AtomicUsize);

impl Fork {
    /// One of the lines begins.
    pub(crate) async fn begin(&self, slot: &Slot, cancel: &CancellationToken) {
        if self.0.fetch_add(1, Ordering::Relaxed) > 0 {
            slot.enter(cancel).await;
        }
    }

    /// One of the lines is over.
    pub(crate) fn end(&self, slot: &Slot) {
        if self.0.fetch_sub(1, Ordering::Relaxed) > 1 {
            slot.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use futures::FutureExt as _;

    use super::*;

    fn key(word: &str) -> Key {
        Key { tenant: TenantId::new("a").unwrap(), workflow: "w".to_owned(), word: word.to_owned() }
    }

    fn slot(gates: &Gates, run: &RunId) -> Option<Slot> {
        Slot::queue(gates, key(""), run, 1, 2)
    }

    fn enters(slot: &Slot, cancel: &CancellationToken) -> bool {
        slot.enter(cancel).now_or_never().is_some()
    }

    #[tokio::test]
    async fn turns_go_by_age_and_those_that_wait_are_bounded() {
        let (gates, cancel) = (Gates::default(), CancellationToken::new());
        let runs: Vec<RunId> = (0..4).map(|_| RunId::new()).collect();
        let first = slot(&gates, &runs[0]).unwrap();
        assert!(enters(&first, &cancel));
        // The younger comes before the older.
        let third = slot(&gates, &runs[2]).unwrap();
        let second = slot(&gates, &runs[1]).unwrap();
        assert!(slot(&gates, &runs[3]).is_none(), "two wait already");
        assert!(Slot::queue(&gates, key("other"), &runs[3], 1, 0).is_some(), "another key is counted apart");
        assert!(second.waits() && third.waits() && !first.waits());
        first.leave();
        assert!(third.enter(&cancel).now_or_never().is_none());
        assert!(enters(&second, &cancel), "the older one's turn");
        // One that comes back from waiting queues again, before the younger one.
        let mut back = Box::pin(first.enter(&cancel));
        assert!(back.as_mut().now_or_never().is_none());
        drop(second);
        back.await;
        drop(first);
        assert!(enters(&Slot::queue(&gates, key("x"), &runs[3], 1, 0).unwrap(), &cancel));
        drop(third);
        assert!(gates.lanes().is_empty(), "nothing stays of what is over");
    }

    #[tokio::test]
    async fn a_run_that_is_cancelled_waits_for_no_slot() {
        let (gates, cancel) = (Gates::default(), CancellationToken::new());
        let (one, two) = (RunId::new(), RunId::new());
        let first = slot(&gates, &one).unwrap();
        assert!(enters(&first, &cancel));
        let second = slot(&gates, &two).unwrap();
        let stopped = CancellationToken::new();
        let mut entering = Box::pin(second.enter(&stopped));
        assert!(entering.as_mut().now_or_never().is_none());
        assert!(second.waits());
        stopped.cancel();
        entering.await;
        assert!(!second.waits());
        let third = slot(&gates, &RunId::new()).unwrap();
        drop(first);
        assert!(enters(&third, &cancel), "the one that left holds nobody up");
    }

    #[tokio::test]
    async fn a_slot_is_given_up_when_all_lines_wait() {
        let (gates, cancel) = (Gates::default(), CancellationToken::new());
        let run = slot(&gates, &RunId::new()).unwrap();
        assert!(enters(&run, &cancel));
        let other = slot(&gates, &RunId::new()).unwrap();
        let fork = Fork::default();
        fork.begin(&run, &cancel).await;
        fork.begin(&run, &cancel).await;
        run.leave();
        assert!(other.waits(), "one line is at work");
        run.leave();
        assert!(enters(&other, &cancel));
        assert!(run.enter(&cancel).now_or_never().is_none());
        other.leave();
        assert!(enters(&run, &cancel));
        fork.end(&run);
        fork.end(&run);
        assert!(gates.lanes().get(&key("")).is_some_and(|lane| lane.held == 1), "it goes on after the fork");
    }
}
