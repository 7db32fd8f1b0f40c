//! The ledger: counts in memory, exact for this process, checked and added in one step.
//!
//! Minutes are counted here alone. Days are handed to [`Tallies`] from time to time ([`Ledger::flush`]), never
//! on the way of a request: what was counted since the last time is lost to a kill. It holds an account for
//! each tenant and key that asked today, and these are known ones: a stranger makes none. Of a tenant's subjects,
//! whom its issuer names and nobody here, it holds the [`MAX_SUBJECTS`] that asked last.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use time::{Date, OffsetDateTime};

use super::{Figure, Meter, Owner, Payer, Quotas, Tallies, Tally, Window};
use crate::{Error, TenantId, access::Subject, clock::Clock, plugin::Computed};

/// The subjects of one tenant that are counted at once. Of more, whoever was idle for longest is forgotten, and
/// begins anew.
pub(super) const MAX_SUBJECTS: usize = 10_000;

/// The counts of all tenants, keys and subjects.
pub struct Ledger {
    clock: Arc<dyn Clock>,
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    open: HashMap<Owner, Account>,
    /// Of each tenant, apart: they are bounded, and not kept.
    subjects: HashMap<TenantId, HashMap<Subject, Account>>,
    /// Counts of days that were over before they were kept.
    closed: Vec<Tally>,
}

/// What one owner used in the present windows.
#[derive(Default)]
struct Account {
    spans: [Span; Window::ALL.len()],
    /// Whether the day's counts differ from those kept.
    unsaved: bool,
}

#[derive(Default, Clone, Copy)]
struct Span {
    window: i64,
    used: [u64; Meter::ALL.len()],
}

