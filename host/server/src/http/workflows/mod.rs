//! `/api/workflows`: the workflows of a tenant, and running them.

pub(crate) mod again;
mod deeds;
pub(crate) mod events;
pub(crate) mod executions;
pub(crate) mod kept;
pub(crate) mod shown;
pub(crate) mod stored;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{FromRef, State as FromState},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use remit_config::File;
use remit_domain::{
    Catalogue, Error,
    access::Role,
    audit::{Action, AuditLog},
    execution::RunId,
    plugin::Computed,
    schema::Problem,
    usage::{Ledger, Meter, Payer},
};
use remit_workflow::{Judged, Owner, Storing, Workflow, Workflows, triggers::Triggers};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    error::{Body, Failure},
    extract::{JsonBody, OptionalJson, Path, Query, Tenant},
};
use crate::{
    shares::{Bounds, Shares},
    wire::around,
};

/// What workflows stand on.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    pub(crate) workflows: Workflows,
    pub(crate) storing: Storing,
    pub(crate) triggers: Triggers,
    /// Where their files lie.
    pub(crate) folder: PathBuf,
    /// The variables that they may name.
    pub(crate) env: Arc<BTreeSet<String>>,
    /// Where it is recorded what people do to workflows and runs.
    pub(crate) audit: Arc<dyn AuditLog>,
    /// Who watches runs now.
    pub(crate) watching: Shares,
    /// Who reads large outputs now.
    pub(crate) reading: Shares,
    /// Cancelled when the host begins to end: nobody is waited for who only watches.
    pub(crate) stopping: CancellationToken,
}

/// Who reads a large output holds it in memory, several times over.
pub(crate) const READING: Bounds = Bounds { what: "readings of artifacts", of_one: 2, of_all: 8 };

impl FromRef<State> for Catalogue {
    fn from_ref(state: &State) -> Self {
        state.catalogue.clone()
    }
}

/// The workflows that the tenant can run: its own, and those that are everybody's.
#[utoipa::path(
    get, path = "/api/workflows", tag = "workflows",
    params(("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Object, description = "`{success, workflows: [{name, description, …}]}`"))
)]
pub(crate) async fn list(FromState(state): FromState<State>, tenant: Tenant) -> Json<Value> {
    let all = state.workflows.shelf().list(&tenant.context.tenant);
    let shown: Vec<Value> = all.iter().map(|workflow| shown(workflow, &tenant)).collect();
    Json(json!({"success": true, "workflows": shown}))
}

fn shown(workflow: &Workflow, tenant: &Tenant) -> Value {
    let authored = &workflow.plan.authored;
    json!({
        "name": authored.name,
        "description": authored.description,
        "aliases": authored.aliases,
        "agent": workflow.agent(&tenant.context),
        "inputs": authored.inputs,
        "steps": authored.steps.len(),
        "file": Some(&workflow.file).filter(|file| !file.is_empty()),
        "version": workflow.version,
        "digest": workflow.plan.digest,
    })
}

/// The most faults of a file that are told at once.
const MAX_FAULTS: usize = 100;

/// A workflow to take in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    /// A file below the workflows' folder, in the tenant's own folder or in `examples/`.
    #[serde(rename = "filePath")]
    file_path: Option<String>,
    /// The YAML itself.
    yaml: Option<String>,
    /// False: it is checked alone.
    store: Option<bool>,
}

