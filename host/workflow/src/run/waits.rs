//! Steps that wait: for a time, or for a person.

use remit_domain::execution::{Entry, Recorded};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Scope,
    line::{Halt, Line, failure},
};
use crate::{duration, expression::Form, plan::Step};

impl Line<'_> {
    pub(super) async fn wait(
        self,
        form: &Form,
        path: &str,
        scope: &Scope<'_>,
        tail: &mut Vec<Entry>,
        before: Recorded,
    ) -> Result<Value, Halt> {
        let config = self.fill(form, path, scope).await?;
        let until = match before {
            Recorded::Began { until: Some(until), .. } => until,
            _ => {
                let until = deadline(&config, "duration", self.with.timer.now(), path)?;
                let until = until.or_else(|| config.get("until").and_then(Value::as_str).and_then(instant));
                let until = until.ok_or_else(|| {
                    let message = "`until` is no time of RFC 3339, such as 2026-11-23T10:00:00Z";
                    Halt::Failed(failure("expression", message, Some(path)))
                })?;
                self.write(tail, Some(self.waits(path, config, Some(until)))).await?;
                until
            }
        };
        self.idle(self.pause(until)).await?;
        Ok(json!({"success": true, "until": remit_domain::clock::rfc3339(until)}))
    }

    pub(super) async fn approval(
        self,
        form: &Form,
        step: &Step,
        path: &str,
        scope: &Scope<'_>,
        tail: &mut Vec<Entry>,
        before: Recorded,
    ) -> Result<Value, Halt> {
        let config = self.fill(form, path, scope).await?;
        let until = match before {
            Recorded::Began { until, .. } => until,
            _ => {
                let over = step.timeout.and_then(|allowed| time::Duration::try_from(allowed).ok());
                let until = over.map(|over| self.with.timer.now().saturating_add(over));
                self.write(tail, Some(self.waits(path, config, until))).await?;
                until
            }
        };
        let given = async {
            loop {
                // Listened for before it is looked for, so that none comes in between.
                let signalled = self.live.signalled.notified();
                tokio::pin!(signalled);
                signalled.as_mut().enable();
                if let Some(signal) = self.with.journal.signal(&self.run.id, path).await.map_err(Halt::Journal)? {
                    return Ok(signal);
                }
                signalled.await;
            }
        };
        let given = async {
            let Some(until) = until else { return given.await };
            tokio::select! {
                given = given => return given,
                () = self.with.timer.until(until) => {}
            }
            // Given while the host was away, or at the last moment: it was acknowledged.
            match self.with.journal.signal(&self.run.id, path).await.map_err(Halt::Journal)? {
                Some(given) => Ok(given),
                None => Err(Halt::Failed(failure("approval_timeout", "nobody decided in time", Some(path)))),
            }
        };
        let (payload, by) = self.idle(self.unless_cancelled(given)).await??;
        let approved = payload.get("approved").and_then(Value::as_bool).unwrap_or(false);
        Ok(json!({"success": true, "approved": approved, "by": by, "payload": payload}))
    }

    pub(super) fn waits(self, path: &str, input: Value, until: Option<OffsetDateTime>) -> Entry {
        let input = self.given(&input);
        Entry::Began { path: path.to_owned(), attempt: 1, at: self.with.timer.now(), input, until }
    }
}

/// When a duration of a configuration is over, if it has one.
fn deadline(config: &Value, key: &str, now: OffsetDateTime, path: &str) -> Result<Option<OffsetDateTime>, Halt> {
    let Some(value) = config.get(key) else { return Ok(None) };
    let length = value.as_str().and_then(duration::read).and_then(|length| time::Duration::try_from(length).ok());
    match length {
        Some(length) => Ok(Some(now.saturating_add(length))),
        None => {
            let message = format!("`{key}` is no duration, such as 30s, 5m, 2h or 1d");
            Err(Halt::Failed(failure("expression", message, Some(path))))
        }
    }
}

fn instant(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
}
