//! Channels and templates of a context.

use super::*;

/// A host that has the templates of `techstart` in a folder.
fn with_templates(
    files: &[(&str, &str)],
    env: &[(&str, &str)],
    context: &str,
) -> Result<(tempfile::TempDir, Loaded), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for (path, text) in files {
        let path = folder.path().join("configs/templates").join(path);
        std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        std::fs::write(path, text)?;
    }
    std::fs::write(folder.path().join("host.yaml"), "")?;
    let env = Environment::from_map(env.iter().copied());
    let host = Host::load(folder.path(), std::path::Path::new("host.yaml"), None, &env)?;
    let tenant = TenantId::new("techstart")?;
    let prefixes = Prefixes::new(&host, [&tenant]);
    let around = Around { host: &host, env: &env, prefixes: &prefixes, sets: None, seal: &[7; 32] };
    let loaded = load(&tenant, &File::new("c.json", context), None, around);
    Ok((folder, loaded))
}

const NOTIFYING: &str = r##"{"company": {"name": "A"}, "prompts": {"agents": {"talker": {}}},
  "agentMappings": {
    "sales": {"notifications": {"slack": {"channels": ["#order-review"]}, "email": {"templates": ["welcome"]}}},
    "support": {}, "hr": {"notifications": {"slack": {"channels": []}, "email": {"send": "templates"}}},
    "finance": {"notifications": {"email": {"templates": ["other"], "send": "none"}}}
  },
  "notifications": {
    "slack": {"channels": {"sales": "#sales", "support": "#support", "talker": "#talk"}},
    "email": {"from": "noreply@a.example", "templates": {"welcome": "w", "other": "o"}, "to": ["*@a.example", "b@c.example"]}
  }}"##;

#[test]
fn channels_are_sources_and_their_rooms_and_templates_are_scopes() -> Outcome {
    let files =
        [("techstart/w/body.txt", "Dear {{ name }}"), ("techstart/w/subject.txt", "Hi"), ("techstart/o/body.txt", "O")];
    let env = [
        ("SLACK_BOT_TOKEN", "xoxb-s3cret"),
        ("EMAIL_SMTP_HOST", "smtp.example"),
        ("EMAIL_SMTP_USER", "u"),
        ("EMAIL_SMTP_PASS", "s3cret"),
    ];
    let (_folder, loaded) = with_templates(&files, &env, NOTIFYING)?;
    assert_eq!((lines(&loaded.faults), lines(&loaded.warnings)), (String::new(), String::new()));
    let context = loaded.context.ok_or("faulty")?;
    let [slack, email] = [SourceName::new("slack")?, SourceName::new("email")?];
    let may = |agent: &str, channel: &SourceName| -> Result<String, Box<dyn std::error::Error>> {
        let (agent, _) = context.agent(agent)?;
        let permitted = grant::permitted(&context, agent, channel).map(|it| it.to_string()).unwrap_or_default();
        let scope = grant::scope(&context, agent, channel);
        let names = scope.names().map(|names| names.collect::<Vec<_>>().join(","));
        Ok(format!("{permitted} {}", names.unwrap_or_else(|| "all".to_owned())))
    };
    assert_eq!(may("sales", &slack)?, "write #order-review,#sales");
    assert_eq!(may("support", &slack)?, "write #support");
    assert_eq!(may("hr", &slack)?, " all", "no room, so no channel");
    assert_eq!(may("talker", &slack)?, " all", "no mapping, so no channel");
    assert_eq!(may("sales", &email)?, "write text,welcome");
    assert_eq!((may("hr", &email)?, may("finance", &email)?), ("write other,welcome".to_owned(), " all".to_owned()));
    assert_eq!((may("support", &email)?, may("talker", &email)?), ("write all".to_owned(), " all".to_owned()));
    let source::Kind::Mail(mail) = &context.sources.get(&email).ok_or("no mail")?.kind else {
        return Err("not mail".into());
    };
    assert_eq!(mail.templates.get("welcome").map(|it| it.text.as_str()), Some("Dear {{ name }}"));
    assert_eq!(mail.server.as_ref().map(|server| (server.host.as_str(), server.port)), Some(("smtp.example", 587)));
    assert!(!format!("{context:?}").contains("s3cret"));
    let revision = |files: &[(&str, &str)], env: &[(&str, &str)]| -> Result<String, Box<dyn std::error::Error>> {
        let loaded = with_templates(files, env, NOTIFYING)?.1.context.ok_or("faulty")?;
        Ok(loaded.sources.values().map(|source| source.revision.clone()).collect())
    };
    let changed = [("techstart/w/body.txt", "Hello {{ name }}"), files[1], files[2]];
    assert_eq!(revision(&files, &env)?, revision(&files, &env)?);
    assert_ne!(revision(&files, &env)?, revision(&changed, &env)?);
    assert_ne!(revision(&files, &env)?, revision(&files, &[env[0], env[1], env[2], ("EMAIL_SMTP_PASS", "new")])?);
    Ok(())
}