/// Takes in a workflow as the next version of its name, which the tenant finds from now on, or says what is wrong
/// with it: every fault at once, with line and column. Storing takes an administrator; checking does not.
#[utoipa::path(
    post, path = "/api/workflows/load", tag = "workflows", request_body = Load,
    params(("X-Context" = String, Header, description = "the tenant")),
    responses(
        (status = 200, body = Object, description = "`{success, stored, workflow: {name, version, steps, …}, warnings}`"),
        (status = 403, body = Body), (status = 404, body = Body), (status = 422, body = Body, description = "each problem is a fault of the file")
    )
)]
pub(crate) async fn load(
    FromState(state): FromState<State>,
    tenant: Tenant,
    JsonBody(asked): JsonBody<Load>,
) -> Result<Json<Value>, Failure> {
    let store = asked.store.unwrap_or(true);
    if store {
        tenant.principal.require(Role::Admin)?;
    }
    let (file, path) = match (asked.file_path, asked.yaml) {
        (Some(path), None) => {
            let (file, own) = file(&state, &tenant, &path).await?;
            (file, Some(own))
        }
        (None, Some(yaml)) => (File::new("workflow.yml", yaml), None),
        _ => {
            let message = "either `filePath` or `yaml` is needed".to_owned();
            return Err(Error::InvalidArguments(vec![Problem { pointer: String::new(), message }]).into());
        }
    };
    let charge = Charge::of(&state.catalogue, &tenant)?;
    let (owner, text) = (Owner::handing_in(&tenant.context.tenant, path.as_deref()), file.clone());
    let around = around(&state.catalogue);
    let judged = remit_workflow::judge(file, &state.env, &owner, &around, &charge.computed).await;
    let Judged { plan, warnings } = judged.map_err(|faults| {
        let problem = |fault: &remit_config::Fault| Problem { pointer: String::new(), message: fault.to_string() };
        Error::InvalidArguments(faults.into_vec().iter().take(MAX_FAULTS).map(problem).collect())
    })?;
    let authored = &plan.authored;
    let mut workflow = json!({
        "name": authored.name, "description": authored.description, "aliases": authored.aliases,
        "inputs": authored.inputs, "digest": plan.digest, "plan": authored,
    });
    let warnings: Vec<String> = warnings.iter().take(MAX_FAULTS).map(ToString::to_string).collect();
    let mut new = false;
    if store {
        let (version, is_new) = stored::store(&state, &tenant, text, path, plan).await?;
        new = is_new;
        if let Value::Object(members) = &mut workflow {
            members.insert("version".to_owned(), version.into());
        }
    } else {
        let problems = state.storing.faults(&tenant.context.tenant, &text, &plan);
        if !problems.is_empty() {
            return Err(Error::InvalidArguments(problems).into());
        }
    }
    Ok(Json(json!({"success": true, "stored": new, "workflow": workflow, "warnings": warnings})))
}

/// Charges what plugins computed to check a workflow when it is dropped: its client may go away in the middle.
struct Charge {
    usage: Arc<Ledger>,
    payer: Payer,
    computed: Computed,
}

impl Charge {
    fn of(catalogue: &Catalogue, tenant: &Tenant) -> Result<Self, Error> {
        let (usage, payer) = (catalogue.usage().clone(), Payer::new(&tenant.principal, Some(&tenant.context)));
        usage.check(&payer, Meter::CpuMs)?;
        Ok(Self { usage, payer, computed: Computed::default() })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.usage.note_computing(&self.payer, &self.computed);
    }
}

/// A tenant's file, or one of everybody's, and where it lies below the workflows' folder.
async fn file(state: &State, tenant: &Tenant, path: &str) -> Result<(File, String), Failure> {
    let missing = || Failure::from(Error::UnknownWorkflow(path.chars().take(128).collect()));
    let parts: Vec<&str> = path.trim_start_matches("workflows/").split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains(['\\', '\0'])
            && part.chars().all(|c| !c.is_control())
    };
    let own = match parts.as_slice() {
        ["customers", of, rest @ ..] => *of == tenant.context.tenant.as_str() && !rest.is_empty(),
        ["examples", rest @ ..] => !rest.is_empty(),
        _ => false,
    };
    let yaml = parts.last().is_some_and(|name| name.ends_with(".yml") || name.ends_with(".yaml"));
    if !own || !yaml || !parts.iter().all(plain) {
        return Err(missing());
    }
    let own = parts.join("/");
    let seeming = own.clone();
    let (folder, at) = (state.folder.clone(), state.folder.join(&own));
    let read = tokio::task::spawn_blocking(move || {
        // A link may lead anywhere: what is read lies where it seems to.
        let (folder, real) = (folder.canonicalize().ok()?, at.canonicalize().ok()?);
        if real != folder.join(seeming) {
            return None;
        }
        Some(File::read(&folder, &real))
    });
    let file = read.await.map_err(|error| Error::Internal(error.into()))?.ok_or_else(missing)?;
    Ok((file.map_err(|_| missing())?, own))
}

