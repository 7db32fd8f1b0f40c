//! One context: its faults with their places, and what comes of a sound one.

mod notifications;

use remit_domain::{SourceName, grant, source};
use serde_json::json;

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What comes of a context of the tenant `techstart`, with a patch and an environment.
fn read(
    context: &str,
    patch: Option<&str>,
    env: &[(&str, &str)],
    sets: Option<&Sets>,
) -> Result<Loaded, Box<dyn std::error::Error>> {
    let host = crate::host::tests::host()?;
    let tenant = TenantId::new("techstart")?;
    let env = Environment::from_map(env.iter().copied());
    let prefixes = Prefixes::new(&host, [&tenant]);
    let around = Around { host: &host, env: &env, prefixes: &prefixes, sets, seal: &[7; 32] };
    let patch = patch.map(|text| File::new("patch.json", text));
    Ok(load(&tenant, &File::new("c.json", context), patch.as_ref(), around))
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn check(context: &str, expect: &str) -> Outcome {
    assert_eq!(lines(&read(context, None, &[], None)?.faults), expect, "{context}");
    Ok(())
}

#[test]
fn the_least_context_is_a_company() -> Outcome {
    let loaded = read(r#"{"company": {"name": "A"}}"#, None, &[], None)?;
    let context = loaded.context.ok_or("faulty")?;
    assert_eq!((context.company.name.as_str(), context.company.timezone.as_str()), ("A", "UTC"));
    assert!(context.agents.is_empty() && context.sources.is_empty() && context.model.is_none());
    Ok(())
}

#[test]
fn faults_of_meaning_come_at_once_with_those_of_shape() -> Outcome {
    check(
        r##"{
  "company": { "name": "A", "timezone": "America/NewYork", "slogan": "!" },
  "prompts": { "agents": {
    "sales": { "temperature": 2.5, "tools": ["a", "b", "a"] },
    "health": {},
    "Sales!": {}
  } },
  "dataSources": {
    "databases": {
      "primary": { "type": "mysql", "host": "db:3306", "database": "d", "credentials": "ACME_DB", "path": "x" },
      "secondary": { "type": "mysql", "host": "http://db", "credentials": "TECHSTART_DB" },
      "local": { "type": "sqlite", "path": "../secret.db" },
      "bad name": { "type": "documents", "path": "techstart/a.db" }
    },
    "apis": {
      "primary": { "provider": "shopify", "store": "a.myshopify.com/x?", "credentials": "TECHSTART_SHOPIFY" },
      "own": { "provider": "rest", "baseUrl": "https://u:p@api", "auth": "header", "credentials": "TECHSTART_OWN" },
      "sales": { "provider": "salesforce", "store": "x" }
    },
    "files": { "docs": { "provider": "local", "path": "/etc" } }
  },
  "agentMappings": {
    "sales": {
      "dataSources": ["primary", "prmary", "local", "local"],
      "permissions": { "primary": ["read", "admin"], "docs": ["read"], "local": [] },
      "mcpServer": ["a/b", "crm", "crm"],
      "notifications": { "email": { "templates": ["welcom"] }, "slack": { "channels": ["sales"] } }
    }
  },
  "workflows": { "sale": ["x"] },
  "notifications": {
    "slack": { "channels": { "slaes": "#s" }, "webhook": "http://hooks" },
    "email": { "from": "nobody", "templates": { "welcome": "w" } }
  },
  "settings": { "../x": {} },
  "model": { "baseUrl": "https://mine.example" }
}"##,
        "c.json:2:41: unknown time zone `America/NewYork` (did you mean `America/New_York`?)\n\
         c.json:2:60: unknown key `slogan` (known: name, industry, website, timezone)\n\
         c.json:4:31: more than 2.0\n\
         c.json:4:56: `a` stands twice (keep one)\n\
         c.json:5:5: `health` is a route of the host, not an agent's name (choose another name)\n\
         c.json:6:5: `Sales!` is not an agent's name: 1 to 63 characters of a-z, 0-9, `_` and `-`, not beginning with `-` or `_`\n\
         c.json:10:45: `db:3306` holds a port (give the port by `port`)\n\
         c.json:10:88: the credentials `ACME_DB` are not among this tenant's: TECHSTART_ (the operator gives them out: `tenants.techstart.credentialPrefixes` in host.yaml)\n\
         c.json:10:99: `path` is not a key of a mysql source (known: connection, host, port, database, credentials)\n\
         c.json:11:20: a mysql source needs `database` (or TECHSTART_DB_URI in the environment)\n\
         c.json:11:47: `http://db` is not a host's name (the name alone, without scheme, port and path)\n\
         c.json:12:44: the path leaves the host's `stateDir` (give a path below it, without `..`)\n\
         c.json:13:7: `bad name` is not a source's name: 1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`\n\
         c.json:16:7: a second source named `primary` (a name is unique over databases, apis and files)\n\
         c.json:16:52: `a.myshopify.com/x?` is not a host's name (the name alone, without scheme, port and path)\n\
         c.json:17:14: `auth` `header` needs `header`, the header's name\n\
         c.json:17:47: a URL with a user or password in it: they belong in the environment\n\
         c.json:18:16: a salesforce source needs `credentials`\n\
         c.json:18:16: a salesforce source needs `instance`\n\
         c.json:18:44: `store` is not a key of a salesforce source (known: instance, credentials, apiVersion, auth, tokenUrl, scope, clientAuth, rateLimit)\n\
         c.json:20:55: the path leaves the host's `stateDir` (give a path below it, without `..`)\n\
         c.json:24:34: `dataSources` defines no `prmary` (did you mean `primary`?)\n\
         c.json:24:53: `local` stands twice (keep one)\n\
         c.json:25:44: `admin` is not one of read, write\n\
         c.json:25:54: `docs` is not among this agent's `dataSources`\n\
         c.json:25:81: may not be an empty list\n\
         c.json:26:21: `a/b` is not a plugin's name: 1 to 128 characters of A-Z, a-z, 0-9, `_`, `.` and `-`, beginning with a letter or digit\n\
         c.json:26:35: `crm` stands twice (keep one)\n\
         c.json:27:51: `notifications.email.templates` has no `welcom` (did you mean `welcome`?)\n\
         c.json:27:88: must have the form ^#\n\
         c.json:30:18: there is no agent `sale` (did you mean `sales`?)\n\
         c.json:32:30: there is no agent `slaes` (did you mean `sales`?)\n\
         c.json:32:58: not an https address (Slack gives it out as `https://…`)\n\
         c.json:33:24: must have the form ^[^@\\s]+@[^@\\s]+$\n\
         c.json:33:60: there is no template `w` (it lies in configs/templates/techstart/w)\n\
         c.json:35:17: `../x` is not a plugin's name: 1 to 128 characters of A-Z, a-z, 0-9, `_`, `.` and `-`, beginning with a letter or digit\n\
         c.json:36:12: `baseUrl` without `credentials` (the host's own key is not sent to another address)\n",
    )
}

#[test]
fn a_faulty_context_gives_nothing_to_use() -> Outcome {
    for text in ["{", "[]", "{}", r#"{"company": {"name": ""}}"#, r#"{"company": {"name": "A"}, "x": 1}"#] {
        let loaded = read(text, None, &[], None)?;
        assert!(loaded.context.is_none() && !loaded.faults.is_empty(), "{text}");
    }
    Ok(())
}

#[test]
fn a_patch_swaps_a_source_and_its_faults_are_its_own() -> Outcome {
    let context = r#"{"company": {"name": "A"}, "dataSources": {"databases": {
        "primary": {"type": "mysql", "host": "h", "database": "d", "credentials": "TECHSTART_DB"}}}}"#;
    let whole = r#"{"dataSources": {"databases": {"primary":
        {"type": "sqlite", "path": "techstart/p.db", "host": null, "database": null, "credentials": null}}}}"#;
    let context_of = read(context, Some(whole), &[], None)?.context.ok_or("faulty")?;
    let primary = context_of.sources.get("primary").ok_or("no primary")?;
    assert_eq!(primary.authored_kind, "mysql");
    assert!(
        matches!(&primary.kind, source::Kind::Sqlite { path } if path.ends_with("var/techstart/p.db")),
        "{primary:?}"
    );

    let partial = "{\n\"dataSources\": {\"databases\": {\"primary\": {\"type\": \"sqlite\", \"path\": \"/p.db\"}}}}";
    assert_eq!(
        lines(&read(context, Some(partial), &[], None)?.faults),
        "c.json:2:38: `host` is not a key of a sqlite source (known: path)\n\
         c.json:2:51: `database` is not a key of a sqlite source (known: path)\n\
         c.json:2:68: `credentials` is not a key of a sqlite source (known: path)\n\
         patch.json:2:69: the path leaves the host's `stateDir` (give a path below it, without `..`)\n"
    );
    let broken = read(context, Some("{\n  \"a\": 1,,\n}"), &[], None)?;
    assert!(lines(&broken.faults).starts_with("patch.json:2:10: "), "{:?}", broken.faults);
    Ok(())
}

