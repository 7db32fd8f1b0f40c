//! Connector: Google BigQuery, through its REST API.
//!
//! A statement is checked by [`crate::sql`], then by BigQuery itself: a dry run, which is free, must
//! call it what it was taken for, and find no more bytes to read than the source may have billed. Only
//! then does it become a job, with the same ceiling and a time. What else could be written is up to the
//! account, which the operator gives the right to read one dataset.
//!
//! Deliberately absent: transactions, which take a session of BigQuery's; the storage API, which is
//! for more rows than an answer has; and legacy SQL.
//!
//! What remains: a view or a function of the dataset's owner may read other datasets, as its owner
//! wants; and a page of up to 16 MiB is held whole before its values are counted.

mod client;
mod error;
mod job;
mod values;
mod wire;

use std::{sync::Arc, time::Duration};

use remit_domain::{
    data::{
        Error, Handle,
        sql::{Change, Dialect, RowSet, Value},
    },
    source::{self, Definition},
};
use tokio::time::Instant;

use self::{
    client::{Client, Failure},
    error::Stage,
    job::{Running, Setting, Unbegun},
    wire::{Field, Page, count, malformed},
};
use crate::{
    Settings,
    ceilings::Share,
    guard::Guard,
    sql::{
        Control, Engine, Fault, Mode, Plan, Shared, Source,
        rows::{self, Answer, Rest, Rows},
    },
};

/// The rows of a page: few enough that a page of usual rows is some MB.
const PAGE_ROWS: usize = 5_000;
/// How long BigQuery is asked to wait with its answer until a job is done. It takes up to 200 s; what
/// stands between may cut a silent connection after less.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two questions whether a job is done, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How long is asked what became of a change that is given up.
const GRACE: Duration = Duration::from_secs(2);

/// A dataset of BigQuery's, or all of a project, as a source of SQL.
pub(crate) struct Warehouse {
    engine: BigQuery,
    source: Arc<Source<BigQuery>>,
}

impl Warehouse {
    /// Errors: `invalid` for a definition that cannot work; `denied` for an address that the guard refuses.
    pub(crate) fn new(
        definition: &Definition,
        warehouse: &source::Warehouse,
        guard: &Guard,
        settings: &Settings,
        share: &Arc<Share>,
    ) -> Result<Self, Error> {
        let client = Arc::new(Client::new(definition, warehouse, guard, settings)?);
        let setting = Arc::new(Setting {
            project: warehouse.project.clone(),
            dataset: warehouse.dataset.clone(),
            location: warehouse.location.clone(),
            max_bytes: warehouse.max_bytes_billed,
            statement_timeout: settings.statement_timeout,
        });
        let schema = format!("{}/{}", warehouse.project, warehouse.dataset.as_deref().unwrap_or_default());
        let engine = BigQuery { client, setting, schema };
        Ok(Self { source: Source::new(engine.clone(), settings, share), engine })
    }

    /// A handle to it.
    pub(crate) fn handle(&self) -> Handle {
        Handle::Sql(Arc::new(Shared(self.source.clone())))
    }

    /// A dry run of a statement that reads nothing: it takes the account and the API, and costs nothing.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        let setting = &self.engine.setting;
        self.engine.client.estimate(setting, &setting.own("SELECT 1")).await.map(drop)
    }
}

/// One account's use of a project.
#[derive(Clone)]
pub(crate) struct BigQuery {
    client: Arc<Client>,
    setting: Arc<Setting>,
    /// `project/dataset`, or `project/`.
    schema: String,
}

