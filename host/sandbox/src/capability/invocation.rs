//! `remit:plugin/invocation`: for whom a call is, how it goes, and asking back.

use std::time::Instant;

use remit_domain::{
    audit::Door,
    clock::rfc3339,
    grant::{Permission, permitted},
    plugin::{self, Level},
};
use serde_json::Value;
use wasmtime::component::Resource;

use crate::{
    bindings::remit::plugin::{context as wit_context, invocation as wit, types as wit_types},
    state::State,
    traffic::Size,
};

/// The most bytes of one log line, and of its fields; the rest is cut (4 KiB by contract).
const MAX_LINE_BYTES: usize = 4 << 10;
/// The most progress reports a second (100 by contract); more are dropped.
const MAX_REPORTS: u32 = 100;

/// What stands behind a guest's `invocation`.
pub struct Invocation {
    about: plugin::Invocation,
    settings: Option<Value>,
    log_left: usize,
    done: f64,
    window: Instant,
    reports: u32,
}

impl Invocation {
    pub(crate) fn new(about: plugin::Invocation, settings: Option<Value>, log_bytes: usize) -> Self {
        Self { about, settings, log_left: log_bytes, done: f64::NEG_INFINITY, window: Instant::now(), reports: 0 }
    }

    fn context(&self) -> wit_context::CallContext {
        let about = &self.about;
        let context = &about.context;
        let mapping = context.agents.get(&about.agent).and_then(|agent| agent.mapping.as_ref());
        let sources = mapping.iter().flat_map(|mapping| &mapping.order);
        wit_context::CallContext {
            tenant: context.tenant.to_string(),
            company: wit_context::Company {
                name: context.company.name.clone(),
                industry: context.company.industry.clone(),
                website: context.company.website.clone(),
                time_zone: context.company.timezone.clone(),
            },
            agent: about.agent.to_string(),
            sets: mapping.iter().flat_map(|mapping| &mapping.sets).map(ToString::to_string).collect(),
            sources: sources
                .filter_map(|source| {
                    let permission = permitted(context, &about.agent, source).ok()?;
                    Some(wit_context::MappedSource {
                        source: source.to_string(),
                        permission: wit_permission(permission),
                    })
                })
                .collect(),
            settings: self.settings.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string),
            user: about.user.clone(),
            door: match about.door {
                Door::Chat => wit_context::Door::Chat,
                Door::Mcp => wit_context::Door::Mcp,
                Door::Workflow => wit_context::Door::Workflow,
                Door::Console => wit_context::Door::Console,
            },
            call_id: about.call.to_string(),
            started: rfc3339(about.started),
            attempt: about.attempt,
            idempotency_key: about.idempotency_key.clone(),
        }
    }

    fn progress(&mut self, done: f64, total: Option<f64>, message: Option<&str>) {
        if self.window.elapsed().as_secs() >= 1 {
            (self.window, self.reports) = (Instant::now(), 0);
        }
        self.reports = self.reports.saturating_add(1);
        let forward = done.is_finite() && done >= self.done && total.is_none_or(f64::is_finite);
        if forward && self.reports <= MAX_REPORTS {
            self.done = done;
            self.about.observer.progress(done, total, message.map(|text| cut(text, MAX_LINE_BYTES)));
        }
    }

    fn log(&mut self, level: Level, message: &str, fields: Option<&str>) {
        let message = cut(message, MAX_LINE_BYTES);
        let fields = fields.filter(|fields| fields.len() <= MAX_LINE_BYTES);
        let size = message.len() + fields.map_or(0, str::len);
        if size > self.log_left {
            self.log_left = 0;
            return;
        }
        self.log_left -= size;
        let call = self.about.call;
        // As values, which are quoted: a line break of a guest's begins no line of the log.
        match level {
            Level::Debug => tracing::debug!(target: "remit::guest", %call, said = message, fields, "a guest says"),
            Level::Info => tracing::info!(target: "remit::guest", %call, said = message, fields, "a guest says"),
            Level::Warning => tracing::warn!(target: "remit::guest", %call, said = message, fields, "a guest says"),
            Level::Error => tracing::error!(target: "remit::guest", %call, said = message, fields, "a guest says"),
        }
        self.about.observer.log(level, message, fields);
    }
}

