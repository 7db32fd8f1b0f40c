//! What people do to runs, for the audit log.
//!
//! Deliberately absent: what runs do, which is recorded call by call.

use remit_domain::{
    Error,
    audit::{Action, Deed},
    clock::{Clock as _, SystemClock},
    execution::RunId,
};
use serde_json::Value;

use super::{super::extract::Tenant, State};

/// Puts on record what somebody did to a run. Errors: [`Error::Journal`]; it is done all the same.
pub(super) async fn record(
    state: &State,
    tenant: &Tenant,
    action: Action,
    run: &RunId,
    details: Value,
) -> Result<(), Error> {
    let deed = Deed::new(SystemClock.now(), (&tenant.principal).into(), action, run.as_str());
    let deed = deed.of(&tenant.context.tenant).with(details).asked_by(&tenant.request);
    state.audit.administer(deed).await
}