impl BigQuery {
    async fn rows(&self, plan: &Plan, parameters: &[Value]) -> Result<RowSet, Error> {
        let (client, setting) = (&self.client, &self.setting);
        let asked = setting.statement(plan, parameters)?;
        let estimate = client.estimate(setting, &asked).await?;
        if estimate.statement_type != "SELECT" {
            return Err(Error::Denied("the warehouse does not take the statement for one that only reads".to_owned()));
        }
        tracing::debug!(bytes = estimate.bytes, "a query of BigQuery's was estimated");
        rows::check_columns(estimate.columns.len())?;
        let mut job = Running::new(client, estimate.location);
        job.begin(setting, &asked).await.map_err(|unbegun| match unbegun {
            Unbegun::Failed(why) => client.telling.error(&why, Stage::Running, None),
            Unbegun::Unasked(failure) => client.reading(failure, Stage::Running),
        })?;
        let mut pause = Pause::default();
        let mut token: Option<String> = None;
        let mut answer: Option<(Vec<Field>, Rows)> = None;
        'pages: loop {
            let page = job.page(token.as_deref(), PAGE_ROWS, self.patience()).await;
            let page = match (page, &mut answer) {
                // Pages are longer only by a row that is: there is no room for it.
                (Err(Failure::TooLarge), Some((_, rows))) => {
                    rows.cut()?;
                    break;
                }
                (page, _) => page.map_err(|failure| client.reading(failure, Stage::Running))?,
            };
            let page: Page<'_> = serde_json::from_slice(&page).map_err(|_| malformed())?;
            if !page.job_complete {
                pause.wait().await;
                continue;
            }
            job.over = true;
            let (fields, rows) = match &mut answer {
                Some(answer) => answer,
                None => {
                    let fields = page.schema.ok_or_else(malformed)?.fields;
                    rows::check_columns(fields.len())?;
                    let rows = Rows::new(values::columns(&fields))?;
                    answer.insert((fields, rows))
                }
            };
            for row in &page.rows {
                if row.f.len() != fields.len() {
                    return Err(malformed());
                }
                if !rows.push(values::row(fields, row))? {
                    break 'pages;
                }
            }
            match page.page_token.filter(|next| !next.is_empty()) {
                // The same page again would never end.
                Some(next) if token.as_ref() == Some(&next) => return Err(malformed()),
                Some(next) => token = Some(next),
                // Fewer rows than it says there are would be an answer that is cut and does not say so.
                None => match page.total_rows.as_deref().map(count).transpose()? {
                    Some(total) if total > rows.count() as u64 => return Err(malformed()),
                    _ => break,
                },
            }
        }
        answer.map(|(_, rows)| rows.finish()).ok_or_else(malformed)
    }

    async fn change(&self, plan: &Plan, parameters: &[Value]) -> Result<Change, Fault> {
        let (client, setting) = (&self.client, &self.setting);
        let until = Instant::now() + setting.statement_timeout;
        let asked = setting.statement(plan, parameters)?;
        let estimate = tokio::time::timeout_at(until, client.estimate(setting, &asked)).await;
        let estimate = estimate.unwrap_or_else(|_| Err(self.late()))?;
        let changes = ["INSERT", "UPDATE", "DELETE", "MERGE"].contains(&asked.verb.as_str());
        if !changes || estimate.statement_type != asked.verb {
            let message = "the warehouse does not take the statement for the change that it begins as";
            return Err(Error::Denied(message.to_owned()).into());
        }
        let mut job = Running::new(client, estimate.location);
        let doubt = match tokio::time::timeout_at(until, self.run(&mut job, &asked)).await {
            Ok(Ok(ended)) => return ended.map_err(Fault::from),
            Ok(Err(doubt)) => doubt,
            Err(_) => Doubt::Late,
        };
        self.after(&mut job, doubt).await
    }

    /// Begins a change and waits for its end. Errors: why nobody knows what became of it.
    async fn run(&self, job: &mut Running, asked: &job::Asked) -> Result<Result<Change, Error>, Doubt> {
        match job.begin(&self.setting, asked).await {
            Ok(()) => {}
            Err(Unbegun::Failed(why)) => return Ok(Err(self.client.telling.error(&why, Stage::Running, None))),
            Err(Unbegun::Unasked(failure)) if job.over => {
                return Ok(Err(self.client.reading(failure, Stage::Running)));
            }
            Err(Unbegun::Unasked(Failure::Refused(refusal))) if !refusal.after_silence => {
                return Err(Doubt::Refused(self.client.refused(&refusal, Stage::Running)));
            }
            Err(Unbegun::Unasked(_)) => return Err(Doubt::Silence),
        }
        let mut pause = Pause::default();
        loop {
            // Only to wait: what it says of a failure, the job itself says better.
            let page = job.page(None, 0, self.patience()).await.unwrap_or_default();
            let waited = serde_json::from_slice::<Page<'_>>(&page).unwrap_or_default().job_complete;
            match job.outcome().await {
                Ok(Some(outcome)) => {
                    job.over = true;
                    return Ok(outcome.map_err(|why| self.client.telling.error(&why, Stage::Running, None)));
                }
                Ok(None) => {}
                Err(_) if !waited && page.is_empty() => return Err(Doubt::Silence),
                Err(_) => {}
            }
            pause.wait().await;
        }
    }

    /// Gives a change up and asks what became of it.
    async fn after(&self, job: &mut Running, doubt: Doubt) -> Result<Change, Fault> {
        let asked = async {
            job.cancel().await;
            let mut pause = Pause::default();
            loop {
                match job.outcome().await {
                    Ok(Some(outcome)) => return Ok(outcome),
                    Err(Failure::Refused(refusal)) if refusal.status == http::StatusCode::NOT_FOUND => {
                        return Err(true);
                    }
                    Ok(None) | Err(Failure::Refused(_)) => pause.wait().await,
                    Err(_) => return Err(false),
                }
            }
        };
        let outcome = tokio::time::timeout(GRACE, asked).await.unwrap_or(Err(false));
        job.over = outcome.is_ok();
        match (outcome, doubt) {
            (Ok(Ok(change)), _) => Ok(change),
            // Stopped here, and not for its time.
            (Ok(Err(why)), Doubt::Silence | Doubt::Refused(_)) if why.reason == "stopped" => {
                Err(Error::unavailable("the warehouse did not answer, and the change was stopped").into())
            }
            (Ok(Err(why)), _) => Err(self.client.telling.error(&why, Stage::Running, None).into()),
            // It was answered that it did not begin, and it did not.
            (Err(true), Doubt::Refused(error)) => Err(error.into()),
            (Err(_), _) => {
                let message = "the warehouse did not say what became of the change; it may have taken effect";
                Err(Error::Uncertain(message.to_owned()).into())
            }
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE.min(self.setting.statement_timeout)
    }

    fn late(&self) -> Error {
        rows::too_slow(self.setting.statement_timeout)
    }
}

