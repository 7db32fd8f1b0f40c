//! Calls: decide, check, run, record.

use std::{sync::Arc, time::Instant};

use serde_json::Value;
use tracing::Instrument;

use super::{Caller, Catalogue};
use crate::{
    CallId, Error,
    audit::{AuditLog, Event, Outcome as Became, Subject},
    grant::{Grants, Need, Permission, Touched, decide_all},
    plugin::{Computed, Invocation, Outcome, Plugin, ResourceContents, Tool},
    schema::Problem,
    usage::{Ledger, Meter, Payer},
};

impl Catalogue {
    /// Calls a tool for an agent. `arguments` is a JSON object; `null` counts as an empty one.
    ///
    /// Errors: [`Error::UnknownTool`], [`Error::NoSet`]; [`Error::Denied`]; [`Error::InvalidArguments`];
    /// [`Error::Quota`]; then as [`Plugin::call`]; [`Error::Journal`] if the call could not be recorded.
    /// Cancel: the guest is stopped, and the call recorded as cancelled.
    pub async fn call(&self, caller: &Caller, tool: &str, arguments: Value) -> Result<Outcome, Error> {
        let arguments = if arguments.is_null() { Value::Object(serde_json::Map::new()) } else { arguments };
        let mut record = Recording::begin(self, caller, Subject::Tool, tool, Event::sizes(&arguments));
        let span = tracing::info_span!(
            "tool_call", call = %record.call(), tenant = %caller.context.tenant, agent = %caller.agent, tool
        );
        let result = self.run_tool(caller, tool, &arguments, &mut record).instrument(span).await;
        record.end(&result).await?;
        result
    }

    /// Records a call that a door refuses before it comes here, and gives the error to answer with: a
    /// chat's model may ask for anything, and that it did is worth knowing.
    pub async fn refuse(&self, caller: &Caller, tool: &str, arguments: &Value, refusal: Error) -> Error {
        let refused = Err(refusal);
        let record = Recording::begin(self, caller, Subject::Tool, tool, Event::sizes(arguments));
        match (record.end::<()>(&refused).await, refused) {
            (Ok(()), Err(refusal)) | (Err(refusal), _) => refusal,
            (Ok(()), Ok(())) => unknown_tool(caller, tool),
        }
    }

    /// Records a call of something that is the host's own and no plugin's, with what comes of it.
    ///
    /// Errors: those of what is done; [`Error::Journal`]. Cancel: it is recorded as cancelled.
    pub async fn own<T>(
        &self,
        caller: &Caller,
        tool: &str,
        arguments: &Value,
        doing: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let record = Recording::begin(self, caller, Subject::Tool, tool, Event::sizes(arguments));
        let result = doing.await;
        record.end(&result).await?;
        result
    }

    /// Reads a resource for an agent, by its address or by its name.
    ///
    /// Errors: [`Error::UnknownResource`]; otherwise as [`Self::call`].
    pub async fn read(&self, caller: &Caller, resource: &str) -> Result<Vec<ResourceContents>, Error> {
        let mut record = Recording::begin(self, caller, Subject::Resource, resource, Default::default());
        let span = tracing::info_span!(
            "resource_read", call = %record.call(), tenant = %caller.context.tenant, agent = %caller.agent, resource
        );
        let result = self.run_read(caller, resource, &mut record).instrument(span).await;
        record.end(&result).await?;
        result
    }

    async fn run_tool(
        &self,
        caller: &Caller,
        name: &str,
        arguments: &Value,
        record: &mut Recording,
    ) -> Result<Outcome, Error> {
        let (plugin, at) = self.find_tool(caller, name)?;
        record.served_by(plugin.as_ref());
        let description = plugin.description();
        let Some(tool) = description.tools.get(at) else { return Err(unknown_tool(caller, name)) };
        let grants = self.grants(caller, &effective_needs(tool), record)?;
        tool.input.check(arguments).map_err(Error::InvalidArguments)?;
        self.charge(caller)?;
        let outcome = plugin.call(&tool.name, &arguments.to_string(), grants, self.invocation(caller, record)).await?;
        check_answer(plugin.as_ref(), tool, &outcome)?;
        Ok(outcome)
    }