#[test]
fn a_path_is_the_tenants_own() -> Outcome {
    check(
        r#"{"company": {"name": "A"}, "dataSources": {
  "databases": {
    "a": {"type": "sqlite", "path": "remit.db"},
    "b": {"type": "documents", "path": "secrets/code-cache.key"},
    "c": {"type": "sqlite", "path": "demo/techstart/primary.db"}
  },
  "files": {"d": {"provider": "local", "path": "exports"}}}}"#,
        "c.json:3:37: the file is the host's journal (give a file of the tenant's own, such as `techstart/primary.db`)\n\
         c.json:4:40: `secrets/` is the host's own (a tenant's files lie in a folder of its name, such as `techstart/code-cache.key`)\n\
         c.json:7:48: no folder of the path is called `techstart` (a tenant's files lie in a folder of its name, such as `techstart/exports`)\n",
    )
}

#[test]
fn credentials_come_from_the_environment() -> Outcome {
    let context = r#"{"company": {"name": "A"}, "dataSources": {"databases": {
        "primary": {"type": "mysql", "host": "h", "port": 3307, "database": "d", "credentials": "TECHSTART_DB"}},
      "apis": {"own": {"provider": "rest", "baseUrl": "https://api.example", "credentials": "TECHSTART_OWN"}}},
      "model": {"credentials": "TECHSTART_OPENAI"}}"#;
    let none = read(context, None, &[], None)?;
    assert_eq!(
        lines(&none.warnings),
        "c.json:2:97: TECHSTART_DB_USER and TECHSTART_DB_PASS are not set: the source `primary` can't be used (set it in the environment or in `.env`)\n\
         c.json:3:93: TECHSTART_OWN_TOKEN is not set: the source `own` can't be used (set it in the environment or in `.env`)\n\
         c.json:4:32: TECHSTART_OPENAI_API_KEY not set: the language model can't be used (set it in the environment or in `.env`)\n"
    );
    assert!(none.context.is_some());

    let env = [
        ("TECHSTART_DB_USERNAME", "u"),
        ("TECHSTART_DB_PASS", "s3cret"),
        ("TECHSTART_OWN_TOKEN", "t0ken"),
        ("TECHSTART_OPENAI_API_KEY", "k3y"),
        ("TECHSTART_OPENAI_BASE_URL", "http://127.0.0.1:9/v1/"),
    ];
    let loaded = read(context, None, &env, None)?;
    assert_eq!(loaded.warnings, []);
    let context_of = loaded.context.ok_or("faulty")?;
    let source::Kind::Mysql(server) = &context_of.sources.get("primary").ok_or("no primary")?.kind else {
        return Err("not mysql".into());
    };
    assert_eq!((server.host.as_str(), server.port, server.credentials.user.as_deref()), ("h", Some(3307), Some("u")));
    assert_eq!(server.credentials.password.as_ref().map(ExposeSecret::expose_secret), Some("s3cret"));
    let model = context_of.model.as_ref().ok_or("no model")?;
    assert_eq!(model.base_url.as_deref(), Some("http://127.0.0.1:9/v1"));
    let everything = format!("{context_of:?}");
    assert!(!["s3cret", "t0ken", "k3y"].iter().any(|secret| everything.contains(secret)), "{everything}");

    let both = [("TECHSTART_DB_USER", "a"), ("TECHSTART_DB_USERNAME", "b"), ("TECHSTART_OWN_URI", "https://u:p@x")];
    assert_eq!(
        lines(&read(context, None, &both, None)?.faults),
        "c.json:2:97: both TECHSTART_DB_USER and TECHSTART_DB_USERNAME are set: keep one\n\
         c.json:3:93: TECHSTART_OWN_URI: a URL with a user or password in it: they belong in the environment\n"
    );
    Ok(())
}

