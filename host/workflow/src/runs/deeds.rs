//! That runs were begun which no request of the workflows' own asked for, for the audit log.
//!
//! Deliberately absent: runs that people begin, stop and decide on, which is recorded where they ask for it.

use remit_domain::{
    RequestId, TenantId,
    access::Principal,
    audit::{Action, Deed},
};
use serde_json::{Value, json};

use super::{Begun, Workflows};

impl Workflows {
    /// Puts on record that a run was begun just now. It goes on where that fails.
    pub(crate) async fn record(
        &self,
        (tenant, principal): (&TenantId, &Principal),
        workflow: &str,
        begun: &Begun,
        request: Option<&RequestId>,
    ) {
        let Some(audit) = self.interpreter.keeping.audit.as_ref().filter(|_| begun.is_new) else { return };
        let details: Value = json!({"workflow": workflow, "by": principal.name()});
        let now = self.interpreter.timer.now();
        let deed = Deed::new(now, principal.into(), Action::ExecutionStart, begun.id.as_str());
        let deed = deed.of(tenant).with(details);
        let deed = request.into_iter().fold(deed, Deed::asked_by);
        if let Err(error) = audit.administer(deed).await {
            tracing::error!(run = %begun.id, %error, "that a run was begun could not be recorded");
        }
    }
}
