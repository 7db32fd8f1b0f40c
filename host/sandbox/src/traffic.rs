//! What passes between a guest and the host's functions in one call: how often, and how many bytes.
//!
//! A guest that goes over a limit is stopped: it would be free to ignore an error, and to go on asking.

use remit_domain::limits::{Limit, Limits};

/// A limit that a guest met in a function of the host: the trap that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit {} was reached", .0.key())]
pub(crate) struct Reached(pub(crate) Limit);

/// What one call has used.
#[derive(Debug)]
pub(crate) struct Traffic {
    calls_left: u64,
    bytes_left: u64,
    most_at_once: u64,
}

impl Traffic {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            calls_left: limits.get(Limit::HostCalls),
            bytes_left: limits.get(Limit::TransferBytes),
            most_at_once: limits.get(Limit::HostCallBytes),
        }
    }

    /// Counts a call of a host's function and what it is given.
    pub(crate) fn enter(&mut self, bytes: usize) -> Result<(), Reached> {
        self.calls_left = self.calls_left.checked_sub(1).ok_or(Reached(Limit::HostCalls))?;
        self.pass(bytes)
    }

    /// Counts what passes, either way.
    pub(crate) fn pass(&mut self, bytes: usize) -> Result<(), Reached> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes > self.most_at_once {
            return Err(Reached(Limit::HostCallBytes));
        }
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Reached(Limit::TransferBytes))?;
        Ok(())
    }
}

/// What a value takes on its way between guest and host: its texts and bytes, and a little for the rest.
pub(crate) trait Size: Sized {
    /// In bytes.
    fn size(&self) -> usize;

    /// Of a list, in bytes.
    fn of_all(items: &[Self]) -> usize {
        items.iter().map(Self::size).fold(0, usize::saturating_add)
    }
}

/// What numbers, handles and the like count for.
const SMALL: usize = 8;

macro_rules! small {
    ($($type:ty),*) => {
        $(impl Size for $type {
            fn size(&self) -> usize {
                SMALL
            }
        })*
    };
}

small!((), bool, u64, f64);

impl Size for u8 {
    fn size(&self) -> usize {
        1
    }

    fn of_all(items: &[Self]) -> usize {
        items.len()
    }
}

impl Size for String {
    fn size(&self) -> usize {
        self.len()
    }
}

impl<T: Size> Size for &T {
    fn size(&self) -> usize {
        T::size(self)
    }
}

impl<T: Size> Size for Vec<T> {
    fn size(&self) -> usize {
        T::of_all(self)
    }
}

impl<T: Size> Size for Option<T> {
    fn size(&self) -> usize {
        self.as_ref().map_or(0, T::size)
    }
}

impl<T: 'static> Size for wasmtime::component::Resource<T> {
    fn size(&self) -> usize {
        SMALL
    }
}

impl<A: Size, B: Size> Size for (A, B) {
    fn size(&self) -> usize {
        self.0.size().saturating_add(self.1.size())
    }
}

impl<A: Size, B: Size, C: Size> Size for (A, B, C) {
    fn size(&self) -> usize {
        (&self.0, &self.1).size().saturating_add(self.2.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_bytes_are_counted_each_and_together() {
        let limits =
            Limits::default().with(Limit::HostCalls, 4).with(Limit::HostCallBytes, 60).with(Limit::TransferBytes, 100);
        let mut traffic = Traffic::new(&limits);
        assert_eq!(traffic.enter(61), Err(Reached(Limit::HostCallBytes)));
        assert_eq!((traffic.enter(60), traffic.pass(10)), (Ok(()), Ok(())));
        assert_eq!(traffic.enter(31), Err(Reached(Limit::TransferBytes)));
        assert_eq!(traffic.enter(30), Ok(()));
        assert_eq!(traffic.enter(0), Err(Reached(Limit::HostCalls)));
        assert_eq!(traffic.pass(1), Err(Reached(Limit::TransferBytes)));
    }

    #[test]
    fn what_is_inside_a_value_counts() {
        let text = "abc".to_owned();
        assert_eq!((&text, vec![1_u8; 1 << 20], Some(vec![(text.clone(), text.clone())])).size(), 3 + (1 << 20) + 6);
        assert_eq!((Option::<String>::None, Vec::<String>::new()).size(), 0);
    }
}
