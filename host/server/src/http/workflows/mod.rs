//! `/api/workflows`: the workflows of a tenant, and running them.

mod deeds;
pub(crate) mod events;
pub(crate) mod executions;
pub(crate) mod kept;
pub(crate) mod shown;

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
    audit::{Action, AuditLog},
    plugin::Computed,
    schema::Problem,
    usage::{Ledger, Meter, Payer},
};
use remit_workflow::{Judged, Owner, Workflow, Workflows};
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
    /// Where their files lie.
    pub(crate) folder: PathBuf,
    /// The variables that they may name.
    pub(crate) env: Arc<BTreeSet<String>>,
    /// Where it is recorded what people do to runs.
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
        "file": workflow.file,
        "digest": workflow.plan.digest,
    })
}

/// The most faults of a file that are told at once.
const MAX_FAULTS: usize = 100;

/// A workflow to look at.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    /// A file below the workflows' folder, in the tenant's own folder or in `examples/`.
    #[serde(rename = "filePath")]
    file_path: Option<String>,
    /// The YAML itself.
    yaml: Option<String>,
}

/// Checks a workflow, and says what is wrong with it: every fault at once, with line and column.
#[utoipa::path(
    post, path = "/api/workflows/load", tag = "workflows", request_body = Load,
    params(("X-Context" = String, Header, description = "the tenant")),
    responses(
        (status = 200, body = Object, description = "`{success, workflow: {name, steps, …}, warnings}`"),
        (status = 404, body = Body), (status = 422, body = Body, description = "each problem is a fault of the file")
    )
)]
pub(crate) async fn load(
    FromState(state): FromState<State>,
    tenant: Tenant,
    JsonBody(asked): JsonBody<Load>,
) -> Result<Json<Value>, Failure> {
    let (file, owner) = match (asked.file_path, asked.yaml) {
        (Some(path), None) => file(&state, &tenant, &path).await?,
        (None, Some(yaml)) => {
            let owner = Owner { tenant: Some(tenant.context.tenant.clone()), agent: None };
            (File::new("workflow.yml", yaml), owner)
        }
        _ => {
            let message = "either `filePath` or `yaml` is needed".to_owned();
            return Err(Error::InvalidArguments(vec![Problem { pointer: String::new(), message }]).into());
        }
    };
    let charge = Charge::of(&state.catalogue, &tenant)?;
    let around = around(&state.catalogue);
    let judged = remit_workflow::judge(file, &state.env, &owner, &around, &charge.computed).await;
    let Judged { plan, warnings } = judged.map_err(|faults| {
        let problem = |fault: &remit_config::Fault| Problem { pointer: String::new(), message: fault.to_string() };
        Error::InvalidArguments(faults.into_vec().iter().take(MAX_FAULTS).map(problem).collect())
    })?;
    let authored = &plan.authored;
    let workflow = json!({
        "name": authored.name, "description": authored.description, "aliases": authored.aliases,
        "inputs": authored.inputs, "digest": plan.digest, "plan": authored,
    });
    let warnings: Vec<String> = warnings.iter().take(MAX_FAULTS).map(ToString::to_string).collect();
    Ok(Json(json!({"success": true, "workflow": workflow, "warnings": warnings})))
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

/// A tenant's file, or one of everybody's, and whose it is.
async fn file(state: &State, tenant: &Tenant, path: &str) -> Result<(File, Owner), Failure> {
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
    let owner = Owner::of(std::path::Path::new(&own));
    let (folder, at) = (state.folder.clone(), state.folder.join(&own));
    let read = tokio::task::spawn_blocking(move || {
        // A link may lead anywhere: what is read lies where it seems to.
        let (folder, real) = (folder.canonicalize().ok()?, at.canonicalize().ok()?);
        if real != folder.join(own) {
            return None;
        }
        Some(File::read(&folder, &real))
    });
    let file = read.await.map_err(|error| Error::Internal(error.into()))?.ok_or_else(missing)?;
    Ok((file.map_err(|_| missing())?, owner))
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
    let key = text("idempotency-key").filter(|key| !key.is_empty()).map(str::to_owned);
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY_BYTES) {
        let message = format!("longer than {MAX_KEY_BYTES} bytes");
        return Err(Error::InvalidArguments(vec![Problem { pointer: "/Idempotency-Key".to_owned(), message }]).into());
    }
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

/// How a run stands, as whoever began it sees it.
async fn answer(state: &State, tenant: &Tenant, id: &str) -> Result<Response, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, id).await?;
    let href = format!("/api/workflows/executions/{}", standing.run.id);
    let shown = shown::summary(&standing, shown::Sight::of(&tenant.principal));
    if standing.end.is_some() {
        return Ok(Json(shown).into_response());
    }
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, href)], Json(shown)).into_response())
}