#[test]
fn a_warehouse_has_a_ceiling_and_one_way_to_prove_itself() -> Outcome {
    let context = |more: &str| {
        format!(
            r#"{{"company": {{"name": "A"}}, "dataSources": {{"databases": {{"warehouse":
      {{"type": "bigquery", "projectId": "acme-prod", "credentials": "TECHSTART_BQ"{more}}}}}}}}}"#
        )
    };
    let token = [("TECHSTART_BQ_TOKEN", "t0ken"), ("TECHSTART_BQ_URI", "http://127.0.0.1:9050")];
    let kind = |text: &str| -> Result<_, Box<dyn std::error::Error>> {
        let loaded = read(text, None, &token, None)?;
        assert_eq!((lines(&loaded.faults), lines(&loaded.warnings)), (String::new(), String::new()));
        let mut sources = loaded.context.ok_or("faulty")?.sources.clone();
        Ok(sources.remove("warehouse").ok_or("no warehouse")?)
    };
    let plain = kind(&context(""))?;
    let source::Kind::BigQuery(warehouse) = &plain.kind else { return Err("no warehouse".into()) };
    assert_eq!((warehouse.project.as_str(), &warehouse.dataset, &warehouse.location), ("acme-prod", &None, &None));
    assert_eq!(warehouse.max_bytes_billed, 1024 * 1024 * 1024);
    assert_eq!(warehouse.credentials.token.as_ref().map(ExposeSecret::expose_secret), Some("t0ken"));
    let full = kind(&context(r#", "dataset": "sales", "location": "EU", "maxBytesBilled": 5000"#))?;
    let source::Kind::BigQuery(warehouse) = &full.kind else { return Err("no warehouse".into()) };
    let named = (warehouse.dataset.as_deref(), warehouse.location.as_deref(), warehouse.max_bytes_billed);
    assert_eq!(named, (Some("sales"), Some("EU"), 5000));
    assert_ne!(plain.revision, full.revision);

    let none = read(&context(""), None, &[], None)?;
    assert_eq!(
        lines(&none.warnings),
        "c.json:2:69: TECHSTART_BQ_KEY_FILE is not set: the source `warehouse` can't be used (set it in the environment or in `.env`)\n"
    );
    for more in [r#", "maxBytesBilled": 0"#, r#", "dataset": "a.b""#, r#", "location": "a/b""#, r#", "host": "h""#] {
        assert_ne!(lines(&read(&context(more), None, &token, None)?.faults), "", "{more}");
    }
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), "{}")?;
    let path = file.path().to_str().ok_or("no path")?;
    let both = [("TECHSTART_BQ_TOKEN", "t"), ("TECHSTART_BQ_KEY_FILE", path)];
    assert!(lines(&read(&context(""), None, &both, None)?.faults).contains("are both set"));
    Ok(())
}

