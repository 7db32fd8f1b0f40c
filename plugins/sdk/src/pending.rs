//! Operations under way: started together, they wait together. There is no waiting for whichever
//! answers first.

use crate::Result;

/// An operation that the host carries out meanwhile. Dropping it gives the operation up, as far as
/// its interface says.
#[must_use = "nothing is learnt of an operation that is not collected"]
pub struct Pending<T>(Box<dyn Waiting<T>>);

impl<T: 'static> Pending<T> {
    pub(crate) fn new<H: 'static>(
        handle: H,
        ready: fn(&H) -> bool,
        finish: impl FnOnce(H) -> Result<T> + 'static,
    ) -> Self {
        Self(Box::new(Started { handle, ready, finish }))
    }

    /// Whether [`Self::get`] would answer without waiting.
    pub fn ready(&self) -> bool {
        self.0.ready()
    }

    /// Waits for the answer.
    pub fn get(self) -> Result<T> {
        self.0.get()
    }

    /// The same operation, with something done to its answer.
    pub fn map<U: 'static>(self, then: impl FnOnce(T) -> Result<U> + 'static) -> Pending<U> {
        Pending::new(self, Self::ready, |pending| pending.get().and_then(then))
    }
}

/// Waits for several operations, which run at the same time. Errors: the first failure in order.
///
/// To go on without those that failed, [`get`](Pending::get) each apart.
pub fn join<J: Join>(pending: J) -> Result<J::Output> {
    pending.join()
}

/// What can be waited for together: tuples of [`Pending`], and lists of one kind.
pub trait Join {
    /// The answers, in the same form.
    type Output;

    /// As [`join`].
    fn join(self) -> Result<Self::Output>;
}

impl<T: 'static> Join for Vec<Pending<T>> {
    type Output = Vec<T>;

    fn join(self) -> Result<Vec<T>> {
        self.into_iter().map(Pending::get).collect()
    }
}

impl<A: 'static, B: 'static> Join for (Pending<A>, Pending<B>) {
    type Output = (A, B);

    fn join(self) -> Result<(A, B)> {
        Ok((self.0.get()?, self.1.get()?))
    }
}

impl<A: 'static, B: 'static, C: 'static> Join for (Pending<A>, Pending<B>, Pending<C>) {
    type Output = (A, B, C);

    fn join(self) -> Result<(A, B, C)> {
        Ok((self.0.get()?, self.1.get()?, self.2.get()?))
    }
}

trait Waiting<T> {
    fn ready(&self) -> bool;
    fn get(self: Box<Self>) -> Result<T>;
}

struct Started<H, F> {
    handle: H,
    ready: fn(&H) -> bool,
    finish: F,
}

impl<T, H, F: FnOnce(H) -> Result<T>> Waiting<T> for Started<H, F> {
    fn ready(&self) -> bool {
        (self.ready)(&self.handle)
    }

    fn get(self: Box<Self>) -> Result<T> {
        (self.finish)(self.handle)
    }
}
