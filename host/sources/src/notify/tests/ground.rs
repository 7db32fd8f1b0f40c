//! A tenant with both channels, and one agent that may use some of what they have.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use remit_domain::{
    AgentName, SourceName, TenantId,
    data::{
        Error, Handle, Sources,
        notify::{Address, Body, Mail, Pattern, Post, Room},
    },
    grant::{Grant, Grants, Permission, Permit},
    operation::Record,
    scope::Scope,
    source::{self, Definition, Kind, MailServer, SlackAccess, Template},
    tenant::{Agent, Context, Mapping, State, Tenants},
};

use crate::{
    Inbox, Notify, Pools, Settings,
    guard::{Guard, NetworkRules},
};

/// A tenant's channels, and the grants of one call.
pub(super) struct Ground {
    grants: Grants,
    pub(super) inbox: Option<Arc<Inbox>>,
    pub(super) tenant: TenantId,
}

struct Fixed(Arc<Context>);

impl Tenants for Fixed {
    fn get(&self, _: &TenantId) -> Result<Arc<Context>, remit_domain::Error> {
        Ok(self.0.clone())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        Vec::new()
    }
}

/// What a ground is made of.
pub(super) struct Made {
    pub(super) server: Option<MailServer>,
    pub(super) slack: Option<SlackAccess>,
    pub(super) to: Option<Vec<&'static str>>,
    pub(super) dry: bool,
    pub(super) per_minute: u32,
    pub(super) free_text: bool,
    pub(super) permission: Permission,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            server: None,
            slack: None,
            to: None,
            dry: true,
            per_minute: 1_000,
            free_text: true,
            permission: Permission::Write,
        }
    }
}

/// A mail server on this machine.
pub(super) fn local(port: u16) -> MailServer {
    MailServer { host: "127.0.0.1".to_owned(), port, plain: false, user: None, password: None }
}

impl Made {
    /// Must be called within a runtime.
    pub(super) fn ground(self) -> Ground {
        let template = |subject: Option<&str>| Template {
            subject: subject.map(str::to_owned),
            text: "Dear {{ name | default('friend') }}".to_owned(),
            html: Some("<p>Dear {{ name | default('friend') }}</p>".to_owned()),
        };
        let templates = BTreeMap::from([
            ("welcome".to_owned(), template(Some("Welcome"))),
            ("bare".to_owned(), template(None)),
            ("others".to_owned(), template(None)),
        ]);
        let to = self.to.map(|to| to.into_iter().map(|pattern| Pattern::new(pattern).unwrap()).collect());
        let mail =
            source::Mail { from: Address::new("noreply@techstart.com").unwrap(), templates, to, server: self.server };
        let agent = AgentName::new("sales").unwrap();
        let rooms = BTreeMap::from([(agent.clone(), Room::new("#sales").unwrap())]);
        let slack = source::Slack { rooms, access: self.slack };
        let definitions = [("email", Kind::Mail(mail)), ("slack", Kind::Slack(slack))].map(|(name, kind)| {
            let source = SourceName::new(name).unwrap();
            let definition = Definition {
                name: source.clone(),
                authored_kind: name.to_owned(),
                kind,
                revision: "1".to_owned(),
                cache: None,
            };
            (source, Arc::new(definition))
        });
        let free = self.free_text.then_some(source::Mail::FREE_TEXT);
        let mails = ["welcome", "bare"].into_iter().chain(free).collect();
        let scopes = [("email", mails), ("slack", vec!["#sales", "#order-review"])]
            .map(|(name, only)| (SourceName::new(name).unwrap(), Scope::only(only.into_iter().map(str::to_owned))));
        let permissions = ["email", "slack"].map(|name| (SourceName::new(name).unwrap(), Permission::Write));
        let mapping =
            Mapping { order: Vec::new(), permissions: permissions.into(), scopes: scopes.into(), sets: Vec::new() };
        let tenant = TenantId::new("techstart").unwrap();
        let agents = BTreeMap::from([(
            agent.clone(),
            Agent {
                system_prompt: String::new(),
                temperature: 0.0,
                tools: None,
                mapping: Some(mapping),
                workflows: Vec::new(),
            },
        )]);
        let context = Context { agents, sources: definitions.into(), ..Context::of(tenant.clone(), "TechStart") };
        let context = Arc::new(context);
        let tenants: Arc<dyn Tenants> = Arc::new(Fixed(context.clone()));
        let inbox = self.dry.then(Arc::<Inbox>::default);
        let notify =
            Notify { inbox: inbox.clone(), per_minute: NonZeroU32::new(self.per_minute).unwrap(), ..Notify::default() };
        let settings = Settings {
            connect_timeout: Duration::from_millis(700),
            api_timeout: Duration::from_millis(900),
            acquire_timeout: Duration::from_millis(900),
            breaker_failures: 1_000,
            ..Settings::default()
        };
        let guard = Guard::new(NetworkRules::new(["127.0.0.1"]).unwrap()).unwrap();
        let sources: Arc<dyn Sources> = Pools::with_notify(settings, guard, notify);
        let permission = self.permission;
        let granted = ["email", "slack"].map(|name| Grant { source: SourceName::new(name).unwrap(), permission });
        let grants = Grants::new(&context, &agent, granted.into(), &tenants, &sources);
        Ground { grants, inbox, tenant }
    }
}

impl Ground {
    async fn open(&self, name: &str) -> Result<(Permit, Arc<dyn remit_domain::data::notify::Channel>), Error> {
        match self.grants.open(name).await? {
            (permit, Handle::Channel(channel)) => Ok((permit, channel)),
            (_, other) => unreachable!("{}", other.family()),
        }
    }

    pub(super) async fn send(&self, mail: &Mail) -> Result<String, Error> {
        let (permit, channel) = self.open("email").await?;
        channel.send(permit.write()?, mail).await
    }

    pub(super) async fn post(&self, post: &Post) -> Result<String, Error> {
        let (permit, channel) = self.open("slack").await?;
        channel.post(permit.write()?, post).await
    }

    pub(super) async fn update(&self, id: &str, post: &Post) -> Result<(), Error> {
        let (permit, channel) = self.open("slack").await?;
        channel.update(permit.write()?, id, post).await
    }

    /// Closes the call's record, and gives it.
    pub(super) fn record(&self) -> Record {
        self.grants.touched().close()
    }
}

/// A mail of text.
pub(super) fn mail(to: &[&str]) -> Mail {
    Mail {
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: "A subject".to_owned(),
        body: Body::Text { text: "Some text".to_owned(), html: None },
        attachments: Vec::new(),
        idempotency_key: None,
    }
}

/// A post of text.
pub(super) fn post(room: Option<&str>) -> Post {
    let room = room.map(str::to_owned);
    Post { room, text: "Some text".to_owned(), blocks: None, thread: None, idempotency_key: None }
}

/// The case of what came.
pub(super) fn case<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.case(),
    }
}
