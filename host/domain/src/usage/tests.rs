//! Counts, and what becomes of them as time goes on.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex, PoisonError};

use time::macros::datetime;

use super::*;
use crate::{
    AgentName,
    access::{Key, Role, Token},
    clock::Clock,
};

struct Hands(Mutex<OffsetDateTime>);

impl Hands {
    fn set(&self, to: OffsetDateTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Clock for Hands {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Kept {
    tallies: Mutex<Vec<Tally>>,
    fails: Mutex<bool>,
}

#[async_trait]
impl Tallies for Kept {
    async fn load(&self, day: Date) -> Result<Vec<Tally>, Error> {
        Ok(self.tallies.lock().unwrap().iter().filter(|tally| tally.day == day).cloned().collect())
    }

    async fn keep(&self, tallies: &[Tally]) -> Result<(), Error> {
        if *self.fails.lock().unwrap() {
            return Err(Error::Journal("full".into()));
        }
        let mut kept = self.tallies.lock().unwrap();
        for tally in tallies {
            let same = |it: &Tally| it.owner == tally.owner && it.day == tally.day && it.meter == tally.meter;
            kept.retain(|it| !same(it));
            kept.push(tally.clone());
        }
        Ok(())
    }
}

const NOON: OffsetDateTime = datetime!(2026-03-01 12:00:15.5 UTC);

fn at(now: OffsetDateTime) -> (Arc<Hands>, Ledger) {
    let hands = Arc::new(Hands(Mutex::new(now)));
    (hands.clone(), Ledger::new(hands))
}

fn tenant(name: &str, quotas: Quotas) -> (Owner, Quotas) {
    (Owner::Tenant(TenantId::new(name).unwrap()), quotas)
}

fn key(quotas: Quotas) -> (Owner, Quotas) {
    (Owner::Key(KeyId::new("0123456789abcdef").unwrap()), quotas)
}

fn refusal(result: Result<(), Error>) -> (String, Option<u32>) {
    let error = result.unwrap_err();
    assert_eq!((error.code(), error.retriable()), ("quota_exceeded", error.retry_after_ms().is_some()));
    (error.to_string(), error.retry_after_ms())
}

#[test]
fn a_minute_ends_and_begins_anew_and_nobody_else_notices() {
    let (hands, ledger) = at(NOON);
    let two = Quotas::NONE.with(Meter::Requests, Window::Minute, 2);
    let (ours, theirs) = (Payer([Some(tenant("a", two)), None]), Payer([Some(tenant("b", two)), None]));
    assert!(ledger.take(&ours, Meter::Requests, 1).is_ok() && ledger.take(&ours, Meter::Requests, 1).is_ok());
    let said = "this tenant has used up its requestsPerMinute (2)".to_owned();
    assert_eq!(refusal(ledger.take(&ours, Meter::Requests, 1)), (said, Some(44_500)));
    assert!(ledger.take(&theirs, Meter::Requests, 1).is_ok(), "another tenant");
    assert!(ledger.take(&ours, Meter::Calls, 1).is_ok(), "another meter");
    hands.set(datetime!(2026-03-01 12:00:59.999 UTC));
    assert_eq!(refusal(ledger.take(&ours, Meter::Requests, 1)).1, Some(1));
    hands.set(datetime!(2026-03-01 12:01 UTC));
    assert!(ledger.take(&ours, Meter::Requests, 2).is_ok(), "a new minute");
    assert!(ledger.check(&ours, Meter::Requests).is_err());
}

#[test]
fn a_key_and_its_tenant_are_charged_together_or_not_at_all() {
    let (_, ledger) = at(NOON);
    let bound = |allowed| Quotas::NONE.with(Meter::UploadBytes, Window::Day, allowed);
    let payer = Payer([Some(tenant("a", bound(10))), Some(key(bound(6)))]);
    assert!(ledger.take(&payer, Meter::UploadBytes, 4).is_ok());
    let (said, _) = refusal(ledger.take(&payer, Meter::UploadBytes, 3));
    assert_eq!(said, "this key has used up its uploadBytesPerDay (6)");
    let used = |(owner, quotas): (Owner, Quotas)| {
        let figures = ledger.figures(&owner, &quotas);
        let day = figures.into_iter().find(|it| (it.meter, it.window) == (Meter::UploadBytes, Window::Day));
        day.map(|it| (it.used, it.allowed, it.resets)).unwrap()
    };
    let midnight = datetime!(2026-03-02 0:00 UTC);
    assert_eq!(used(tenant("a", bound(10))), (4, Some(10), midnight), "nothing was taken of the tenant's either");
    assert_eq!(used(key(bound(6))), (4, Some(6), midnight));
    // What can never fit is not to be tried again.
    let never = ledger.take(&payer, Meter::UploadBytes, 7);
    assert_eq!(refusal(never).1, None);
    ledger.note(&payer, Meter::UploadBytes, u64::MAX);
    assert_eq!(used(key(bound(6))).0, u64::MAX, "counted without end");
}

#[test]
fn quotas_are_written_by_key_and_only_lowered() {
    let mut quotas = Quotas::of_a_tenant();
    assert_eq!(quotas.written(), BTreeMap::from([("requestsPerMinute", 60_000)]));
    assert_eq!(quotas.lower(Meter::Requests, Window::Minute, 60_001), Err(60_000));
    assert_eq!(quotas.lower(Meter::Requests, Window::Minute, 5), Ok(()));
    assert_eq!(quotas.lower(Meter::Tokens, Window::Day, 0), Ok(()));
    assert_eq!(Quotas::read(quotas.written()), Ok(quotas));
    assert_eq!(Quotas::read([("callsPerDay", 1), ("callsPerYear", 1)]), Err("callsPerYear"));
    for (at, (key, meter, window)) in Quotas::KEYS.into_iter().enumerate() {
        assert_eq!(Quotas::NONE.with(meter, window, 7).written(), BTreeMap::from([(key, 7)]));
        assert_eq!((meter as usize, window as usize), (at / 2, at % 2));
        assert_eq!(Meter::of(meter.as_str()), Some(meter));
    }
}

#[tokio::test]
async fn a_days_counts_outlast_the_process_and_a_failing_disk() {
    let kept = Kept::default();
    let (hands, ledger) = at(datetime!(2026-03-01 23:59:58 UTC));
    let bound = Quotas::NONE.with(Meter::Tokens, Window::Day, 100);
    let payer = Payer([Some(tenant("a", bound)), None]);
    ledger.note(&payer, Meter::Tokens, 60);
    *kept.fails.lock().unwrap() = true;
    assert!(ledger.flush(&kept).await.is_err());
    ledger.note(&payer, Meter::Tokens, 10);
    assert!(ledger.flush(&kept).await.is_err());
    *kept.fails.lock().unwrap() = false;
    // The day ends before it could be kept.
    hands.set(datetime!(2026-03-02 0:00:01 UTC));
    ledger.note(&payer, Meter::Tokens, 5);
    ledger.flush(&kept).await.unwrap();
    let mut days: Vec<_> = kept.tallies.lock().unwrap().iter().map(|tally| (tally.day.day(), tally.used)).collect();
    days.sort_unstable();
    assert_eq!(days, [(1, 70), (2, 5)]);

    let (_, again) = at(datetime!(2026-03-02 8:00 UTC));
    again.restore(&kept).await.unwrap();
    assert!(again.take(&payer, Meter::Tokens, 95).is_ok());
    assert!(again.take(&payer, Meter::Tokens, 1).is_err(), "today's 5 were not forgotten");
    let (_, next) = at(datetime!(2026-03-03 8:00 UTC));
    next.restore(&kept).await.unwrap();
    assert!(next.take(&payer, Meter::Tokens, 100).is_ok(), "yesterday's are over");
}

#[tokio::test]
async fn who_did_not_ask_today_takes_no_memory() {
    let (hands, ledger) = at(NOON);
    for name in ["a", "b", "c"] {
        ledger.note(&Payer([Some(tenant(name, Quotas::NONE)), None]), Meter::Calls, 1);
    }
    hands.set(NOON + time::Duration::DAY);
    ledger.note(&Payer([Some(tenant("a", Quotas::NONE)), None]), Meter::Calls, 1);
    ledger.flush(&Kept::default()).await.unwrap();
    assert_eq!(ledger.open(), 1);
}

#[test]
fn a_payer_is_a_tenant_a_key_or_nobody() {
    let token = Token::random().unwrap();
    let quotas = Quotas::NONE.with(Meter::Calls, Window::Day, 3);
    let key = Key {
        id: token.id().clone(),
        tenant: None,
        role: Role::Operator,
        agents: None,
        label: None,
        created: NOON,
        expires: None,
        revoked: None,
        quotas,
    };
    let owner = Owner::Key(key.id.clone());
    let payer = Payer::new(&Principal::of(key), None);
    assert_eq!(payer.accounts().collect::<Vec<_>>(), [(&owner, &quotas)]);
    assert_eq!(Payer::new(&Principal::anyone(), None).accounts().count(), 0);
}

fn vouched(name: &str, quotas: Quotas) -> Payer {
    let subject = Subject::new("https://a.example", name).unwrap();
    let (tenant, agent) = (TenantId::new("a").unwrap(), AgentName::new("sales").unwrap());
    Payer::new(&Principal::vouched(subject, tenant, agent, Role::Agent, quotas), None)
}

#[tokio::test]
async fn each_subject_has_what_its_issuer_says_and_is_counted_here_alone() {
    let (hands, ledger) = at(NOON);
    let two = Quotas::NONE.with(Meter::Calls, Window::Day, 2);
    let (ada, bob) = (vouched("ada", two), vouched("bob", two));
    for _ in 0..2 {
        ledger.take(&ada, Meter::Calls, 1).unwrap();
    }
    let (said, _) = refusal(ledger.take(&ada, Meter::Calls, 1));
    assert!(said.contains("subject"), "{said}");
    ledger.take(&bob, Meter::Calls, 1).unwrap();
    // Nothing is kept of them, and whom nothing bounds is not counted at all.
    let kept = Kept::default();
    ledger.flush(&kept).await.unwrap();
    assert_eq!(kept.tallies.lock().unwrap().as_slice(), []);
    assert_eq!(ledger.open(), 2);
    ledger.note(&vouched("anybody", Quotas::NONE), Meter::Calls, 1);
    assert_eq!(ledger.open(), 2);
    hands.set(NOON + time::Duration::DAY);
    ledger.take(&ada, Meter::Calls, 2).unwrap();
    ledger.flush(&kept).await.unwrap();
    assert_eq!((ledger.open(), kept.tallies.lock().unwrap().len()), (1, 0), "the other did not ask today");
}

#[test]
fn an_issuer_with_many_subjects_takes_no_more_memory_than_it_may() {
    let (hands, ledger) = at(NOON);
    let one = Quotas::NONE.with(Meter::Calls, Window::Day, 1);
    ledger.take(&vouched("first", one), Meter::Calls, 1).unwrap();
    hands.set(NOON + time::Duration::MINUTE);
    ledger.take(&vouched("second", one), Meter::Calls, 1).unwrap();
    hands.set(NOON + time::Duration::MINUTE * 2);
    for at in 0..ledger::MAX_SUBJECTS - 1 {
        ledger.take(&vouched(&format!("more {at}"), one), Meter::Calls, 1).unwrap();
    }
    assert_eq!(ledger.open(), ledger::MAX_SUBJECTS);
    // Who was idle for longest begins anew; the next did not have to.
    refusal(ledger.take(&vouched("second", one), Meter::Calls, 1));
    ledger.take(&vouched("first", one), Meter::Calls, 1).unwrap();
    assert_eq!(ledger.open(), ledger::MAX_SUBJECTS);
}
