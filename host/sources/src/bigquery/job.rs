//! Jobs: what a statement would do, one that runs, what became of it.
//!
//! A job's name is made here, so that asking for it twice begins one, and one whose beginning was not
//! answered can still be asked for. A job that nobody waits for any more is cancelled.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use remit_domain::data::{
    Error,
    sql::{Change, Value},
};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{
    client::{Ask, Client, Failure},
    error::Stage,
    values,
    wire::{Field, Job, QueryStatistics, Reason, count, malformed},
};
use crate::sql::Plan;

/// How often a job that nobody waits for is looked for, should its beginning still be on its way.
const CANCELS: u32 = 4;
/// Before the second time; twice that before the next.
const CANCEL_AFTER: Duration = Duration::from_millis(250);

/// A statement, ready to be asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// The `query` of a job's configuration.
    query: Json,
    /// The statement's first word, in upper case.
    pub(super) verb: String,
}

/// What a statement would do, as BigQuery understands it.
#[derive(Debug)]
pub(super) struct Estimate {
    /// Such as `SELECT`.
    pub(super) statement_type: String,
    pub(super) bytes: u64,
    pub(super) columns: Vec<Field>,
    /// Where its tables are.
    pub(super) location: Option<String>,
}

/// What every statement of a source is asked with.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) project: String,
    pub(super) dataset: Option<String>,
    pub(super) location: Option<String>,
    pub(super) max_bytes: u64,
    pub(super) statement_timeout: Duration,
}

impl Setting {
    /// Errors: `invalid` for a parameter that BigQuery has no type for.
    pub(super) fn statement(&self, plan: &Plan, parameters: &[Value]) -> Result<Asked, Error> {
        let mut text = plan.text.as_str().to_owned();
        let mut given = Vec::with_capacity(plan.binds.len());
        for (place, mark) in plan.binds.iter().zip(&plan.marks).rev() {
            match values::parameter(parameters.get(*place).unwrap_or(&Value::Null))? {
                Some(parameter) => given.push(parameter),
                // A parameter has one type, and NULL takes any only as a word.
                None => text.replace_range(*mark..=*mark, "NULL"),
            }
        }
        given.reverse();
        Ok(self.asked(&text, &json!(given)))
    }

    /// A statement of the host's own.
    pub(super) fn own(&self, text: &str) -> Asked {
        self.asked(text, &json!([]))
    }

    fn asked(&self, text: &str, parameters: &Json) -> Asked {
        let mut query = json!({
            "query": text,
            "useLegacySql": false,
            "maximumBytesBilled": self.max_bytes.to_string(),
            "parameterMode": "POSITIONAL",
            "queryParameters": parameters,
        });
        if let (Some(dataset), Some(query)) = (&self.dataset, query.as_object_mut()) {
            query.insert("defaultDataset".to_owned(), json!({ "projectId": self.project, "datasetId": dataset }));
        }
        let verb = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        Asked { query, verb }
    }

    fn job(&self, asked: &Asked, id: Option<&str>, location: Option<&str>) -> Json {
        let mut reference = json!({ "projectId": self.project });
        if let Some(reference) = reference.as_object_mut() {
            reference.extend(id.map(|id| ("jobId".to_owned(), json!(id))));
            reference.extend(location.map(|location| ("location".to_owned(), json!(location))));
        }
        let time = self.statement_timeout.as_millis().to_string();
        let configuration = json!({ "dryRun": id.is_none(), "jobTimeoutMs": time, "query": asked.query });
        json!({ "jobReference": reference, "configuration": configuration })
    }
}

impl Client {
    /// Asks what a statement would do, which costs nothing.
    ///
    /// Errors: `limit` if it would read more than it may; what BigQuery says of the statement.
    pub(super) async fn estimate(&self, setting: &Setting, asked: &Asked) -> Result<Estimate, Error> {
        let body = setting.job(asked, None, setting.location.as_deref());
        let ask = Ask { method: Method::POST, path: vec!["jobs"], query: Vec::new(), body: Some(&body) };
        let answer = self.ask(&ask).await.map_err(|failure| self.reading(failure, Stage::Checking))?;
        let job: Job = serde_json::from_slice(&answer).map_err(|_| malformed())?;
        if let Some(why) = &job.status.error_result {
            return Err(self.telling.error(why, Stage::Checking, None));
        }
        let query = job.statistics.query;
        let told = [&query.total_bytes_processed, &job.statistics.total_bytes_processed];
        let told: Vec<u64> = told.into_iter().flatten().map(|text| count(text)).collect::<Result<_, _>>()?;
        let bytes = told.into_iter().max().ok_or_else(malformed)?;
        if bytes > setting.max_bytes {
            return Err(self.telling.too_expensive());
        }
        Ok(Estimate {
            statement_type: query.statement_type,
            bytes,
            columns: query.schema.unwrap_or_default().fields,
            location: setting.location.clone().or(job.job_reference.and_then(|reference| reference.location)),
        })
    }
}