impl Ledger {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, accounts: Mutex::default() }
    }

    /// Uses up some of what a payer has left: of all its quotas, or of none.
    ///
    /// Errors: [`Error::Quota`] for a quota that has not so much left; of several, the one to wait for longest.
    pub fn take(&self, payer: &Payer, meter: Meter, amount: u64) -> Result<(), Error> {
        let now = self.clock.now();
        let mut accounts = self.accounts();
        accounts.afford(payer, meter, amount, now)?;
        accounts.add(payer, meter, amount, now);
        Ok(())
    }

    /// Asks whether a payer has anything left, where what it will use is known only afterwards.
    ///
    /// Errors: as [`Self::take`].
    pub fn check(&self, payer: &Payer, meter: Meter) -> Result<(), Error> {
        self.accounts().afford(payer, meter, 1, self.clock.now())
    }

    /// Counts what was used, whatever was left.
    pub fn note(&self, payer: &Payer, meter: Meter, amount: u64) {
        if amount > 0 {
            self.accounts().add(payer, meter, amount, self.clock.now());
        }
    }

    /// Counts what was computed, each millisecond that began.
    pub fn note_computing(&self, payer: &Payer, computed: &Computed) {
        let milliseconds = computed.time().as_micros().div_ceil(1_000);
        self.note(payer, Meter::CpuMs, u64::try_from(milliseconds).unwrap_or(u64::MAX));
    }

    /// What an owner has used, in the order of meters and windows.
    pub fn figures(&self, owner: &Owner, quotas: &Quotas) -> Vec<Figure> {
        let now = self.clock.now();
        let accounts = self.accounts();
        let account = accounts.get(owner);
        let all = Meter::ALL.into_iter().flat_map(|meter| Window::ALL.map(|window| (meter, window)));
        all.map(|(meter, window)| Figure {
            meter,
            window,
            used: account.map_or(0, |account| account.used(meter, window, now)),
            allowed: quotas.get(meter, window),
            resets: window.end(now),
        })
        .collect()
    }

    /// Takes up the counts that were kept of today. To be called at the start.
    ///
    /// Errors: [`Error::Journal`].
    pub async fn restore(&self, kept: &dyn Tallies) -> Result<(), Error> {
        let now = self.clock.now();
        let tallies = kept.load(day(Window::Day.at(now))).await?;
        let mut accounts = self.accounts();
        for Tally { owner, meter, used, .. } in tallies {
            let account = accounts.open.entry(owner).or_default();
            account.turn(now);
            *account.day_mut().slot(meter) = used;
        }
        Ok(())
    }

    /// Hands on what was counted since the last time, and forgets owners that did not ask today.
    ///
    /// Errors: [`Error::Journal`]; then it is handed on the next time. Cancel: some may be handed on by the
    /// next change alone.
    pub async fn flush(&self, kept: &dyn Tallies) -> Result<(), Error> {
        let changed = self.accounts().changed(Window::Day.at(self.clock.now()));
        if changed.is_empty() {
            return Ok(());
        }
        let result = kept.keep(&changed).await;
        if result.is_err() {
            self.accounts().take_back(changed);
        }
        result
    }

    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        let accounts = self.accounts();
        accounts.open.len() + accounts.subjects.values().map(HashMap::len).sum::<usize>()
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn afford(&self, payer: &Payer, meter: Meter, amount: u64, now: OffsetDateTime) -> Result<(), Error> {
        let mut refusal = None;
        let mut longest = 0;
        for (owner, quotas) in payer.accounts() {
            let account = self.get(owner);
            for window in Window::ALL {
                let Some(allowed) = quotas.get(meter, window) else { continue };
                let used = account.map_or(0, |account| account.used(meter, window, now));
                if used.saturating_add(amount) <= allowed {
                    continue;
                }
                let wait = (window.end(now) - now).whole_milliseconds().max(1);
                // What is more than the whole quota never fits.
                let retry_after_ms = (amount <= allowed).then(|| u32::try_from(wait).unwrap_or(u32::MAX));
                // Of several, the one for which to wait longest: to come back before is of no use.
                let wait = retry_after_ms.map_or(u64::MAX, u64::from);
                if wait > longest {
                    longest = wait;
                    refusal = Some(Error::Quota { of: owner.kind(), meter, allowed, window, retry_after_ms });
                }
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    #[expect(clippy::indexing_slicing, reason = "there is a span for each window, in their order")]
    fn add(&mut self, payer: &Payer, meter: Meter, amount: u64, now: OffsetDateTime) {
        for (owner, _) in payer.accounts() {
            let (account, lasting) = match owner {
                Owner::Subject(tenant, subject) => (self.of_subject(tenant, subject), false),
                owner => {
                    if !self.open.contains_key(owner) {
                        self.open.insert(owner.clone(), Account::default());
                    }
                    (self.open.get_mut(owner), true)
                }
            };
            let Some(account) = account else { continue };
            let over = account.turn(now);
            for window in Window::ALL {
                let used = account.spans[window as usize].slot(meter);
                *used = used.saturating_add(amount);
            }
            account.unsaved = lasting;
            if let Some(over) = over {
                self.closed.extend(over.tallies(owner));
            }
        }
    }

    fn get(&self, owner: &Owner) -> Option<&Account> {
        match owner {
            Owner::Subject(tenant, subject) => self.subjects.get(tenant)?.get(subject),
            owner => self.open.get(owner),
        }
    }

    fn of_subject(&mut self, tenant: &TenantId, subject: &Subject) -> Option<&mut Account> {
        if !self.subjects.contains_key(tenant) {
            self.subjects.insert(tenant.clone(), HashMap::new());
        }
        let of = self.subjects.get_mut(tenant)?;
        if !of.contains_key(subject) {
            if of.len() >= MAX_SUBJECTS {
                let idle = of.iter().min_by_key(|(_, account)| account.minute()).map(|(subject, _)| subject.clone());
                idle.and_then(|idle| of.remove(&idle));
            }
            of.insert(subject.clone(), Account::default());
        }
        of.get_mut(subject)
    }

    fn changed(&mut self, today: i64) -> Vec<Tally> {
        let mut changed = std::mem::take(&mut self.closed);
        for (owner, account) in self.open.iter_mut().filter(|(_, account)| account.unsaved) {
            changed.extend(account.day().tallies(owner));
            account.unsaved = false;
        }
        self.open.retain(|_, account| account.day().window == today);
        self.subjects.retain(|_, of| {
            of.retain(|_, account| account.day().window == today);
            !of.is_empty()
        });
        changed
    }

    /// What could not be kept. What was counted meanwhile includes it, where the day is still the same.
    fn take_back(&mut self, tallies: Vec<Tally>) {
        for tally in tallies {
            match self.open.get_mut(&tally.owner) {
                Some(account) if day(account.day().window) == tally.day => account.unsaved = true,
                _ => self.closed.push(tally),
            }
        }
    }
}

impl Account {
    /// Begins new windows where the old ones are over. Gives a day that was over before it was kept.
    fn turn(&mut self, now: OffsetDateTime) -> Option<Span> {
        let mut over = None;
        for (window, span) in Window::ALL.into_iter().zip(&mut self.spans) {
            if span.window != window.at(now) {
                let before = std::mem::replace(span, Span { window: window.at(now), ..Span::default() });
                if window == Window::Day && self.unsaved {
                    over = Some(before);
                    self.unsaved = false;
                }
            }
        }
        over
    }

    #[expect(clippy::indexing_slicing, reason = "there is a span for each window, in their order")]
    fn used(&self, meter: Meter, window: Window, now: OffsetDateTime) -> u64 {
        let mut span = self.spans[window as usize];
        if span.window == window.at(now) { *span.slot(meter) } else { 0 }
    }

    /// In which minute it was last used.
    #[expect(clippy::indexing_slicing, reason = "there is a span for each window, in their order")]
    fn minute(&self) -> i64 {
        self.spans[Window::Minute as usize].window
    }

    #[expect(clippy::indexing_slicing, reason = "there is a span for each window, in their order")]
    fn day(&self) -> Span {
        self.spans[Window::Day as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "there is a span for each window, in their order")]
    fn day_mut(&mut self) -> &mut Span {
        &mut self.spans[Window::Day as usize]
    }
}

impl Span {
    #[expect(clippy::indexing_slicing, reason = "there is a slot for each meter, in their order")]
    fn slot(&mut self, meter: Meter) -> &mut u64 {
        &mut self.used[meter as usize]
    }

    fn tallies(self, owner: &Owner) -> impl Iterator<Item = Tally> {
        let used = Meter::ALL.into_iter().zip(self.used).filter(|(_, used)| *used > 0);
        used.map(move |(meter, used)| Tally { owner: owner.clone(), day: day(self.window), meter, used })
    }
}

/// The day of a day's window.
fn day(window: i64) -> Date {
    let start = window.saturating_mul(Window::Day.seconds());
    OffsetDateTime::from_unix_timestamp(start).unwrap_or(OffsetDateTime::UNIX_EPOCH).date()
}
