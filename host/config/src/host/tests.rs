//! `host.yaml`: defaults, patches, and faults with their places.

use remit_domain::{
    limits::{Limit, Upload, Uploads},
    tenant::ModelChoice,
};

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn load(text: &str, patch: Option<&str>, env: &[(&str, &str)]) -> Result<Host, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("profiles/demo");
    std::fs::create_dir_all(&profile)?;
    std::fs::write(folder.path().join("host.yaml"), text)?;
    if let Some(patch) = patch {
        std::fs::write(profile.join("host.yaml"), patch)?;
    }
    let env = Environment::from_map(env.iter().copied());
    Ok(Host::load(folder.path(), Path::new("host.yaml"), patch.map(|_| "demo"), &env)?)
}

/// Defaults, below a root that is gone.
pub(crate) fn host() -> Result<Host, Box<dyn std::error::Error>> {
    load("", None, &[])
}

fn faults(text: &str, patch: Option<&str>, env: &[(&str, &str)], expect: &str) {
    let shown = load(text, patch, env).map(|_| "no faults".to_owned()).unwrap_or_else(|error| error.to_string());
    assert_eq!(shown, expect, "{text}");
}

#[test]
fn an_empty_file_gives_the_defaults() -> Outcome {
    let host = host()?;
    assert_eq!(host.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(host.state_dir, host.root.join("var"));
    assert_eq!(host.journal, host.root.join("var/remit.db"));
    assert_eq!(host.limits, Limits::default());
    assert_eq!(host.limits.time(Limit::WallTime), Duration::from_secs(30));
    assert_eq!(host.limits.get(Limit::Memory), 134_217_728);
    let ModelChoice { name, base_url, key } = &host.model;
    assert_eq!((name.as_deref(), base_url.as_deref(), key.is_some()), (Some("gpt-4o"), None, false));
    assert_eq!(host.network, Network::default());
    assert!(!host.offline_model);
    Ok(())
}

#[test]
fn what_is_written_is_read() -> Outcome {
    let text = "listen: \"[::1]:0\"\npublicUrl: https://remit.example.com\nlimits:\n  wallTimeMs: 100.0\n\
        network:\n  allow: [10.0.0.0/8, \"::1\", DB.internal]\ntenants:\n  techstart:\n    ceilings:\n      primary: read\n\
        \x20   credentialPrefixes: [TS_]\n";
    let env = [("OPENAI_API_KEY", "sk"), ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/")];
    let host = load(text, Some("offlineModel: true\nlimits:\n  handles: 10\nenv: [ADMIN_URL]\n"), &env)?;
    assert_eq!(host.listen.to_string(), "[::1]:0");
    assert_eq!((host.limits.get(Limit::WallTime), host.limits.get(Limit::Handles)), (100, 10));
    assert_eq!(host.network.hosts, BTreeSet::from(["db.internal".to_owned()]));
    assert_eq!(host.network.ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    assert!(host.offline_model && host.env.contains("ADMIN_URL"));
    assert_eq!(host.model.base_url.as_deref(), Some("http://127.0.0.1:1/v1"));
    assert_eq!(host.model.key.as_ref().map(ExposeSecret::expose_secret), Some("sk"));
    let rules = host.rules(&TenantId::new("techstart")?);
    assert_eq!(rules.ceilings, BTreeMap::from([(SourceName::new("primary")?, Permission::Read)]));
    assert_eq!(rules.credential_prefixes, Some(vec!["TS_".to_owned()]));
    assert_eq!(host.rules(&TenantId::new("other")?), Rules::default());
    Ok(())
}

#[test]
fn what_sources_may_take_is_read_and_checked() -> Outcome {
    let sources = host()?.sources;
    assert_eq!((sources.connections_per_source, sources.connections_per_tenant, sources.connections), (10, 50, 400));
    assert_eq!((sources.connect_timeout, sources.idle_timeout), (Duration::from_secs(60), Duration::from_secs(1_800)));
    let text = "sources:\n  connections: 20\n  connectionsPerTenant: 12\n  statementTimeoutMs: 1500\n  breakerFailures: 2\n\
        \x20 cacheBytes: 0\n  cacheBytesPerTenant: 0\n";
    let sources = load(text, None, &[])?.sources;
    assert_eq!((sources.connections_per_tenant, sources.connections, sources.cache_bytes), (12, 20, 0));
    assert_eq!((sources.statement_timeout, sources.breaker_failures), (Duration::from_millis(1_500), 2));
    faults(
        "sources:\n  connections: 20\n",
        None,
        &[],
        "host.yaml:2:3: `connectionsPerTenant` is 50, and `connections` only 20 (lower the one or raise the other)",
    );
    let shown = load("sources:\n  idleMinutes: 0\n", None, &[]).map(|_| String::new());
    assert!(shown.is_err_and(|error| error.to_string().starts_with("host.yaml:2:16")));
    Ok(())
}

#[test]
fn how_the_audit_log_is_kept_is_read_and_checked() -> Outcome {
    let audit = host()?.audit;
    assert_eq!((audit.segment_rows, audit.segment_age, audit.keep), (10_000, Duration::from_secs(86_400), None));
    assert_eq!((audit.checkpoint_file, audit.checkpoint_url), (None, None));
    assert_eq!((audit.checkpoint_every, audit.checkpoint_rows), (Duration::from_secs(600), 10_000));
    let text = "audit:\n  segmentRows: 100\n  segmentHours: 1\n  keepDays: 90\n  checkpoints:\n    file: mnt/a.jsonl\n\
        \x20   url: https://watch.example.com/remit\n    everyMinutes: 1\n    everyRows: 10\n";
    let host = load(text, None, &[])?;
    assert_eq!(host.audit.keep, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!(host.audit.checkpoint_file, Some(host.root.join("mnt/a.jsonl")));
    assert_eq!(host.audit.checkpoint_url.map(String::from).as_deref(), Some("https://watch.example.com/remit"));
    for (text, said) in [
        ("audit:\n  keepDays: 0\n", "host.yaml:2:13"),
        ("audit:\n  keepForever: true\n", "host.yaml:2:3"),
        ("audit:\n  segmentRows: 1\n", "host.yaml:2:16"),
        ("audit:\n  checkpoints:\n    url: ftp://a\n", "host.yaml:3:10: not an http or https URL"),
    ] {
        let shown = load(text, None, &[]).map(|_| String::new()).unwrap_or_else(|error| error.to_string());
        assert!(shown.starts_with(said), "{text}: {shown}");
    }
    Ok(())
}

#[test]
fn every_limit_is_read_and_a_tier_keeps_what_is_not_written() -> Outcome {
    let written = Limit::ALL.into_iter().enumerate().map(|(at, limit)| (limit, 65_536 + at as u64));
    let written = written.map(|(limit, value)| match limit {
        Limit::Memory => (limit, 2 << 20),
        Limit::Pending | Limit::ConcurrentCalls => (limit, 7),
        Limit::Rows => (limit, 9_999),
        _ => (limit, value),
    });
    let written: Vec<(Limit, u64)> = written.collect();
    let lines: String = written.iter().map(|(limit, value)| format!("  {}: {value}\n", limit.key())).collect();
    let tiers = "  uploads:\n    small: {componentBytes: 2048, bodyBytes: 2000, functions: 3, coreModules: 4}\n    \
         large: {compileCpuSeconds: 60, compileMemoryBytes: 4294967296}\n";
    let host = load(&format!("limits:\n{lines}{tiers}tenants: {{a: {{uploads: large}}, b: {{}}}}\n"), None, &[])?;
    for (limit, value) in written {
        assert_eq!(host.limits.get(limit), value, "{limit:?}");
    }
    let small = Upload { component_bytes: 2048, body_bytes: 2000, functions: 3, core_modules: 4, ..Upload::SMALL };
    let large = Upload { compile_cpu_seconds: 60, compile_memory_bytes: 4 << 30, ..Upload::LARGE };
    assert_eq!(host.limits.uploads, Uploads { small, large });
    let tier = |name: &str| TenantId::new(name).map(|tenant| host.rules(&tenant).uploads);
    assert_eq!((tier("a")?, tier("b")?, tier("c")?), (Tier::Large, Tier::Small, Tier::Small));
    Ok(())
}

#[test]
fn all_faults_of_the_operators_file_come_at_once() {
    faults(
        "listen: localhost:3000\nlisten_on: 1\nlimits:\n  memoryBytes: 10\n  wallTime: 3\n  concurrentCalls: 1001\nnetwork:\n  allow: [\"http://a\", a.b]\n\
         tenants:\n  Big:\n    ceilings: {primary: admin}\n  small:\n    credentialPrefixes: [SMALL]\ncors:\n  origins: [https://a/]\n\
         publicUrl: https://u:p@a\ntelemetry:\n  otlpEndpoint: collector:4318\njournal: postgres://db/remit\n",
        None,
        &[("OPENAI_API_KEY", "a"), ("OPENAI_API_KEY_FILE", "/b")],
        "host.yaml:1:1: both OPENAI_API_KEY and OPENAI_API_KEY_FILE are set: keep one\n\
         host.yaml:1:9: not an IP address with a port (such as `127.0.0.1:3000` or `[::1]:3000`)\n\
         host.yaml:2:1: unknown key `listen_on` (did you mean `listen`?)\n\
         host.yaml:4:16: less than 1048576\n\
         host.yaml:5:3: unknown key `wallTime` (did you mean `wallTimeMs`?)\n\
         host.yaml:6:20: more than 1000\n\
         host.yaml:8:11: `http://a` is not a host, an address or a range (such as `10.1.0.0/16`, `127.0.0.1` or `db.internal`, without scheme and port)\n\
         host.yaml:10:3: `Big` is not a tenant's name: 1 to 63 characters of a-z, 0-9, `_` and `-`, not beginning with `-` or `_`\n\
         host.yaml:11:25: `admin` is not one of read, write\n\
         host.yaml:13:26: must have the form ^[A-Z][A-Z0-9_]*_$\n\
         host.yaml:15:13: `https://a/` is not an origin (scheme, host and port as a browser sends them, such as `https://app.example.com`)\n\
         host.yaml:16:12: a URL with a user or password in it: they belong in the environment\n\
         host.yaml:18:17: not an http or https URL\n\
         host.yaml:19:10: the journal is a file (give a path, such as `remit.db`)",
    );
}

#[test]
fn a_patch_is_named_by_its_faults() {
    faults(
        "listen: nowhere\nlimits:\n  handles: 100\n",
        Some("limits:\n  handles: many\noffline: true\n"),
        &[],
        "host.yaml:1:9: not an IP address with a port (such as `127.0.0.1:3000` or `[::1]:3000`)\n\
         profiles/demo/host.yaml:2:12: expected a whole number, found a text\n\
         profiles/demo/host.yaml:3:1: unknown key `offline` (did you mean `offlineModel`?)",
    );
}

#[test]
fn a_file_or_profile_that_is_not_there_is_said() -> Outcome {
    let folder = tempfile::tempdir()?;
    let env = Environment::from_map::<&str, &str>([]);
    let missing = Host::load(folder.path(), Path::new("host.yaml"), None, &env).map(drop).map_err(|e| e.to_string());
    assert!(missing.as_ref().is_err_and(|error| error.starts_with("host.yaml:1:1: can't be read: ")), "{missing:?}");
    std::fs::write(folder.path().join("host.yaml"), "")?;
    for profile in ["demo", "..", "a/b", ""] {
        let error = Host::load(folder.path(), Path::new("host.yaml"), Some(profile), &env).map(drop);
        let expected = format!("profiles:1:1: there is no profile `{profile}`");
        assert_eq!(error.map_err(|faults| faults.to_string()), Err(expected));
    }
    Ok(())
}

#[test]
fn addresses_for_http_hold_no_secrets() {
    for (text, expect) in [
        ("https://api.example.com/v1", "fine"),
        ("ftp://a", "not an http or https URL"),
        ("a", "not a URL: relative URL without a base"),
        ("https://user@a", "a URL with a user or password in it: they belong in the environment"),
        ("https://a?key=1", "a URL with a query or fragment"),
    ] {
        assert_eq!(http_url(text).map(|_| "fine".to_owned()).unwrap_or_else(|message| message), expect);
    }
    for bad in ["", "a/b", "a:1", "a?b", "a b", "a..b", "-a", "a@b", "[::1]"] {
        assert!(!is_host_name(bad), "{bad}");
    }
}

#[test]
fn quotas_have_a_default_and_a_tenant_its_own() -> Outcome {
    use remit_domain::usage::{Meter, Window};
    let text =
        "quotas:\n  callsPerDay: 9\ntenants:\n  big:\n    quotas:\n      requestsPerMinute: 1000000\n  small: {}\n";
    let host = load(text, None, &[])?;
    let usual = Quotas::of_a_tenant().with(Meter::Calls, Window::Day, 9);
    assert_eq!(host.limits.quotas, usual);
    let big = host.rules(&TenantId::new("big")?).quotas;
    assert_eq!(big, Some(usual.with(Meter::Requests, Window::Minute, 1_000_000)));
    assert_eq!(host.rules(&TenantId::new("small")?).quotas, None);
    Ok(())
}

#[test]
fn issuers_are_read_with_what_their_tokens_let_do() -> Outcome {
    use remit_domain::usage::{Meter, Quotas, Window};
    assert!(host()?.oauth.is_none());
    let text = "publicUrl: https://remit.example.com\noauth:\n  keysSeconds: 60\n  issuers:\n    - issuer: https://a.example/x/\n\
        \x20     tenants: [techstart]\n      scopes: {\"remit:agent\": agent, see: viewer}\n      algorithms: [ES256]\n      quotas: {callsPerDay: 7}\n\
        \x20   - {issuer: \"http://127.0.0.1:9\", jwksUrl: \"https://keys.example/set\", tenants: [a, b], scopes: {mcp: agent}}\n";
    let oauth = load(text, None, &[])?.oauth.ok_or("no issuers")?;
    assert_eq!(
        (oauth.origin.as_str(), oauth.keys.as_secs(), oauth.keep.as_secs()),
        ("https://remit.example.com", 60, 3600)
    );
    let [first, second] = oauth.issuers.as_slice() else { return Err("two issuers".into()) };
    assert_eq!((first.name.as_str(), first.url.path(), &first.jwks_url), ("https://a.example/x/", "/x/", &None));
    assert_eq!(first.tenants, BTreeSet::from([TenantId::new("techstart")?]));
    assert_eq!(first.scopes.get("remit:agent"), Some(&remit_domain::access::Role::Agent));
    assert_eq!(first.algorithms, BTreeSet::from([Algorithm::Es256]));
    assert_eq!(first.quotas, Quotas::NONE.with(Meter::Calls, Window::Day, 7));
    assert_eq!((second.algorithms.len(), second.tenants.len(), second.quotas), (4, 2, Quotas::NONE));
    assert_eq!(second.jwks_url.as_ref().map(Url::as_str), Some("https://keys.example/set"));
    Ok(())
}

#[test]
fn issuers_that_could_let_in_the_wrong_are_faults() {
    let issuer = "issuer: https://a.example, tenants: [techstart], scopes: {x: agent}";
    faults(
        &format!("oauth:\n  issuers:\n    - {{{issuer}}}\n"),
        None,
        &[],
        "host.yaml:2:3: needs `publicUrl` (a token's audience is `<publicUrl>/mcp/<tenant>/<agent>`)",
    );
    faults(
        &format!(
            "publicUrl: http://remit.example.com/below\noauth:\n  keepSeconds: 5\n  issuers:\n    - {{{issuer}}}\n    - {{{issuer}}}\n\
             \x20   - issuer: http://b.example\n      tenants: [Big]\n      scopes: {{\"a b\": agent, c: admin}}\n      algorithms: [HS256]\n\
             \x20   - issuer: https://c.example?tenant=1\n      tenants: []\n      scopes: {{c: viewer}}\n"
        ),
        None,
        &[],
        "host.yaml:1:12: `oauth` needs https, or http on loopback\n\
         host.yaml:1:12: a URL with a path, which `oauth` has no use for\n\
         host.yaml:3:16: less than `keysSeconds`\n\
         host.yaml:6:16: this issuer stands here twice (join the two)\n\
         host.yaml:7:15: not https, and not on loopback\n\
         host.yaml:8:17: `Big` is not a tenant's name: 1 to 63 characters of a-z, 0-9, `_` and `-`, not beginning with `-` or `_`\n\
         host.yaml:9:16: not a scope: printable ASCII without spaces and quotes\n\
         host.yaml:9:33: `admin` is not one of viewer, agent\n\
         host.yaml:10:20: `HS256` is not one of RS256, PS256, ES256, EdDSA (did you mean `RS256`?)\n\
         host.yaml:11:15: a URL with a query or fragment\n\
         host.yaml:12:16: may not be an empty list\n\
         host.yaml:13:15: no scope lets in at the MCP door (such as `{\"remit:agent\": agent}`)",
    );
}

#[test]
fn bounds_of_connections_are_read_and_checked() -> Outcome {
    let connections = host()?.connections;
    assert_eq!((connections.total, connections.per_address, connections.head.as_secs()), (2_000, 200, 15));
    let shown: Vec<String> = connections.proxies.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["127.0.0.0/8", "::1/128"]);
    let connections = load("connections: {total: 3, proxies: [10.0.0.7], pingSeconds: 1}\n", None, &[])?.connections;
    assert_eq!((connections.total, connections.per_address, connections.ping.as_secs()), (3, 200, 1));
    faults(
        "connections: {total: 0, proxies: [proxy.internal], headBytes: 100}\n",
        None,
        &[],
        "host.yaml:1:22: less than 1\n\
         host.yaml:1:35: `proxy.internal` is not an address or a range (such as `10.0.0.7` or `10.0.0.0/24`)\n\
         host.yaml:1:63: less than 8192",
    );
    Ok(())
}

#[test]
fn what_takes_messages_is_read_and_checked() -> Outcome {
    let none = host()?.notifications;
    assert_eq!((none.dry_run, none.per_minute.get(), none.smtp.is_none(), none.bot.is_none()), (false, 60, true, true));
    let text = "notifications:\n  dryRun: true\n  perMinute: 5\n  plainSmtp: true\n";
    let env = [("EMAIL_SMTP_HOST", "10.0.0.7"), ("EMAIL_SMTP_PORT", "25"), ("SLACK_BOT_TOKEN", "xoxb-s3cret")];
    let some = load(text, None, &env)?.notifications;
    let smtp = some.smtp.as_ref().ok_or("no server")?;
    assert_eq!((some.dry_run, some.per_minute.get(), smtp.port, smtp.plain), (true, 5, 25, true));
    assert!(some.bot.is_some() && !format!("{some:?}").contains("s3cret"));
    for (env, said) in [
        (&[("EMAIL_SMTP_HOST", "smtp://x"), ("EMAIL_SMTP_PORT", "587")], "EMAIL_SMTP_HOST is not a host's name"),
        (&[("EMAIL_SMTP_HOST", "x"), ("EMAIL_SMTP_PORT", "smtp")], "EMAIL_SMTP_PORT is not a port"),
        (&[("EMAIL_SMTP_HOST", "x"), ("EMAIL_SMTP_PORT", "0")], "EMAIL_SMTP_PORT is not a port"),
        (&[("EMAIL_SMTP_HOST", "x"), ("EMAIL_SMTP_PASS", "s3cret")], "only one of EMAIL_SMTP_USER and EMAIL_SMTP_PASS"),
    ] {
        let shown = load("", None, env).map(|_| String::new()).unwrap_or_else(|error| error.to_string());
        assert!(shown.contains(said) && !shown.contains("s3cret"), "{shown}");
    }
    Ok(())
}
