//! `/api/notifications`: messages that this host kept and did not send.
//!
//! Deliberately absent: messages that were sent. Of these there is what the audit log says.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRef, State as FromState},
};
use remit_domain::Catalogue;
use remit_sources::{Inbox, Kept};
use serde::{Deserialize, Serialize};

use super::{
    error::{Body, Failure},
    extract::{self, Tenant},
};

/// How many are shown without a word on it, and at most.
const USUAL: usize = 50;
const MOST: usize = 200;

/// What the route stands on.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    /// None where messages are sent.
    pub(crate) inbox: Option<Arc<Inbox>>,
}

impl FromRef<State> for Catalogue {
    fn from_ref(state: &State) -> Self {
        state.catalogue.clone()
    }
}

/// How many to show.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// 50 without it, 200 at most.
    limit: Option<usize>,
}

/// Messages that were kept.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    success: bool,
    /// Whether this host keeps messages instead of sending them.
    dry_run: bool,
    /// Newest first.
    #[schema(value_type = Vec<Object>)]
    notifications: Vec<Kept>,
}

/// Shows the newest messages that the tenant's agents would have sent.
#[utoipa::path(
    get, path = "/api/notifications", tag = "notifications",
    params(Wanted, ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Shown), (status = 401, body = Body), (status = 403, body = Body), (status = 404, body = Body))
)]
pub(crate) async fn list(
    FromState(state): FromState<State>,
    tenant: Tenant,
    extract::Query(wanted): extract::Query<Wanted>,
) -> Result<Json<Shown>, Failure> {
    let most = wanted.limit.unwrap_or(USUAL).min(MOST);
    let inbox = state.inbox.as_ref();
    let notifications = inbox.map(|inbox| inbox.newest(&tenant.context.tenant, most)).unwrap_or_default();
    Ok(Json(Shown { success: true, dry_run: inbox.is_some(), notifications }))
}