#[test]
fn faults_of_channels_and_templates_have_their_places() -> Outcome {
    let faults = |files: &[(&str, &str)], context: &str| -> Result<String, Box<dyn std::error::Error>> {
        Ok(lines(&with_templates(files, &[], context)?.1.faults))
    };
    let good = ("techstart/o/body.txt", "O");
    let told = faults(&[good, ("techstart/w/subject.txt", "S")], NOTIFYING)?;
    assert!(told.contains("c.json:9:69: the template `w` has no body.txt"), "{told}");
    let told = faults(&[good, ("techstart/w/body.txt", "ok\n{% if x %}")], NOTIFYING)?;
    assert!(told.contains("configs/templates/techstart/w/body.txt:2:1: not a template"), "{told}");
    let told = faults(&[good, ("other/w/body.txt", "canary")], NOTIFYING)?;
    assert!(
        told.contains("c.json:9:69: there is no template `w` (it lies in configs/templates/techstart/w)"),
        "{told}"
    );
    for name in ["../other/w", "", ".", "..", "w/x", "w\\\\x", "/etc"] {
        let context = NOTIFYING.replace(r#""welcome": "w""#, &format!(r#""welcome": "{name}""#));
        let told = faults(&[good, ("other/w/body.txt", "canary")], &context)?;
        assert!(told.contains("is not a template's name"), "{name}: {told}");
    }
    for (part, instead, expect) in [
        ("\"#order-review\"", "\"#a b\"", "is not a room's name"),
        ("*@a.example", "a.example", "is not a pattern of addresses"),
        ("noreply@a.example", "a@b@c", "must have the form"),
        ("noreply@a.example", "a@b,c", "not a mail address"),
        ("\"other\": ", "\"text\": ", "can't be a template's name"),
    ] {
        let files = [good, ("techstart/w/body.txt", "w")];
        let told = faults(&files, &NOTIFYING.replace(part, instead))?;
        assert!(told.contains(expect), "{instead}: {told}");
    }
    check(
        r##"{"company": {"name": "A"},
  "dataSources": {"apis": {"slack": {"provider": "slack", "credentials": "TECHSTART_SLACK"}}},
  "agentMappings": {"sales": {"dataSources": ["slack"], "notifications": {"email": {}}}},
  "notifications": {"slack": {"channels": {"sales": "#a"}}}}"##,
        "c.json:2:28: `slack` is the name of the channel `notifications.slack` (give the source another name, such as `slack_api`)\n\
         c.json:3:75: there is no `notifications.email`\n",
    )
}

#[test]
fn a_tenants_own_way_to_slack_goes_before_the_hosts() -> Outcome {
    let slack = |more: &str, env: &[(&str, &str)]| -> Result<String, Box<dyn std::error::Error>> {
        let context = format!(r#"{{"company": {{"name": "A"}}, "notifications": {{"slack": {{{more}}}}}}}"#);
        let loaded = with_templates(&[], env, &context)?.1;
        let Some(context) = loaded.context else { return Ok(lines(&loaded.faults)) };
        let source::Kind::Slack(slack) = &context.sources.get("slack").ok_or("no channel")?.kind else {
            return Err("not Slack".into());
        };
        Ok(match &slack.access {
            Some(source::SlackAccess::Bot { token, .. }) => format!("bot {}", token.expose_secret()),
            Some(source::SlackAccess::Webhook(url)) => format!("webhook {}", url.expose_secret()),
            None => lines(&loaded.warnings),
        })
    };
    let bot = ("SLACK_BOT_TOKEN", "shared");
    let hook = r#""webhook": "https://hooks.slack.com/file""#;
    let own = r#""credentials": "TECHSTART_SLACK""#;
    assert_eq!(slack(hook, &[bot])?, "bot shared");
    assert_eq!(slack(hook, &[])?, "webhook https://hooks.slack.com/file");
    assert!(slack("", &[])?.contains("SLACK_BOT_TOKEN is not set: the channel `slack` can't be used"));
    assert_eq!(slack(own, &[bot, ("TECHSTART_SLACK_TOKEN", "own")])?, "bot own");
    let in_env = ("TECHSTART_SLACK_WEBHOOK", "https://hooks.slack.com/env");
    assert_eq!(slack(own, &[bot, in_env])?, "webhook https://hooks.slack.com/env");
    assert!(slack(own, &[bot])?.contains("TECHSTART_SLACK_TOKEN or TECHSTART_SLACK_WEBHOOK is not set"));
    let both = format!("{hook}, {own}");
    assert!(slack(&both, &[in_env])?.contains("TECHSTART_SLACK_WEBHOOK is set as well"));
    for (url, safe) in [
        ("http://hooks.slack.com/s3cret", false),
        ("http://127.0.0.1:9/s3cret", true),
        ("http://127.0.0.1.evil.example/s3cret", false),
        ("s3cret", false),
    ] {
        let told = slack(own, &[("TECHSTART_SLACK_WEBHOOK", url)])?;
        assert_eq!(told.starts_with("webhook"), safe, "{url}: {told}");
        assert!(safe || (told.contains("not an https address") && !told.contains("s3cret")), "{told}");
    }
    let foreign = slack(r#""credentials": "ACME_SLACK""#, &[("ACME_SLACK_TOKEN", "theirs")])?;
    assert!(foreign.contains("not among this tenant's") && !foreign.contains("theirs"), "{foreign}");
    Ok(())
}
