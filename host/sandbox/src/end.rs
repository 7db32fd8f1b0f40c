//! Why a guest ended without an answer: a limit if it met one, else its own fault.

use remit_domain::limits::{Limit, Limits};
use wasmtime::{Store, Trap, component::ResourceTableError};

use crate::{
    state::{Refused, State},
    traffic::Reached,
};

/// What wasmtime says when a guest makes the host copy too much at once, and when it makes too many
/// handles. These errors have no public type; the version is pinned, and a story fails should the words
/// change.
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls";
const HANDLES: &str = "store handle limit exceeded";

/// Why a guest ended without an answer.
#[derive(Debug)]
pub(crate) enum End {
    /// Its time was up.
    Deadline,
    /// It met a limit.
    Limit(Limit),
    /// It trapped.
    Trapped(wasmtime::Error),
}

impl End {
    /// Of a guest that trapped, or whose time was up if there is no error.
    pub(crate) fn of(error: Option<wasmtime::Error>, store: &Store<State>) -> Self {
        let Some(error) = error else { return Self::Deadline };
        if store.data().meter.exhausted() {
            return Self::Limit(Limit::CpuTime);
        }
        if let Some(Reached(limit)) = error.downcast_ref() {
            return Self::Limit(*limit);
        }
        if let Some(ResourceTableError::Full) = error.downcast_ref() {
            return Self::Limit(Limit::Handles);
        }
        match (store.data().memory.refused(), error.downcast_ref::<Trap>()) {
            (Some(Refused::Memory), _) => Self::Limit(Limit::Memory),
            (Some(Refused::Table), _) => Self::Limit(Limit::TableElements),
            (None, Some(Trap::StackOverflow)) => Self::Limit(Limit::Stack),
            (None, Some(_)) => Self::Trapped(error),
            (None, None) => match error.root_cause().to_string() {
                said if said.contains(HOSTCALL_FUEL) => Self::Limit(Limit::HostCallBytes),
                said if said.contains(HANDLES) => Self::Limit(Limit::Handles),
                _ => Self::Trapped(error),
            },
        }
    }

    /// The error of a component that ended so while it described itself.
    pub(crate) fn undescribed(self, limits: &Limits) -> crate::Error {
        let met = |limit: Limit| crate::Error::Limit {
            limit: limit.key(),
            allowed: limits.get(limit),
            unit: limit.unit(),
            wants: "takes more to describe itself".to_owned(),
        };
        match self {
            Self::Deadline => met(Limit::WallTime),
            Self::Limit(limit) => met(limit),
            Self::Trapped(error) => crate::Error::Undescribed(error.root_cause().to_string()),
        }
    }
}
