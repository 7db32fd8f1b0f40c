//! Any plan: it comes to the same straight, with a crash before or after any entry of its journal, and with
//! its branches in any order; what is recorded is not done again, and every run ends.
//!
//! The plans are the same at every run. `PROPTEST_CASES` asks for more of them.

use std::sync::atomic::AtomicUsize;

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

use super::{
    generated::{Generated, plans},
    world::{Course, Life, Scripted, Timeline, drive},
    *,
};

/// How many plans without a word: a few seconds' worth.
const CASES: u32 = 24;
/// The most places at which one plan's host is ended; of more, some are left out.
const MAX_ENDS: usize = 16;

/// What came of a run, as far as the time of day has no part in it.
#[derive(Debug, Clone, PartialEq)]
struct Came {
    status: Status,
    outputs: Value,
    failure: Option<(String, Option<String>)>,
}

impl Came {
    fn of(end: &End) -> Self {
        let mut outputs = end.outputs.clone().unwrap_or_default();
        timeless(&mut outputs);
        let failure = end.failure.as_ref().map(|failure| (failure.code.clone(), failure.path.clone()));
        Self { status: end.status, outputs, failure }
    }
}

fn timeless(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(timeless),
        Value::Object(members) => {
            members.shift_remove("until");
            members.values_mut().for_each(timeless);
        }
        _ => {}
    }
}

/// A run through all lives of its host.
struct Subject {
    plan: Plan,
    run: Run,
    kept: Arc<Memory>,
    timeline: Arc<Timeline>,
    harmful: bool,
    done: Arc<Mutex<BTreeMap<String, u32>>>,
    repeated: Arc<Mutex<Vec<String>>>,
    begun: bool,
    /// The writes of its last life.
    writes: usize,
}

impl Subject {
    fn new(plan: &Plan, harmful: bool) -> Self {
        let run = Run {
            id: RunId::parse("018c0000-0000-7000-8000-000000000000").unwrap(),
            tenant: TenantId::new("techstart").unwrap(),
            workflow: "w".to_owned(),
            digest: plan.digest.clone(),
            definition: Value::Null,
            inputs: json!({}),
            context: json!({}),
            began: OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap(),
            key: None,
            pins: BTreeSet::new(),
            by: Principal::anyone().asker(),
            origin: None,
        };
        let (kept, timeline) = (Arc::new(Memory::default()), Arc::new(Timeline::new()));
        let (done, repeated) = (Arc::default(), Arc::default());
        Self { plan: plan.clone(), run, kept, timeline, harmful, done, repeated, begun: false, writes: 0 }
    }

    /// A life of its host. `None` if it was killed.
    fn live(&mut self, seed: u64, ends: Option<Break>) -> Result<Option<End>, TestCaseError> {
        let life = Arc::new(Life::new(self.kept.clone(), seed, ends));
        let performer = Scripted {
            kept: self.kept.clone(),
            timeline: self.timeline.clone(),
            seed,
            harmful: self.harmful,
            done: self.done.clone(),
            repeated: self.repeated.clone(),
        };
        let interpreter = Interpreter {
            journal: life.clone(),
            performer: Arc::new(performer),
            timer: self.timeline.clone(),
            env: Arc::default(),
            keeping: Keeping::default(),
        };
        let again = std::mem::replace(&mut self.begun, true);
        let live = Live::new();
        let course = drive(&self.timeline, &life.killed, async {
            if !again {
                self.kept.make(&self.run).await?;
            }
            interpreter.run(&self.run, &self.plan, again, &live).await
        });
        self.writes = life.writes.load(Ordering::Relaxed);
        prop_assert_eq!(&*self.repeated.lock().unwrap(), &Vec::<String>::new(), "done again although on record");
        match course {
            Course::Done(Ok(end)) => Ok(Some(end)),
            Course::Killed => Ok(None),
            Course::Done(Err(error)) => Err(TestCaseError::fail(format!("{error}"))),
            Course::Stuck => Err(TestCaseError::fail("the run is stuck")),
        }
    }

    /// Takes it to its end, whatever was in doubt being tried again.
    fn finish(&mut self, seed: u64) -> Result<Came, TestCaseError> {
        for _ in 0..200 {
            let end = self.live(seed, None)?.ok_or_else(|| TestCaseError::fail("killed by nobody"))?;
            if end.status != Status::Interrupted {
                let open = self.open();
                prop_assert!(open.is_empty(), "begun and never over: {:?} in {}", open, self.plan_text());
                return Ok(Came::of(&end));
            }
            let path = end.failure.and_then(|failure| failure.path).ok_or_else(|| TestCaseError::fail("no place"))?;
            let at = self.timeline.now();
            let decided = Entry::Resolved { path, at, choice: Choice::Rerun, by: "ada".to_owned() };
            let reopened = drive(&self.timeline, &Default::default(), self.kept.reopen(&self.run.id, &[decided]));
            prop_assert!(matches!(reopened, Course::Done(Ok(()))));
        }
        Err(TestCaseError::fail("it is in doubt again and again"))
    }