    async fn run_read(
        &self,
        caller: &Caller,
        wanted: &str,
        record: &mut Recording,
    ) -> Result<Vec<ResourceContents>, Error> {
        if wanted.len() > MAX_URI_BYTES {
            return Err(Error::UnknownResource { agent: caller.agent.clone(), resource: cut(wanted) });
        }
        for plugin in self.plugins_of(caller) {
            let description = plugin.description();
            let fixed = description.resources.iter().find(|it| it.uri == wanted || it.name == wanted);
            let template = || description.templates.iter().find(|it| matches_template(&it.uri_template, wanted));
            let (uri, needs) = match fixed {
                Some(resource) => (resource.uri.as_str(), &resource.needs),
                None => match template() {
                    Some(template) => (wanted, &template.needs),
                    None => continue,
                },
            };
            record.served_by(plugin.as_ref());
            let needs: Vec<Need> = needs.iter().cloned().map(read_only).collect();
            let grants = self.grants(caller, &needs, record)?;
            self.charge(caller)?;
            return plugin.read(uri, grants, self.invocation(caller, record)).await;
        }
        Err(match self.missing_set(caller) {
            Some(set) => Error::NoSet(set),
            None => Error::UnknownResource { agent: caller.agent.clone(), resource: cut(wanted) },
        })
    }

    fn find_tool(&self, caller: &Caller, name: &str) -> Result<(Arc<dyn Plugin>, usize), Error> {
        let mut denied = None;
        for plugin in self.plugins_of(caller) {
            let tools = plugin.description().tools.iter().enumerate();
            let Some((at, tool)) = tools.into_iter().find(|(_, tool)| tool.name == name) else { continue };
            // The one that is listed: the first whose needs are granted.
            if decide_all(&caller.context, &caller.agent, &tool.needs).is_ok() {
                return Ok((plugin, at));
            }
            denied.get_or_insert((plugin, at));
        }
        if let Some(denied) = denied {
            return Ok(denied);
        }
        Err(self.missing_set(caller).map_or_else(|| unknown_tool(caller, name), Error::NoSet))
    }

    pub(super) fn grants(&self, caller: &Caller, needs: &[Need], record: &mut Recording) -> Result<Grants, Error> {
        let granted = decide_all(&caller.context, &caller.agent, needs)?;
        let grants = Grants::new(&caller.context, &caller.agent, granted, &self.tenants, &self.sources);
        record.touched = Some(grants.touched().clone());
        Ok(grants)
    }

    /// Counts a call that is about to reach a plugin. What it will compute is counted when it is over; who has
    /// used up that quota begins no further call. Errors: [`Error::Quota`].
    pub(super) fn charge(&self, caller: &Caller) -> Result<(), Error> {
        let payer = caller.payer();
        self.usage.check(&payer, Meter::CpuMs)?;
        self.usage.take(&payer, Meter::Calls, 1)
    }

    pub(super) fn invocation(&self, caller: &Caller, record: &Recording) -> Invocation {
        let call = record.call();
        Invocation {
            call,
            context: caller.context.clone(),
            agent: caller.agent.clone(),
            door: caller.door,
            user: caller.user.clone(),
            started: self.clock.now(),
            attempt: caller.attempt,
            idempotency_key: caller.idempotency_key.clone().unwrap_or_else(|| call.to_string()),
            observer: caller.observer.clone(),
            computed: record.computed.clone(),
        }
    }
}

/// The most bytes of a resource's address.
const MAX_URI_BYTES: usize = 1 << 10;

/// What a tool is handed: nothing to write with if it says that it only reads.
fn effective_needs(tool: &Tool) -> Vec<Need> {
    let needs = tool.needs.iter().cloned();
    if tool.annotations.read_only { needs.map(read_only).collect() } else { needs.collect() }
}

fn read_only(need: Need) -> Need {
    Need { permission: Permission::Read, ..need }
}

fn check_answer(plugin: &dyn Plugin, tool: &Tool, outcome: &Outcome) -> Result<(), Error> {
    let wrong = |reason: String| Error::BadAnswer { plugin: plugin.description().name.clone(), reason };
    match (&tool.output, &outcome.structured) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(wrong("it has an output schema and gave no structured answer".to_owned())),
        (Some(schema), Some(structured)) => schema.check(structured).map_err(|problems| {
            let first = problems.into_iter().next();
            let Problem { pointer, message } =
                first.unwrap_or_else(|| Problem { pointer: String::new(), message: String::new() });
            wrong(format!("against its output schema at `{pointer}`: {message}"))
        }),
    }
}

