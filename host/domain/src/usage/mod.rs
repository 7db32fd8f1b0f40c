//! What tenants and keys use, and how much of it they may: meters, windows, quotas, and the one [`Ledger`]
//! that counts.
//!
//! A quota bounds one meter in one window, of a tenant, of a key or of somebody whom an issuer vouches for. Windows are fixed and in UTC: a minute or
//! a day, whose count begins anew with the next. Whoever counts asks the ledger, so that all doors share one
//! count. Deliberately absent: how quotas are written (`remit-config`), and where a day's counts outlast the
//! process, which is behind the port [`Tallies`].

mod ledger;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use time::{Date, OffsetDateTime};

pub use ledger::Ledger;

use crate::{
    Error, TenantId,
    access::{Identity, KeyId, Principal, Subject},
    tenant::Context,
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Meter {
    /// Requests that the gate lets in.
    Requests,
    /// Calls of tools and readings of resources that reach a plugin.
    Calls,
    /// Milliseconds that plugins compute; each that a call begins counts.
    CpuMs,
    /// Tokens that language models read and write, as their servers say.
    Tokens,
    /// Bytes of components that are uploaded.
    UploadBytes,
}

impl Meter {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Requests, Self::Calls, Self::CpuMs, Self::Tokens, Self::UploadBytes];

    /// Its name in answers and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Calls => "calls",
            Self::CpuMs => "cpuMs",
            Self::Tokens => "tokens",
            Self::UploadBytes => "uploadBytes",
        }
    }

    /// The meter of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|meter| meter.as_str() == name)
    }
}

/// Over which time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// From second 0 to second 59. Counted in memory alone.
    Minute,
    /// From midnight to midnight in UTC. Outlasts the process.
    Day,
}

impl Window {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Day];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Day => "day",
        }
    }

    fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Day => 86_400,
        }
    }

    /// Which window it is at a moment, counted since 1970.
    fn at(self, now: OffsetDateTime) -> i64 {
        now.unix_timestamp().div_euclid(self.seconds())
    }

    /// When the window of a moment is over.
    fn end(self, now: OffsetDateTime) -> OffsetDateTime {
        let end = self.at(now).saturating_add(1).saturating_mul(self.seconds());
        OffsetDateTime::from_unix_timestamp(end).unwrap_or(now)
    }
}

/// How much may be used: a bound for each meter in each window, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas([[Option<u64>; Window::ALL.len()]; Meter::ALL.len()]);

impl Quotas {
    /// No bound at all.
    pub const NONE: Self = Self([[None; Window::ALL.len()]; Meter::ALL.len()]);

    /// Each quota with its key in `host.yaml`, contexts and commands.
    pub const KEYS: [(&'static str, Meter, Window); 10] = [
        ("requestsPerMinute", Meter::Requests, Window::Minute),
        ("requestsPerDay", Meter::Requests, Window::Day),
        ("callsPerMinute", Meter::Calls, Window::Minute),
        ("callsPerDay", Meter::Calls, Window::Day),
        ("cpuMsPerMinute", Meter::CpuMs, Window::Minute),
        ("cpuMsPerDay", Meter::CpuMs, Window::Day),
        ("tokensPerMinute", Meter::Tokens, Window::Minute),
        ("tokensPerDay", Meter::Tokens, Window::Day),
        ("uploadBytesPerMinute", Meter::UploadBytes, Window::Minute),
        ("uploadBytesPerDay", Meter::UploadBytes, Window::Day),
    ];

    /// Those of a tenant of whom nobody says otherwise: a thousand requests a second, which keeps one tenant
    /// from taking the whole host without being met by its work.
    pub fn of_a_tenant() -> Self {
        Self::NONE.with(Meter::Requests, Window::Minute, 60_000)
    }

    /// How much of a meter may be used in a window.
    #[expect(clippy::indexing_slicing, reason = "there is a place for each variant, in their order")]
    pub fn get(&self, meter: Meter, window: Window) -> Option<u64> {
        self.0[meter as usize][window as usize]
    }

    /// With a bound.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "there is a place for each variant, in their order")]
    pub fn with(mut self, meter: Meter, window: Window, allowed: u64) -> Self {
        self.0[meter as usize][window as usize] = Some(allowed);
        self
    }

    /// Lowers a bound, or sets one where there is none. Errors: the present one, which stays, if that is less.
    pub fn lower(&mut self, meter: Meter, window: Window, allowed: u64) -> Result<(), u64> {
        match self.get(meter, window) {
            Some(present) if allowed > present => Err(present),
            _ => {
                *self = self.with(meter, window, allowed);
                Ok(())
            }
        }
    }

    /// The same, nowhere above others.
    #[must_use]
    pub fn within(self, others: &Self) -> Self {
        Self::KEYS.into_iter().fold(self, |quotas, (_, meter, window)| match others.get(meter, window) {
            Some(most) => quotas.with(meter, window, quotas.get(meter, window).map_or(most, |own| own.min(most))),
            None => quotas,
        })
    }

    /// The bounds there are, by key.
    pub fn written(&self) -> BTreeMap<&'static str, u64> {
        let bound = |(key, meter, window)| Some((key, self.get(meter, window)?));
        Self::KEYS.into_iter().filter_map(bound).collect()
    }

