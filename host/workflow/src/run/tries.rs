//! A step's work: tried, timed, tried again, given up.

use std::future::Future;

use remit_domain::{
    AgentName,
    access::{KeyId, Role},
    execution::{Choice, Entry, Failure, Outcome, Recorded},
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Scope, Work,
    keeping::measured,
    line::{Halt, Line, failure},
    scope::shown,
};
use crate::{
    expression::Form,
    plan::{Job, Step},
};

/// The code of a try that took longer than the step allows.
const TIMEOUT: &str = "timeout";

impl Line<'_> {
    #[expect(clippy::too_many_arguments, reason = "a step and what it stands in")]
    pub(super) async fn work(
        self,
        step: &Step,
        job: &Job,
        form: &Form,
        path: &str,
        scope: &mut Scope<'_>,
        tail: &mut Vec<Entry>,
        before: Recorded,
    ) -> Result<Outcome, Halt> {
        let config = self.fill(form, path, scope).await?;
        let agent = self.agent(job, path)?;
        let key = match &step.key {
            Some(form) => match self.fill(form, path, scope).await? {
                Value::String(text) => text,
                other => other.to_string(),
            },
            None => format!("{}/{path}", self.run.id),
        };
        // Of a large output, where it lies: what a node needs of it stands in its config. Nothing is held in memory
        // for as long as a step and its pauses take.
        let input = match job {
            Job::Node { .. } => scope.last().map(shown).unwrap_or_default(),
            Job::Tool { .. } | Job::Agent { .. } => Value::Null,
        };
        let (agent, config, key, input) = (&agent, &config, key.as_str(), &input);
        let work = |attempt| Work { run: self.run, path, job, agent, config, input, key, attempt };
        let keyed = step.key.is_some();
        let mut attempt = 1;
        if let Recorded::Began { attempt: last, resolved, until } = before {
            attempt = last;
            match (until, resolved) {
                // It was about to be tried again, and nothing of that try had begun.
                (Some(until), _) => self.pause(until).await?,
                (None, Some(Choice::Skip)) => return Ok(Outcome::Skipped),
                (None, Some(Choice::Rerun)) => {}
                (None, None) if self.with.performer.harmless(&work(attempt), keyed).await => {}
                (None, None) => {
                    let message = "the host ended while this step was under way, and it may have taken effect";
                    return Err(Halt::Interrupted(failure("interrupted", message, Some(path))));
                }
            }
        }
        loop {
            // Before anything is done in its name.
            self.warranted(agent, path).await?;
            self.has_room(0, path)?;
            let input = self.given(config);
            let began = Entry::Began { path: path.to_owned(), attempt, at: self.with.timer.now(), input, until: None };
            self.write(tail, Some(began)).await?;
            let failed = match self.attempt(step, work(attempt)).await? {
                Ok(output) => return Ok(Outcome::Done(output)),
                Err(failure) => failure,
            };
            let retry = &step.retry;
            let worth = match retry.on.is_empty() {
                // It was stopped wherever it was.
                true if failed.code == TIMEOUT => self.with.performer.harmless(&work(attempt), keyed).await,
                true => failed.retriable,
                false => retry.on.contains(&failed.code),
            };
            if !worth || attempt >= retry.attempts {
                return Err(Halt::Failed(failed));
            }
            let grown = retry.delay.as_secs_f64() * retry.factor.powf(f64::from(attempt) - 1.0);
            let mut seconds = grown.min(retry.most.as_secs_f64());
            if retry.jitter {
                seconds *= 0.5 + self.with.timer.chance() / 2.0;
            }
            let asked = failed.retry_after_ms.map_or(0.0, |ms| f64::from(ms) / 1000.0);
            let pause = time::Duration::seconds_f64(seconds.max(asked.min(retry.most.as_secs_f64())));
            attempt += 1;
            // On record, so that a host which ends meanwhile waits for no more than what is left of it.
            let (at, input) = (self.with.timer.now(), Value::Null);
            let until = at.saturating_add(pause);
            let waits = Entry::Began { path: path.to_owned(), attempt, at, input, until: Some(until) };
            self.write(tail, Some(waits)).await?;
            self.pause(until).await?;
        }
    }

    /// What is recorded of what a step is given.
    pub(super) fn given(self, config: &Value) -> Value {
        match measured(config, self.live.bounds.inline) {
            Some(_) => config.clone(),
            None => json!({"omittedBytes": measured(config, usize::MAX)}),
        }
    }

    /// Whether who began the run may still do something as this agent. Errors: the run is over.
    async fn warranted(self, agent: &AgentName, path: &str) -> Result<(), Halt> {
        let (Some(keys), Some(key)) = (&self.with.keeping.keys, &self.run.by.key) else { return Ok(()) };
        let found = match KeyId::new(key) {
            Some(id) => keys.find(&id).await.map_err(Halt::Journal)?.map(|(key, _)| key),
            None => None,
        };
        let now = self.with.timer.now();
        let of_tenant = |of: &Option<_>| of.as_ref().is_none_or(|tenant| *tenant == self.run.tenant);
        let (code, message) = match found {
            Some(key) if key.is_valid(now) && key.role >= Role::Agent && of_tenant(&key.tenant) => {
                if key.agents.is_none_or(|agents| agents.contains(agent)) {
                    return Ok(());
                }
                ("agent_not_allowed", format!("the key that began this run does not speak for the agent {agent}"))
            }
            _ => ("key_revoked", "the key that began this run lets nobody in any more".to_owned()),
        };
        Err(Halt::Over(failure(code, message, Some(path))))
    }

    /// One try. The outer failure ends the run where it is.
    async fn attempt(self, step: &Step, work: Work<'_>) -> Result<Result<Value, Failure>, Halt> {
        let path = work.path;
        let work = self.with.performer.perform(work);
        let timed = async {
            let Some(allowed) = step.timeout else { return work.await };
            let over = time::Duration::try_from(allowed).unwrap_or(time::Duration::MAX);
            let end = self.with.timer.now().saturating_add(over);
            tokio::select! {
                done = work => done,
                () = self.with.timer.until(end) => {
                    let message = format!("the step took longer than its timeout allows ({} ms)", allowed.as_millis());
                    Err(Failure { retriable: true, ..failure(TIMEOUT, message, Some(path)) })
                }
            }
        };
        self.unless_cancelled(timed).await
    }

    pub(super) async fn pause(self, until: OffsetDateTime) -> Result<(), Halt> {
        self.unless_cancelled(self.with.timer.until(until)).await
    }

    /// Waits for something that is nobody's work: meanwhile the run has no slot.
    pub(super) async fn idle<T>(self, what: impl Future<Output = T>) -> T {
        self.live.slot.leave();
        let done = what.await;
        self.live.slot.enter(&self.live.cancel).await;
        done
    }

    pub(super) async fn unless_cancelled<T>(self, what: impl Future<Output = T>) -> Result<T, Halt> {
        if !self.stoppable {
            return Ok(what.await);
        }
        tokio::select! {
            biased;
            () = self.live.cancel.cancelled() => Err(Halt::Cancelled),
            done = what => Ok(done),
        }
    }

    /// Who does a step's work.
    fn agent(self, job: &Job, path: &str) -> Result<AgentName, Halt> {
        let own = match job {
            Job::Tool { agent, .. } | Job::Agent { agent, .. } => agent.as_ref(),
            Job::Node { .. } => None,
        };
        let of_run = || {
            let name = self.context.get("agent").and_then(Value::as_str);
            name.or(self.plan.authored.agent_type.as_deref()).and_then(|name| AgentName::new(name).ok())
        };
        own.cloned()
            .or_else(of_run)
            .ok_or_else(|| Halt::Failed(failure("no_agent", "no agent is named for this step", Some(path))))
    }
}