/// Whether an address is of the family that a template describes. Variables stand for at least one
/// character and never for a `/`.
///
/// Each literal is taken where it comes first: a variable holds no `/`, so a later place would help
/// nothing that follows. The time is that of the address's length times the template's.
fn matches_template(template: &str, uri: &str) -> bool {
    let Some((literal, mut rest)) = template.split_once('{') else { return template == uri };
    let Some(mut left) = uri.strip_prefix(literal) else { return false };
    loop {
        let Some((_, after)) = rest.split_once('}') else { return false };
        let Some(first) = left.chars().next() else { return false };
        let (variable, then) = match after.split_once('{') {
            Some((literal, next)) => {
                let Some(at) = left.get(first.len_utf8()..).and_then(|left| left.find(literal)) else { return false };
                rest = next;
                left.split_at(first.len_utf8() + at)
            }
            None => {
                let variable = left.strip_suffix(after);
                return variable.is_some_and(|variable| !variable.is_empty() && !variable.contains('/'));
            }
        };
        if variable.contains('/') {
            return false;
        }
        let literal = after.split('{').next().unwrap_or_default();
        left = then.get(literal.len()..).unwrap_or_default();
    }
}

fn unknown_tool(caller: &Caller, tool: &str) -> Error {
    Error::UnknownTool { agent: caller.agent.clone(), tool: cut(tool) }
}

fn cut(name: &str) -> String {
    name.chars().take(128).collect()
}

/// An audit event in the making. Dropped before its end, it records a cancelled call. Either way it charges
/// what the guest computed.
pub(super) struct Recording {
    log: Arc<dyn AuditLog>,
    usage: Arc<Ledger>,
    payer: Payer,
    computed: Computed,
    event: Option<Event>,
    call: CallId,
    began: Instant,
    touched: Option<Arc<Touched>>,
}

impl Recording {
    pub(super) fn begin(
        catalogue: &Catalogue,
        caller: &Caller,
        subject: Subject,
        name: &str,
        arguments: std::collections::BTreeMap<String, usize>,
    ) -> Self {
        let call = CallId::random();
        let event = Event {
            at: catalogue.clock.now(),
            request: caller.request.clone(),
            call,
            tenant: caller.context.tenant.clone(),
            actor: caller.principal.name().to_owned(),
            agent: caller.agent.clone(),
            door: caller.door,
            subject,
            name: cut(name),
            plugin: None,
            sources: Default::default(),
            operations: Vec::new(),
            arguments,
            duration: Default::default(),
            outcome: Became::Cancelled,
            code: None,
        };
        Self {
            log: catalogue.audit.clone(),
            usage: catalogue.usage.clone(),
            payer: caller.payer(),
            computed: Computed::default(),
            event: Some(event),
            call,
            began: Instant::now(),
            touched: None,
        }
    }

    pub(super) fn call(&self) -> CallId {
        self.call
    }

    /// Is told what the guest computes.
    pub(super) fn computed(&self) -> &Computed {
        &self.computed
    }

    pub(super) fn served_by(&mut self, plugin: &dyn Plugin) {
        if let Some(event) = &mut self.event {
            event.plugin = Some(plugin.description().pin());
        }
    }

    fn finished(&mut self) -> Option<Event> {
        let mut event = self.event.take()?;
        self.usage.note_computing(&self.payer, &self.computed);
        event.duration = self.began.elapsed();
        let touched = self.touched.take().map(|touched| touched.close()).unwrap_or_default();
        (event.sources, event.operations) = (touched.uses, touched.operations);
        Some(event)
    }

    pub(super) async fn end<T>(mut self, result: &Result<T, Error>) -> Result<(), Error> {
        let Some(mut event) = self.finished() else { return Ok(()) };
        (event.outcome, event.code) = match result {
            Ok(_) => (Became::Ok, None),
            Err(Error::Cancelled) => (Became::Cancelled, Some("cancelled")),
            Err(error @ (Error::Denied(_) | Error::Refused(_))) => (Became::Denied, Some(error.code())),
            Err(error @ Error::Source { cause: crate::data::Error::Denied(_), .. }) => {
                (Became::Denied, Some(error.code()))
            }
            Err(error) => (Became::Failed, Some(error.code())),
        };
        self.log.record(event).await
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(event) = self.finished() {
            self.log.record_later(event);
        }
    }
}