fn wit_permission(permission: Permission) -> wit_types::Permission {
    match permission {
        Permission::Read => wit_types::Permission::Read,
        Permission::Write => wit_types::Permission::Write,
    }
}

/// The beginning of a text, at most so many bytes of it.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

impl Size for wit_context::CallContext {
    fn size(&self) -> usize {
        let sources = self.sources.iter().map(|source| source.source.len()).fold(0, usize::saturating_add);
        let company = (&self.company.name, &self.company.industry, &self.company.website);
        let about = (&self.tenant, &self.agent, (&self.sets, &self.settings, &self.user));
        (company, about).size().saturating_add(sources)
    }
}

impl wit_types::Host for State {}

impl wit_context::Host for State {}

impl wit::Host for State {}

impl wit::HostInvocation for State {
    async fn context(&mut self, invocation: Resource<Invocation>) -> wasmtime::Result<wit::CallContext> {
        self.enter(&())?;
        let context = self.table.get(&invocation)?.context();
        self.leave(context)
    }

    async fn progress(
        &mut self,
        invocation: Resource<Invocation>,
        done: f64,
        total: Option<f64>,
        message: Option<String>,
    ) -> wasmtime::Result<()> {
        self.enter(&message)?;
        self.table.get_mut(&invocation)?.progress(done, total, message.as_deref());
        Ok(())
    }

    async fn log(
        &mut self,
        invocation: Resource<Invocation>,
        level: wit::Level,
        message: String,
        fields: Option<String>,
    ) -> wasmtime::Result<()> {
        self.enter(&(&message, &fields))?;
        let level = match level {
            wit::Level::Debug => Level::Debug,
            wit::Level::Info => Level::Info,
            wit::Level::Warning => Level::Warning,
            wit::Level::Error => Level::Error,
        };
        self.table.get_mut(&invocation)?.log(level, &message, fields.as_deref());
        Ok(())
    }

    /// A cancelled call is stopped at once by dropping it, so a guest that still runs is not.
    async fn cancelled(&mut self, invocation: Resource<Invocation>) -> wasmtime::Result<bool> {
        self.enter(&())?;
        self.table.get(&invocation)?;
        Ok(self.meter.remaining().is_zero())
    }

    async fn remaining_ms(&mut self, invocation: Resource<Invocation>) -> wasmtime::Result<u32> {
        self.enter(&())?;
        self.table.get(&invocation)?;
        Ok(u32::try_from(self.meter.remaining().as_millis()).unwrap_or(u32::MAX))
    }

    /// No door offers to ask its user yet.
    async fn elicit(
        &mut self,
        invocation: Resource<Invocation>,
        _: wit::Question,
    ) -> wasmtime::Result<Result<wit::Answer, wit::AskError>> {
        self.enter(&())?;
        self.table.get(&invocation)?;
        Ok(Err(wit::AskError::Unsupported))
    }

    /// No door offers its model yet.
    async fn sample(
        &mut self,
        invocation: Resource<Invocation>,
        _: wit::Sampling,
    ) -> wasmtime::Result<Result<wit::Sample, wit::AskError>> {
        self.enter(&())?;
        self.table.get(&invocation)?;
        Ok(Err(wit::AskError::Unsupported))
    }

    /// No door has subscribers yet.
    async fn resource_updated(&mut self, invocation: Resource<Invocation>, _: String) -> wasmtime::Result<()> {
        self.enter(&())?;
        self.table.get(&invocation)?;
        Ok(())
    }

    async fn drop(&mut self, invocation: Resource<Invocation>) -> wasmtime::Result<()> {
        self.table.delete(invocation)?;
        Ok(())
    }
}