#[test]
fn a_revision_changes_with_the_definition_and_with_its_secrets() -> Outcome {
    let revision = |host: &str, password: &str| -> Result<String, Box<dyn std::error::Error>> {
        let context = json!({"company": {"name": "A"}, "dataSources": {"databases": {
            "primary": {"type": "mysql", "host": host, "database": "d", "credentials": "TECHSTART_DB"}}}});
        let env = [("TECHSTART_DB_USER", "u"), ("TECHSTART_DB_PASS", password)];
        let loaded = read(&context.to_string(), None, &env, None)?.context.ok_or("faulty")?;
        Ok(loaded.sources.get("primary").ok_or("no primary")?.revision.clone())
    };
    let first = revision("a", "p")?;
    assert_eq!(first, revision("a", "p")?);
    assert_ne!(first, revision("a", "q")?);
    assert_ne!(first, revision("b", "p")?);
    Ok(())
}

#[test]
fn a_mongodb_source_has_an_address_a_database_and_an_account() -> Outcome {
    let of =
        |source: &str| format!(r#"{{"company": {{"name": "A"}}, "dataSources": {{"databases": {{"a": {source}}}}}}}"#);
    let authored = of(r#"{"type": "mongodb", "uri": "mongodb://h/events", "credentials": "TECHSTART_M"}"#);
    let account = [("TECHSTART_M_USER", "u"), ("TECHSTART_M_PASS", "s3cret")];
    let loaded = read(&authored, None, &account, None)?;
    assert_eq!(loaded.warnings, []);
    let context = loaded.context.ok_or("faulty")?;
    let source::Kind::Mongo(server) = &context.sources.get("a").ok_or("no source")?.kind else {
        return Err("not mongodb".into());
    };
    assert_eq!(server.uri.as_ref().map(ExposeSecret::expose_secret), Some("mongodb://h/events"));
    assert_eq!((server.database.as_deref(), server.credentials.user.as_deref()), (None, Some("u")));
    assert!(!format!("{server:?}").contains("s3cret"));
    assert_eq!(
        lines(&read(&authored, None, &[], None)?.warnings),
        "c.json:1:127: TECHSTART_M_USER and TECHSTART_M_PASS are not set: the source `a` can't be used (set it in the \
         environment or in `.env`)\n"
    );
    let hidden = of(r#"{"type": "mongodb", "database": "d", "credentials": "TECHSTART_M"}"#);
    let whole = [("TECHSTART_M_URI", "mongodb://u:s3cret@a:1,b:2/?replicaSet=r")];
    assert_eq!(read(&hidden, None, &whole, None)?.warnings, []);
    let looked_up = [("TECHSTART_M_URI", "mongodb+srv://u:s3cret@h")];
    let faults = lines(&read(&hidden, None, &looked_up, None)?.faults);
    assert!(faults.contains("TECHSTART_M_URI: an address that is looked up in DNS") && !faults.contains("s3cret"));
    for (source, message) in [
        (r#"{"type": "mongodb", "uri": "http://h/d"}"#, "not a MongoDB address"),
        (r#"{"type": "mongodb", "uri": "mongodb+srv://h/d"}"#, "an address that is looked up in DNS"),
        (r#"{"type": "mongodb", "uri": "mongodb://h"}"#, "a mongodb source needs `database`"),
        (r#"{"type": "mongodb", "uri": "mongodb://h/?w=1"}"#, "a mongodb source needs `database`"),
        (r#"{"type": "mongodb", "database": "d"}"#, "a mongodb source needs `uri`"),
    ] {
        let faults = lines(&read(&of(source), None, &[], None)?.faults);
        assert!(faults.contains(message), "{source}: {faults}");
    }
    Ok(())
}

#[test]
fn what_is_shown_of_a_context_holds_no_secret() -> Outcome {
    let context = r##"{"company": {"name": "A"}, "prompts": {"agents": {"sales": {}}},
      "dataSources": {"databases": {"analytics":
        {"type": "mongodb", "uri": "mongodb://u:s3cret@h/events", "credentials": "TECHSTART_MONGO"}}},
      "notifications": {"slack": {"channels": {"sales": "#s"}, "webhook": "https://hooks.slack.com/s3cret"}}}"##;
    let loaded = read(context, None, &[], None)?;
    assert_eq!(
        lines(&loaded.warnings),
        "c.json:3:36: a password stands in the file (move the whole address to the `…_URI` variable)\n"
    );
    let shown = loaded.context.ok_or("faulty")?.authored.to_string();
    assert!(!shown.contains("s3cret") && shown.contains("mongodb://[redacted]@h/events"), "{shown}");
    Ok(())
}

#[test]
fn agents_without_prompt_or_mapping_are_agents() -> Outcome {
    let context = r#"{"company": {"name": "A"}, "prompts": {"agents": {"talker": {"systemPrompt": "Talk.", "temperature": 0}}},
      "dataSources": {"databases": {"primary": {"type": "sqlite", "path": "techstart/p.db"}}},
      "agentMappings": {"worker": {"dataSources": ["primary"], "mcpServer": "crm"}},
      "workflows": {"talker": ["x"]}}"#;
    let context = read(context, None, &[], None)?.context.ok_or("faulty")?;
    let (_, talker) = context.agent("talker")?;
    assert_eq!((talker.system_prompt.as_str(), talker.temperature, talker.mapping.is_none()), ("Talk.", 0.0, true));
    assert_eq!(talker.workflows, ["x"]);
    let (name, worker) = context.agent("worker")?;
    assert_eq!(worker.system_prompt, "You are a helpful worker agent.");
    assert_eq!((worker.temperature, &worker.tools), (0.7, &None));
    assert_eq!(grant::permitted(&context, name, &SourceName::new("primary")?)?, grant::Permission::Read);
    Ok(())
}

#[test]
fn a_mapping_narrows_its_sources_to_parts_of_their_kind() -> Outcome {
    let of = |only: &str| {
        format!(
            r#"{{"company": {{"name": "A"}}, "dataSources": {{
  "databases": {{"db": {{"type": "sqlite", "path": "techstart/a.db"}}, "notes": {{"type": "documents", "path": "techstart/n.db"}}}},
  "apis": {{"shop": {{"provider": "rest", "baseUrl": "https://shop.example"}}}} }},
 "agentMappings": {{"sales": {{"dataSources": ["db", "notes", "shop"], "only": {only} }} }} }}"#
        )
    };
    let good = r#"{"db": {"tables": ["orders"]}, "notes": {"collections": ["mine"]}, "shop": {"paths": ["orders"]}}"#;
    let context = read(&of(good), None, &[], None)?.context.ok_or("faulty")?;
    let (agent, _) = context.agent("sales")?;
    let scope = |name| Ok::<_, remit_domain::InvalidName>(grant::scope(&context, agent, &SourceName::new(name)?));
    assert!(scope("db")?.holds("orders") && !scope("db")?.holds("customers"));
    assert!(scope("notes")?.holds("mine") && !scope("notes")?.holds("others"));
    assert!(scope("shop")?.covers("orders/1") && !scope("shop")?.covers("customers"));
    check(
        &of(r#"{"db": {"collections": ["orders"]}, "shops": {"paths": ["x"]}, "notes": {}}"#),
        "c.json:4:85: `db` needs `tables` here (or leave the source out of `only`)\n\
         c.json:4:86: `db` has no `collections` (it has `tables`)\n\
         c.json:4:114: `shops` is not among this agent's `dataSources` (did you mean `shop`?)\n\
         c.json:4:150: `notes` needs `collections` here (or leave the source out of `only`)\n",
    )
}

#[test]
fn names_of_tools_are_checked_where_their_sets_are_built() -> Outcome {
    let context = r#"{"company": {"name": "A"},
      "prompts": {"agents": {
        "sales": {"tools": ["search_customers", "serch_customers", "workflow_x", "read_resource"]},
        "support": {"tools": ["anything"]}}},
      "agentMappings": {"sales": {"mcpServer": "crm"}, "support": {"mcpServer": ["crm", "cmr"]}}}"#;
    let sets = Sets::from([("crm".to_owned(), BTreeSet::from(["search_customers".to_owned()]))]);
    assert_eq!(lines(&read(context, None, &[], None)?.faults), "");
    let loaded = read(context, None, &[], Some(&sets))?;
    assert_eq!(
        lines(&loaded.faults),
        "c.json:3:49: this agent's tool sets have no tool `serch_customers` (did you mean `search_customers`?)\n"
    );
    assert_eq!(lines(&loaded.warnings), "c.json:5:89: MCP server class not found: cmr (did you mean `crm`?)\n");
    Ok(())
}

#[test]
fn a_tenant_lowers_its_limits_and_raises_none() -> Outcome {
    use remit_domain::limits::{Limit, Tier};
    let context =
        r#"{"company": {"name": "A"}, "limits": {"wallTimeMs": 100, "concurrentCalls": 32, "queuedCalls": 0}}"#;
    let context = read(context, None, &[], None)?.context.ok_or("faulty")?;
    let of = |limit| context.limits.get(limit);
    assert_eq!((of(Limit::WallTime), of(Limit::ConcurrentCalls), of(Limit::QueuedCalls)), (100, 32, 0));
    assert_eq!((of(Limit::CpuTime), context.uploads), (5_000, Tier::Small));
    check(
        r#"{"company": {"name": "A"}, "limits": {
  "memoryBytes": 134217729, "concurrentCalls": 33, "hostCalls": 1, "stackBytes": 65536,
  "rows": 10001, "queueTimeMs": 5000
}}"#,
        "c.json:2:18: more than the operator allows, which is 134217728 bytes (`limits.memoryBytes` in host.yaml)\n\
         c.json:2:48: more than the operator allows, which is 32 calls (half of `limits.concurrentCalls` in host.yaml)\n\
         c.json:2:65: less than 10\n\
         c.json:2:68: unknown key `stackBytes`\n\
         c.json:3:11: more than 10000\n",
    )
}

#[test]
fn a_tenant_lowers_its_quotas_and_raises_none() -> Outcome {
    use remit_domain::usage::{Meter, Window};
    let context = r#"{"company": {"name": "A"}, "quotas": {"requestsPerMinute": 100, "tokensPerDay": 5}}"#;
    let quotas = read(context, None, &[], None)?.context.ok_or("faulty")?.limits.quotas;
    assert_eq!(quotas.get(Meter::Requests, Window::Minute), Some(100));
    assert_eq!(quotas.get(Meter::Tokens, Window::Day), Some(5), "where the operator has no bound, any is less");
    assert_eq!(quotas.get(Meter::Calls, Window::Day), None);
    check(
        r#"{"company": {"name": "A"}, "quotas": {"requestsPerMinute": 60001, "callsPerYear": 1, "callsPerDay": -1}}"#,
        "c.json:1:60: more than the operator allows, which is 60000 (`quotas.requestsPerMinute` in host.yaml)\n\
         c.json:1:67: unknown key `callsPerYear` (did you mean `callsPerDay`?)\n\
         c.json:1:101: less than 0\n",
    )
}