    /// Bounds by key. Errors: the first key that is none.
    pub fn read<K: AsRef<str>>(bounds: impl IntoIterator<Item = (K, u64)>) -> Result<Self, K> {
        bounds.into_iter().try_fold(Self::NONE, |quotas, (key, allowed)| {
            match Self::KEYS.iter().find(|(known, ..)| *known == key.as_ref()) {
                Some((_, meter, window)) => Ok(quotas.with(*meter, *window, allowed)),
                None => Err(key),
            }
        })
    }
}

/// Whose use is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// All that is done for a tenant.
    Tenant(TenantId),
    /// All that is done with a key.
    Key(KeyId),
    /// All that somebody does at a tenant's door with tokens. Counted in memory alone: who there is, the issuer
    /// knows.
    Subject(TenantId, Subject),
}

impl Owner {
    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Key(_) => "key",
            Self::Subject(..) => "subject",
        }
    }
}

/// Who is charged: the tenant that something is done for, and the key or the subject that asks for it.
#[derive(Debug, Clone)]
pub struct Payer([Option<(Owner, Quotas)>; 2]);

impl Payer {
    /// Whoever asks, for a tenant or for none.
    pub fn new(principal: &Principal, context: Option<&Context>) -> Self {
        let tenant = context.map(|context| (Owner::Tenant(context.tenant.clone()), context.limits.quotas));
        let asks = match principal.identity() {
            Identity::Key(key) => Some(Owner::Key(key.clone())),
            // Whom nothing bounds is not counted: there may be any number of them.
            Identity::Subject(subject) if *principal.quotas() != Quotas::NONE => {
                principal.tenant().map(|tenant| Owner::Subject(tenant.clone(), subject.clone()))
            }
            Identity::Run { key: Some(key), .. } => Some(Owner::Key(key.clone())),
            Identity::Run { key: None, .. } | Identity::Subject(_) | Identity::Anyone => None,
        };
        Self([tenant, asks.map(|asks| (asks, *principal.quotas()))])
    }

    fn accounts(&self) -> impl Iterator<Item = (&Owner, &Quotas)> {
        self.0.iter().flatten().map(|(owner, quotas)| (owner, quotas))
    }
}

/// How much of one meter is used in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Of what.
    pub meter: Meter,
    /// When.
    pub window: Window,
    /// How much.
    pub used: u64,
    /// How much may be; `None`: any.
    pub allowed: Option<u64>,
    /// When the count begins anew.
    pub resets: OffsetDateTime,
}

/// What an owner used of a meter in one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Who.
    pub owner: Owner,
    /// In UTC.
    pub day: Date,
    /// Of what.
    pub meter: Meter,
    /// How much in all.
    pub used: u64,
}

/// Port: where the counts of days outlast the process.
#[async_trait]
pub trait Tallies: Send + Sync {
    /// What was kept of a day. Errors: [`Error::Journal`].
    async fn load(&self, day: Date) -> Result<Vec<Tally>, Error>;

    /// Keeps counts in place of those kept before; all or none. Lasting as audit events are once this
    /// returns. Errors: [`Error::Journal`].
    async fn keep(&self, tallies: &[Tally]) -> Result<(), Error>;
}

#[cfg(test)]
mod tests;