/// Why nobody knows what became of a change.
#[derive(Debug)]
enum Doubt {
    /// Its time is up.
    Late,
    /// There was no answer.
    Silence,
    /// The answer was that the warehouse failed.
    Refused(Error),
}

/// Longer each time.
#[derive(Debug)]
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE.0)
    }
}

impl Pause {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE.1);
    }
}

impl Engine for BigQuery {
    /// There is none: what is lent is the right to ask at the same time as others.
    type Connection = ();

    const DIALECT: Dialect = Dialect::BigQuery;
    const MOST_WRITERS: usize = usize::MAX;

    fn schema(&self) -> Option<&str> {
        Some(&self.schema)
    }

    async fn connect(&self, _mode: Mode) -> Result<(), Error> {
        Ok(())
    }

    async fn fresh(_connection: &mut (), _idle: Duration) -> bool {
        true
    }

    /// Pages that have no room are not asked for, so that nothing is left to read.
    async fn query(
        &self,
        _connection: &mut (),
        plan: &Plan,
        parameters: &[Value],
        _rest: Rest,
    ) -> Result<Answer, Fault> {
        let rows = tokio::time::timeout(self.setting.statement_timeout, self.rows(plan, parameters)).await;
        let rows = rows.unwrap_or_else(|_| Err(self.late()))?;
        Ok(Answer { rows, spent: false })
    }

    async fn execute(&self, _connection: &mut (), plan: &Plan, parameters: &[Value]) -> Result<Change, Fault> {
        self.change(plan, parameters).await
    }

    async fn control(&self, _connection: &mut (), _control: Control) -> Result<(), Fault> {
        Err(Error::Invalid("a BigQuery source has no transactions: each statement takes effect by itself".to_owned())
            .into())
    }

    async fn still_open(_connection: &mut (), _fault: &Fault) -> bool {
        false
    }
}