/// What a run is begun with.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    /// What the workflow takes.
    #[serde(default)]
    inputs: Value,
}

/// How long the client waits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    /// Seconds, from 0.
    wait: Option<u64>,
}

/// The most bytes of an `Idempotency-Key`.
const MAX_KEY_BYTES: usize = 256;
/// How long an answer is waited for, if the client says nothing.
const WAIT: Duration = Duration::from_secs(30);
/// The longest that a client may wait: proxies give up soon after.
const MAX_WAIT_SECONDS: u64 = 120;

/// Runs a workflow. Answers with what came of it, or, if that takes longer than the client waits, with where
/// to look.
#[utoipa::path(
    post, path = "/api/workflows/execute/{name}", tag = "workflows", request_body = Start,
    params(
        ("name" = String, Path), ("X-Context" = String, Header, description = "the tenant"),
        ("wait" = Option<u64>, Query, description = "seconds to wait for the end, 30 without it, 120 at most"),
        ("Idempotency-Key" = Option<String>, Header, description = "a repeated request with the same key is the same run"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: do not wait")
    ),
    responses(
        (status = 200, body = Object, description = "it ended: `{success, executionId, status, outputs}`"),
        (status = 202, body = Object, description = "it goes on: `{success, executionId, status, href}`"),
        (status = 404, body = Body), (status = 422, body = Body)
    )
)]
pub(crate) async fn execute(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(name): Path<String>,
    Query(asked): Query<Wait>,
    headers: HeaderMap,
    OptionalJson(start): OptionalJson<Start>,
) -> Result<Response, Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let key = key(&headers)?;
    let async_ = text("prefer").is_some_and(|prefer| prefer.split([',', ';']).any(|it| it.trim() == "respond-async"));
    let wait = match asked.wait {
        Some(seconds) => Duration::from_secs(seconds.min(MAX_WAIT_SECONDS)),
        None if async_ => Duration::ZERO,
        None => WAIT,
    };
    let mut begun = state.workflows.execute(&tenant.principal, &tenant.context, &name, start.inputs, key).await?;
    if begun.is_new {
        let details = json!({"workflow": name});
        deeds::record(&state, &tenant, Action::ExecutionStart, &begun.id, details).await?;
    }
    let _ = tokio::time::timeout(wait, begun.end()).await;
    answer(&state, &tenant, begun.id.as_str()).await
}

/// What makes a repeated request the same run. Errors: it is too long.
fn key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::trim);
    let key = key.filter(|key| !key.is_empty()).map(str::to_owned);
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY_BYTES) {
        let message = format!("longer than {MAX_KEY_BYTES} bytes");
        return Err(Error::InvalidArguments(vec![Problem { pointer: "/Idempotency-Key".to_owned(), message }]));
    }
    Ok(key)
}

/// How a run stands, as whoever began it sees it.
async fn answer(state: &State, tenant: &Tenant, id: &str) -> Result<Response, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, id).await?;
    let href = format!("/api/workflows/executions/{}", standing.run.id);
    let mut shown = shown::summary(&standing, shown::Sight::of(&tenant.principal));
    queued(state, &standing.run.id, &mut shown);
    if standing.end.is_some() {
        return Ok(Json(shown).into_response());
    }
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, href)], Json(shown)).into_response())
}

/// Says of a run that it waits until fewer of its workflow are at work.
fn queued(state: &State, run: &RunId, shown: &mut Value) {
    if let (true, Value::Object(members)) = (state.workflows.is_queued(run), shown) {
        members.insert("queued".to_owned(), true.into());
    }
}
