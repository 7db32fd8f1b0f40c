//! What a list of hosts comes to, and what is no such list.

use remit_domain::{TenantId, grant};

use crate::{
    Environment,
    context::{Around, Loaded, load},
    located::File,
    prefixes::Prefixes,
};

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn read(context: &str) -> Result<Loaded, Box<dyn std::error::Error>> {
    let (host, tenant) = (crate::host::tests::host()?, TenantId::new("techstart")?);
    let env = Environment::from_map::<&str, &str>([]);
    let prefixes = Prefixes::new(&host, [&tenant]);
    let around = Around { host: &host, env: &env, prefixes: &prefixes, sets: None, seal: &[7; 32] };
    Ok(load(&tenant, &File::new("c.json", context), None, around))
}

fn faults(context: &str) -> Result<String, Box<dyn std::error::Error>> {
    Ok(read(context)?.faults.iter().map(|fault| format!("{fault}\n")).collect())
}

#[test]
fn what_is_listed_is_a_source_that_every_mapping_has() -> Outcome {
    let loaded = read(
        r#"{"company": {"name": "A"}, "network": {"allow": ["API.example.com", "*.example.org", "127.0.0.1:8080"]},
            "prompts": {"agents": {"talker": {}}},
            "agentMappings": {"sales": {}, "support": {"dataSources": ["web"], "only": {"web": {"paths": ["api.example.com/v1"]}}}}}"#,
    )?;
    let context = loaded.context.ok_or_else(|| format!("{:?}", loaded.faults))?;
    let definition = context.sources.get(WEB).ok_or("no source")?;
    let host = |name: &str, below, port| WebHost { name: name.to_owned(), below, port };
    let expected =
        [host("api.example.com", false, None), host("example.org", true, None), host("127.0.0.1", false, Some(8080))];
    assert!(matches!(&definition.kind, Kind::Web { hosts } if *hosts == expected), "{definition:?}");
    let web = SourceName::new(WEB)?;
    let granted = |agent: &str| {
        let agent = context.agent(agent).map_err(|error| error.to_string())?.0;
        grant::permitted(&context, agent, &web).map_err(|denial| denial.to_string())
    };
    assert_eq!(granted("sales"), Ok(grant::Permission::Write));
    assert_eq!(granted("support"), Ok(grant::Permission::Read), "its own mapping says less");
    assert!(granted("talker").is_err(), "who has no mapping has no tools");
    let support = context.agent("support")?.0;
    assert!(!grant::scope(&context, support, &web).is_all());
    let bare = read(r#"{"company": {"name": "A"}, "agentMappings": {"sales": {}}, "network": {}}"#)?;
    assert!(bare.context.is_some_and(|context| context.sources.is_empty()));
    Ok(())
}

#[test]
fn what_is_no_host_is_a_fault() -> Outcome {
    for entry in [
        "https://a.example",
        "*",
        "*.com",
        "a b",
        "a.example/x",
        "a.example:0",
        "a.example:x",
        "a.example:70000",
        "[::1]",
    ] {
        let said = faults(&format!(r#"{{"company": {{"name": "A"}}, "network": {{"allow": ["{entry}"]}}}}"#))?;
        assert!(said.contains(&format!("`{entry}` is not a host")), "{entry}: {said}");
    }
    let own = r#"{"company": {"name": "A"}, "network": {"allow": ["a.example"]},
        "dataSources": {"databases": {"web": {"type": "documents", "path": "techstart/a.db"}}}}"#;
    assert!(faults(own)?.contains("`dataSources` defines a source named `web`"));
    let unlisted = r#"{"company": {"name": "A"}, "agentMappings": {"sales": {"dataSources": ["web"]}}}"#;
    assert!(faults(unlisted)?.contains("`dataSources` defines no `web`"));
    Ok(())
}
