//! A step's work: tried, timed, tried again, given up.

use std::future::Future;

use remit_domain::{
    AgentName,
    execution::{Choice, Entry, Failure, Outcome, Recorded},
};
use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Scope, Work,
    line::{Halt, Line, bounded, failure, fill},
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
        let config = fill(form, path, scope)?;
        let agent = self.agent(job, path)?;
        let key = match &step.key {
            Some(form) => match fill(form, path, scope)? {
                Value::String(text) => text,
                other => other.to_string(),
            },
            None => format!("{}/{path}", self.run.id),
        };
        let input = match job {
            Job::Node { .. } => scope.last().cloned().unwrap_or_default(),
            Job::Tool { .. } | Job::Agent { .. } => Value::Null,
        };
        let (agent, config, key, input) = (&agent, &config, key.as_str(), &input);
        let work = |attempt| Work { run: self.run, path, job, agent, config, input, key, attempt };
        let keyed = step.key.is_some();
        let mut attempt = 1;
        if let Recorded::Began { attempt: last, resolved, .. } = before {
            attempt = last;
            let again = match resolved {
                Some(Choice::Skip) => return Ok(Outcome::Skipped),
                Some(Choice::Rerun) => true,
                None => self.with.performer.harmless(&work(attempt), keyed).await,
            };
            if !again {
                let message = "the host ended while this step was under way, and it may have taken effect";
                return Err(Halt::Interrupted(failure("interrupted", message, Some(path))));
            }
        }
        loop {
            let began = Entry::Began {
                path: path.to_owned(),
                attempt,
                at: self.with.timer.now(),
                input: config.clone(),
                until: None,
            };
            self.write(tail, Some(began)).await?;
            let failed = match self.attempt(step, work(attempt)).await? {
                Ok(output) => return Ok(Outcome::Done(bounded(output, path)?)),
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
            self.pause(self.with.timer.now().saturating_add(pause)).await?;
            attempt += 1;
        }
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
