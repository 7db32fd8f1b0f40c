//! One call of one tool, through the `Catalogue`, with everything it does printed.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use remit_config::{Faults, File, Located};
use remit_domain::{
    AgentName, Catalogue, Error, PluginName, RequestId, TenantId,
    access::Principal,
    audit::{AuditLog, Deed, Door, Event},
    catalogue::Caller,
    clock::SystemClock,
    plugin::{Level, Observer, Outcome, Plugin, Plugins},
    tenant::{Company, Context, State, Tenants},
};
use serde_json::Value;

use super::{
    authored::{self, Authored},
    blank, sources,
    watched::Watched,
};

/// Runs a tool and prints what it called, told and answered. Whether it answered.
///
/// Errors: the file of sources is faulty, or a source can't be made.
pub(super) async fn run(
    plugin: Arc<dyn Plugin>,
    file: Option<&Path>,
    tool: &str,
    arguments: Value,
    folder: &Path,
) -> anyhow::Result<bool> {
    let (mut authored, located) = match file {
        Some(file) => authored::read(file)?,
        None => (Authored::default(), Located::yaml(&File::new("", "")).map_err(Faults::from)?),
    };
    let definitions = sources::make(&mut authored, &located, folder).await?;
    let connectors = sources::connectors()?;
    let name = plugin.description().name.clone();
    let agent = AgentName::new(authored.agent.as_deref().unwrap_or("test"))?;
    let base = blank(remit_domain::limits::Tier::Large)?;
    let context = Context {
        tenant: authored.tenant.as_deref().map_or(Ok(base.tenant), TenantId::new)?,
        company: authored.company.as_ref().map_or(base.company, company),
        agents: BTreeMap::from([(agent.clone(), sources::caller(&authored, name.clone())?)]),
        sources: definitions,
        settings: BTreeMap::from([(name, Value::Object(authored.settings.clone()))]),
        ..base
    };
    sources::fill(&authored, &located, &context, &connectors).await?;
    let context = Arc::new(context);
    let catalogue = Catalogue::new(
        Arc::new(Fixed(context.clone())),
        Arc::new(One(plugin)),
        Arc::new(Watched(connectors)),
        Arc::new(Unkept),
        Arc::new(SystemClock),
    );
    let caller = Caller::new(Principal::anyone(), context, agent.as_str(), Door::Console, RequestId::random())?;
    let caller = Caller { user: authored.user, observer: Arc::new(Told), ..caller };
    let began = Instant::now();
    let ended = catalogue.call(&caller, tool, arguments).await;
    let took = began.elapsed().as_secs_f64() * 1_000.0;
    match &ended {
        Ok(outcome) => {
            println!("answered in {took:.1} ms");
            println!("{}", answer(outcome)?);
        }
        Err(error) => {
            println!("failed after {took:.1} ms");
            println!("{}", failure(error));
        }
    }
    Ok(ended.is_ok())
}

fn company(authored: &authored::Company) -> Company {
    Company {
        name: authored.name.clone(),
        industry: authored.industry.clone(),
        website: None,
        timezone: authored.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
    }
}

/// The answer as clients of JSON get it.
fn answer(outcome: &Outcome) -> anyhow::Result<String> {
    serde_json::to_string_pretty(&outcome.as_json()).context("the answer is no JSON")
}

/// An error with its code, its hint, and what only an operator would see.
fn failure(error: &Error) -> String {
    let mut text = format!("{}: {error}", error.code());
    if let Error::InvalidArguments(problems) = error {
        for problem in problems {
            text.push_str(&format!("\n  {}: {}", problem.pointer, problem.message));
        }
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.for_each(|cause| text.push_str(&format!("\n  because {cause}")));
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

/// One tenant, as it was made.
pub(super) struct Fixed(pub(super) Arc<Context>);

impl Tenants for Fixed {
    fn get(&self, tenant: &TenantId) -> Result<Arc<Context>, Error> {
        if *tenant == self.0.tenant { Ok(self.0.clone()) } else { Err(Error::UnknownTenant(tenant.to_string())) }
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.0.tenant.clone(), State::Current)]
    }
}

/// One plugin.
struct One(Arc<dyn Plugin>);

impl Plugins for One {
    fn find(&self, _: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.operators(name)
    }

    fn operators(&self, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        (self.0.description().name == *name).then(|| self.0.clone())
    }
}

/// Nothing is kept of a trial but what is on the screen.
struct Unkept;

#[async_trait]
impl AuditLog for Unkept {
    async fn record(&self, _: Event) -> Result<(), Error> {
        Ok(())
    }

    fn record_later(&self, _: Event) {}

    async fn administer(&self, _: Deed) -> Result<(), Error> {
        Ok(())
    }
}

/// Prints what the tool tells.
struct Told;

impl Observer for Told {
    fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        let total = total.map(|total| format!(" of {total}")).unwrap_or_default();
        println!("progress: {done}{total}{}", message.map(|text| format!(", {text}")).unwrap_or_default());
    }

    fn log(&self, level: Level, message: &str, fields: Option<&str>) {
        println!("log: {level:?}: {message}{}", fields.map(|fields| format!(" {fields}")).unwrap_or_default());
    }
}