/// A job that runs, or may. Dropped before it is over, it is cancelled.
pub(super) struct Running {
    client: Arc<Client>,
    id: String,
    location: Option<String>,
    /// Whether nothing of it runs any more.
    pub(super) over: bool,
}

/// Why a job did not begin.
#[derive(Debug)]
pub(super) enum Unbegun {
    /// It failed at once.
    Failed(Reason),
    /// Asking for it failed.
    Unasked(Failure),
}

impl Running {
    /// A job that nobody has asked for yet.
    pub(super) fn new(client: &Arc<Client>, location: Option<String>) -> Self {
        Self { client: client.clone(), id: format!("remit_{}", Uuid::now_v7().simple()), location, over: true }
    }

    /// Asks for it.
    pub(super) async fn begin(&mut self, setting: &Setting, asked: &Asked) -> Result<(), Unbegun> {
        let body = setting.job(asked, Some(&self.id), self.location.as_deref());
        let ask = Ask { method: Method::POST, path: vec!["jobs"], query: Vec::new(), body: Some(&body) };
        self.over = false;
        match self.client.ask(&ask).await {
            Ok(answer) => {
                // It began, whatever else the answer says.
                let job: Job = serde_json::from_slice(&answer).unwrap_or_default();
                if self.location.is_none() {
                    self.location = job.job_reference.and_then(|reference| reference.location);
                }
                match job.status.error_result {
                    Some(why) if job.status.state == "DONE" => {
                        self.over = true;
                        Err(Unbegun::Failed(why))
                    }
                    _ => Ok(()),
                }
            }
            // An earlier attempt did begin it.
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::CONFLICT => Ok(()),
            Err(failure) => {
                let nothing = match &failure {
                    Failure::Early(_) | Failure::Unsent => true,
                    Failure::Refused(refusal) => refusal.status.is_client_error() && !refusal.after_silence,
                    Failure::Unanswered | Failure::TooLarge => false,
                };
                self.over = nothing;
                Err(Unbegun::Unasked(failure))
            }
        }
    }

    /// A page of its rows, or that there is none yet, which takes `patience` to say.
    pub(super) async fn page(&self, token: Option<&str>, most: usize, patience: Duration) -> Result<Vec<u8>, Failure> {
        let mut query = self.place();
        query.push(("maxResults", most.to_string()));
        query.push(("timeoutMs", patience.as_millis().to_string()));
        query.push(("formatOptions.useInt64Timestamp", "true".to_owned()));
        query.extend(token.map(|token| ("pageToken", token.to_owned())));
        self.client.ask(&Ask { method: Method::GET, path: vec!["queries", &self.id], query, body: None }).await
    }

    /// What became of a change. `None` while it runs.
    ///
    /// Errors: a failure of the asking, which says nothing of the change.
    pub(super) async fn outcome(&self) -> Result<Option<Result<Change, Reason>>, Failure> {
        let ask = Ask { method: Method::GET, path: vec!["jobs", &self.id], query: self.place(), body: None };
        let answer = self.client.ask(&ask).await?;
        let job: Job = serde_json::from_slice(&answer).map_err(|_| Failure::Unanswered)?;
        if !job.status.is_done() {
            return Ok(None);
        }
        Ok(Some(match job.status.error_result {
            Some(why) => Err(why),
            None => Ok(Change { rows_affected: affected(&job.statistics.query), last_insert_id: None }),
        }))
    }

    /// Has it stopped.
    pub(super) async fn cancel(&self) {
        cancel(&self.client, &self.id, self.place()).await;
    }

    fn place(&self) -> Vec<(&'static str, String)> {
        self.location.iter().map(|location| ("location", location.clone())).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (client, id, place) = (self.client.clone(), std::mem::take(&mut self.id), self.place());
            runtime.spawn(async move { cancel(&client, &id, place).await });
        }
    }
}

async fn cancel(client: &Client, id: &str, query: Vec<(&'static str, String)>) {
    let ask = Ask { method: Method::POST, path: vec!["jobs", id, "cancel"], query, body: None };
    for attempt in 0..CANCELS {
        match client.ask(&ask).await {
            Ok(_) => return,
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                tokio::time::sleep(CANCEL_AFTER * 2_u32.pow(attempt)).await;
            }
            Err(failure) => {
                tracing::warn!(?failure, "a job of BigQuery's that nobody waits for could not be cancelled");
                return;
            }
        }
    }
}

/// How many rows a change changed. A statement that changes rows always says so.
fn affected(query: &QueryStatistics) -> u64 {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| count(text).ok());
    let by_kind = query.dml_stats.as_ref().map(|dml| {
        [&dml.inserted_row_count, &dml.updated_row_count, &dml.deleted_row_count].into_iter().filter_map(number).sum()
    });
    by_kind.or(number(&query.num_dml_affected_rows)).unwrap_or_default()
}