    /// The steps that were begun and are not over.
    fn open(&self) -> BTreeSet<String> {
        let entries = self.kept.entries(&self.run.id);
        let mut open = BTreeSet::new();
        for entry in &entries {
            match entry {
                Entry::Began { path, .. } => drop(open.insert(path.clone())),
                Entry::Ended { path, .. } => drop(open.remove(path)),
                _ => {}
            }
        }
        open
    }

    fn plan_text(&self) -> String {
        serde_json::to_string(&self.plan.authored).unwrap_or_default()
    }

    /// What was done, but for the items of a foreach that failed: which of these begin is a matter of time.
    fn certain(&self) -> BTreeSet<String> {
        let failed = |path: &str| {
            let within = path.match_indices('[').map(|(at, _)| path.split_at(at).0);
            within
                .into_iter()
                .any(|foreach| !matches!(self.kept.outcome(&self.run.id, foreach), Some(Outcome::Done(_))))
        };
        self.done.lock().unwrap().keys().filter(|path| !failed(path)).cloned().collect()
    }
}

fn read(generated: &Generated) -> Result<(Plan, String), TestCaseError> {
    let text = generated.yaml();
    let plan = crate::plan(&File::new("w.yml", text.clone()), &BTreeSet::new());
    Ok((plan.map_err(|faults| TestCaseError::fail(format!("{faults}\n{text}")))?, text))
}

/// All places for a host to end, or some of them, evenly.
fn ends(writes: usize) -> impl Iterator<Item = Break> {
    let stride = (2 * writes).div_ceil(MAX_ENDS).max(1);
    (0..2 * writes).step_by(stride).map(|at| Break { at: at / 2, written: at % 2 == 1 })
}

fn check(what: impl Fn(&Generated) -> Result<(), TestCaseError>) {
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 500, rng_seed: RngSeed::Fixed(5), ..default };
    let tried = AtomicUsize::new(0);
    let ran = TestRunner::new(config).run(&plans(), |generated| {
        tried.fetch_add(1, Ordering::Relaxed);
        what(&generated)
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    assert!(tried.into_inner() >= usize::try_from(cases).unwrap());
}

#[test]
fn branches_may_end_in_any_order() {
    check(|generated| {
        let (plan, text) = read(generated)?;
        let mut straight = Subject::new(&plan, false);
        let came = straight.finish(0)?;
        for seed in 1..8 {
            let mut subject = Subject::new(&plan, false);
            prop_assert_eq!(subject.finish(seed)?, came.clone(), "in order {}: {}", seed, text);
            prop_assert_eq!(subject.certain(), straight.certain(), "in order {}: {}", seed, text);
        }
        Ok(())
    });
}

/// Ends the host once or twice on the way, and compares with a run that nothing disturbed.
fn ended_anywhere(harmful: bool) {
    check(|generated| {
        let (plan, text) = read(generated)?;
        let mut straight = Subject::new(&plan, harmful);
        let came = straight.finish(0)?;
        for (seed, ends) in (1..).zip(ends(straight.writes)) {
            let mut subject = Subject::new(&plan, harmful);
            let mut ended = subject.live(seed, Some(ends))?;
            if ended.is_none() {
                // Once more, a little further on.
                let soon = Break { at: ends.at % 4, written: !ends.written };
                ended = subject.live(seed + 1_000, Some(soon))?;
            }
            let now = match ended {
                Some(end) if end.status != Status::Interrupted => Came::of(&end),
                Some(end) => {
                    let path = end.failure.and_then(|failure| failure.path).unwrap_or_default();
                    let at = subject.timeline.now();
                    let decided = Entry::Resolved { path, at, choice: Choice::Rerun, by: "ada".to_owned() };
                    let reopened =
                        drive(&subject.timeline, &Default::default(), subject.kept.reopen(&subject.run.id, &[decided]));
                    prop_assert!(matches!(reopened, Course::Done(Ok(()))));
                    subject.finish(seed + 2_000)?
                }
                None => subject.finish(seed + 2_000)?,
            };
            prop_assert_eq!(now, came.clone(), "ended at {:?}: {}", ends, text);
            prop_assert_eq!(subject.certain(), straight.certain(), "ended at {:?}: {}", ends, text);
        }
        Ok(())
    });
}

#[test]
fn a_host_may_end_before_and_after_any_entry() {
    ended_anywhere(false);
}

#[test]
fn what_is_in_doubt_comes_to_the_same_once_a_person_decided() {
    ended_anywhere(true);
}
