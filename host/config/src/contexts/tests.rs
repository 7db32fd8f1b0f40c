//! Many tenants: what is in force after files change, the strict check, and what is shipped.

use remit_domain::{AgentName, SourceName, grant};
use tempfile::TempDir;

use super::*;
use crate::{Report, check, context::Sets};

type Tested = Result<(), Box<dyn std::error::Error>>;

/// A project's `configs/` in a folder of its own.
struct Project(TempDir);

impl Project {
    fn new() -> std::io::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir_all(folder.path().join("configs/contexts"))?;
        std::fs::create_dir_all(folder.path().join("configs/profiles/demo"))?;
        std::fs::write(folder.path().join("configs/host.yaml"), "")?;
        Ok(Self(folder))
    }

    fn write(&self, path: &str, text: &str) -> std::io::Result<()> {
        std::fs::write(self.0.path().join("configs").join(path), text)
    }

    fn remove(&self, path: &str) -> std::io::Result<()> {
        std::fs::remove_file(self.0.path().join("configs").join(path))
    }

    fn load(&self, profile: Option<&str>, env: Environment) -> Result<(Contexts, Vec<Change>), Faults> {
        let host = Host::load(self.0.path(), Path::new("configs/host.yaml"), profile, &env)?;
        Contexts::load(Arc::new(host), env)
    }

    fn check(&self) -> Report {
        whole(self.0.path(), None)
    }
}

/// All of a root, as `remit check` goes through it.
fn whole(root: &Path, sets: Option<&Sets>) -> Report {
    let (hosts, mut report) = check::settings(root, &empty());
    hosts.iter().for_each(|host| report.absorb(check::contexts(host, &empty(), sets)));
    report
}

fn empty() -> Environment {
    Environment::from_map::<&str, &str>([])
}

fn company(name: &str) -> String {
    format!(r#"{{"company": {{"name": "{name}"}}}}"#)
}

/// What changed, a line each.
fn shown(changes: &[Change]) -> Vec<String> {
    let joined = |faults: &[Fault]| faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
    let line = |change: &Change| match &change.outcome {
        Outcome::Added => format!("{} added", change.file),
        Outcome::Changed => format!("{} changed", change.file),
        Outcome::Removed => format!("{} removed", change.file),
        Outcome::Stale(faults) => format!("stale: {}", joined(faults)),
        Outcome::Quarantined(faults) => format!("quarantined: {}", joined(faults)),
        Outcome::Ignored(faults) => format!("ignored: {}", joined(faults)),
    };
    changes.iter().map(line).collect()
}

fn name_of(contexts: &Contexts, tenant: &str) -> Result<String, Box<dyn std::error::Error>> {
    Ok(match contexts.get(&TenantId::new(tenant)?) {
        Ok(context) => context.company.name.clone(),
        Err(error) => format!("error: {error}"),
    })
}

#[test]
fn a_fault_quarantines_its_tenant_alone_and_a_mended_file_ends_it() -> Tested {
    let project = Project::new()?;
    project.write("contexts/good.json", &company("Good"))?;
    project.write("contexts/bad.json", "{\n  \"company\": {}\n}")?;
    project.write("contexts/Odd Name.json", &company("Odd"))?;
    project.write("contexts/.good.json.swp.json", "half")?;
    project.write("contexts/template.json", "not read here")?;
    let (contexts, changes) = project.load(None, empty())?;
    let odd = "ignored: configs/contexts/Odd Name.json:1:1: `Odd Name` is not a tenant's name: 1 to 63 characters of a-z, 0-9, `_` and `-`, not beginning with `-` or `_`";
    assert_eq!(
        shown(&changes),
        [odd, "quarantined: configs/contexts/bad.json:2:14: `name` is missing", "configs/contexts/good.json added"]
    );
    assert_eq!(name_of(&contexts, "good")?, "Good");
    assert_eq!(name_of(&contexts, "bad")?, "error: tenant bad is not available: its configuration is faulty");
    assert_eq!(name_of(&contexts, "template")?, "error: unknown tenant `template`");
    let quarantined = State::Quarantined(vec!["configs/contexts/bad.json:2:14: `name` is missing".to_owned()]);
    let expected = [(TenantId::new("bad")?, quarantined), (TenantId::new("good")?, State::Current)];
    assert_eq!(contexts.all(), expected);

    project.write("contexts/bad.json", &company("Mended"))?;
    assert_eq!(shown(&contexts.reload()?), [odd, "configs/contexts/bad.json added"]);
    assert_eq!(name_of(&contexts, "bad")?, "Mended");
    Ok(())
}

#[test]
fn a_faulty_change_leaves_the_last_good_version() -> Tested {
    let project = Project::new()?;
    project.write("contexts/a.json", &company("First"))?;
    let (contexts, _) = project.load(None, empty())?;
    let tenant = TenantId::new("a")?;
    let first = contexts.get(&tenant)?;

    assert_eq!(shown(&contexts.reload()?), [""; 0]);
    assert!(Arc::ptr_eq(&first, &contexts.get(&tenant)?), "an unchanged context stays the same");

    project.write("contexts/a.json", "{\"company\": {\"name\": \"Second\"}")?;
    let fault = "configs/contexts/a.json:1:1: unterminated object";
    for _ in 0..2 {
        assert_eq!(shown(&contexts.reload()?), [format!("stale: {fault}")]);
        assert!(Arc::ptr_eq(&first, &contexts.get(&tenant)?));
        assert_eq!(contexts.all(), [(tenant.clone(), State::Stale(vec![fault.to_owned()]))]);
    }

    project.write("contexts/a.json", &company("First"))?;
    assert_eq!(shown(&contexts.reload()?), ["configs/contexts/a.json changed"]);
    assert_eq!(contexts.all(), [(tenant.clone(), State::Current)]);

    project.write("contexts/a.json", &company("Third"))?;
    project.write("contexts/b.json", &company("New"))?;
    assert_eq!(shown(&contexts.reload()?), ["configs/contexts/a.json changed", "configs/contexts/b.json added"]);
    assert_eq!(name_of(&contexts, "a")?, "Third");

    project.remove("contexts/a.json")?;
    assert_eq!(shown(&contexts.reload()?), ["configs/contexts/a.json removed"]);
    assert_eq!(name_of(&contexts, "a")?, "error: unknown tenant `a`");
    Ok(())
}

#[test]
fn a_folder_that_is_gone_changes_nothing() -> Tested {
    let project = Project::new()?;
    project.write("contexts/a.json", &company("First"))?;
    let (contexts, _) = project.load(None, empty())?;
    std::fs::remove_dir_all(project.0.path().join("configs/contexts"))?;
    let error = contexts.reload().map_err(|faults| faults.to_string());
    assert!(error.as_ref().is_err_and(|text| text.starts_with("configs/contexts:1:1: the folder can't be read")));
    assert_eq!(name_of(&contexts, "a")?, "First");
    Ok(())
}

#[test]
fn a_secret_in_a_file_is_read_again() -> Tested {
    let project = Project::new()?;
    let secret = project.0.path().join("secret");
    std::fs::write(&secret, "one\n")?;
    project.write(
        "contexts/a.json",
        r#"{"company": {"name": "A"}, "dataSources": {"databases": {"primary":
            {"type": "mysql", "host": "h", "database": "d", "credentials": "A_DB"}}}}"#,
    )?;
    let env = Environment::from_map([("A_DB_USER", "u".to_owned()), ("A_DB_PASS_FILE", secret.display().to_string())]);
    let (contexts, _) = project.load(None, env)?;
    let revision = || -> Result<String, Box<dyn std::error::Error>> {
        let context = contexts.get(&TenantId::new("a")?)?;
        Ok(context.sources.get("primary").ok_or("no primary")?.revision.clone())
    };
    let first = revision()?;
    assert_eq!(shown(&contexts.reload()?), [""; 0]);
    std::fs::write(&secret, "two\n")?;
    assert_eq!(shown(&contexts.reload()?), ["configs/contexts/a.json changed"]);
    assert_ne!(revision()?, first);
    Ok(())
}

#[test]
fn the_check_is_strict_for_all() -> Tested {
    let project = Project::new()?;
    project.write("host.yaml", "listn: 1\n")?;
    project.write("contexts/a.json", &company("A"))?;
    assert_eq!(
        project.check().faults.iter().map(Fault::to_string).collect::<Vec<_>>(),
        ["configs/host.yaml:1:1: unknown key `listn` (did you mean `listen`?)"]
    );
    project.write("host.yaml", "tenants:\n  a:\n    ceilings: {primry: read}\n")?;
    project.write("contexts/b.json", "{\"company\": {\"name\": 1}}")?;
    project.write("contexts/template.json", "{}")?;
    project.write("profiles/demo/a.json", "{\"company\": {\"nme\": \"B\"}}")?;
    project.write("profiles/demo/c.json", "{}")?;
    let report = project.check();
    assert_eq!(
        report.faults.iter().map(Fault::to_string).collect::<Vec<_>>(),
        [
            "configs/contexts/b.json:1:22: expected a text, found a number (quote it)",
            "configs/contexts/template.json:1:1: `company` is missing",
            "configs/profiles/demo/a.json:1:14: unknown key `nme` (did you mean `name`?)",
            "configs/profiles/demo/c.json:1:1: a patch for a tenant that is not there (a patch is called as the context that it patches)",
        ]
    );
    assert_eq!(
        report.warnings.iter().map(Fault::to_string).collect::<Vec<_>>(),
        ["configs/host.yaml:1:1: `tenants.a.ceilings` names `primry`, which its context does not define"]
    );
    Ok(())
}

/// The configuration that this repository ships.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn what_is_shipped_has_no_faults_with_and_without_the_demo() -> Tested {
    let report = whole(&shipped(), None);
    assert_eq!(report.faults, BTreeSet::new());
    let read: Vec<&str> = report.files.iter().map(String::as_str).collect();
    for file in ["contexts/techstart.json", "contexts/template.json", "profiles/demo/techstart.json", "host.yaml"] {
        assert!(read.contains(&format!("configs/{file}").as_str()), "{file} is not among {read:?}");
    }
    Ok(())
}

#[test]
fn the_template_shows_every_key() -> Tested {
    let text = std::fs::read_to_string(shipped().join("configs/contexts/template.json"))?;
    let schema = crate::schema::of::<context::authored::Context>();
    let parts = schema.get("$defs").and_then(|parts| parts.as_object()).ok_or("no parts")?.values();
    let parts = std::iter::once(&schema).chain(parts);
    let keys = parts.filter_map(|part| part.get("properties")?.as_object()).flat_map(|keys| keys.keys());
    let missing: Vec<&String> = keys.filter(|key| !text.contains(&format!("\"{key}\": "))).collect();
    assert_eq!(missing, Vec::<&String>::new());
    Ok(())
}

#[test]
fn techstart_may_do_what_the_seed_says() -> Tested {
    for profile in [None, Some("demo")] {
        let host = Host::load(&shipped(), Path::new("configs/host.yaml"), profile, &empty())?;
        let (contexts, _) = Contexts::load(Arc::new(host), empty())?;
        let context = contexts.get(&TenantId::new("techstart")?)?;
        let permitted = |agent: &str| -> Result<String, Box<dyn std::error::Error>> {
            let agent = AgentName::new(agent)?;
            let all = context.sources.keys().filter_map(|name: &SourceName| {
                grant::permitted(&context, &agent, name).ok().map(|permission| format!("{name}:{permission}"))
            });
            Ok(all.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(
            permitted("sales")?,
            "analytics:read crm:write ecommerce:write email:write google_sheets:write primary:write slack:write"
        );
        assert_eq!(permitted("support")?, "documents:read email:write primary:write slack:write support:write");
        assert_eq!(
            permitted("marketing")?,
            "analytics:read crm:read email:write slack:write storage:write warehouse:read"
        );
        assert_eq!(permitted("hr")?, "documents:write email:write primary:write");
        assert_eq!(permitted("finance")?, "ecommerce:read email:write primary:write warehouse:read");
        let kinds: Vec<String> =
            context.sources.values().map(|source| format!("{}:{}", source.name, source.authored_kind)).collect();
        assert_eq!(
            kinds.join(" "),
            "analytics:mongodb crm:salesforce documents:google_drive ecommerce:shopify email:email \
             google_sheets:google_sheets primary:mysql slack:slack storage:s3 support:zendesk warehouse:bigquery"
        );
        let (_, sales) = context.agent("sales")?;
        assert_eq!(sales.mapping.as_ref().map(|mapping| mapping.sets.len()), Some(1));
        assert_eq!(sales.tools.as_ref().map(BTreeSet::len), Some(6));
        assert_eq!(sales.workflows.len(), 4);
        assert!(!context.authored.to_string().contains("hooks.slack.com"));
    }
    Ok(())
}

#[test]
fn the_demo_runs_on_embedded_sources() -> Tested {
    use remit_domain::source::Kind;

    let host = Host::load(&shipped(), Path::new("configs/host.yaml"), Some("demo"), &empty())?;
    assert!(host.offline_model && host.env.contains("ADMIN_URL"));
    assert_eq!(host.network.ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.0/8"]);
    let state = host.state_dir.clone();
    let env =
        Environment::from_map([("TECHSTART_SHOPIFY_URI", "http://127.0.0.1:1"), ("TECHSTART_SHOPIFY_TOKEN", "t")]);
    let (contexts, _) = Contexts::load(Arc::new(host), env)?;
    let context = contexts.get(&TenantId::new("techstart")?)?;
    let kind = |name: &str| context.sources.get(name).map(|source| &source.kind);
    let primary = state.join("demo/techstart/primary.db");
    assert!(matches!(kind("primary"), Some(Kind::Sqlite { path }) if *path == primary));
    let analytics = state.join("demo/techstart/analytics.db");
    assert!(matches!(kind("analytics"), Some(Kind::DocumentFile { path }) if *path == analytics));
    assert!(matches!(kind("ecommerce"), Some(Kind::Api(api)) if api.credentials.uri.is_some()));
    for name in ["documents", "storage"] {
        let folder = state.join("demo/techstart").join(name);
        assert!(matches!(kind(name), Some(Kind::LocalFolder { path }) if *path == folder), "{name}");
    }
    let warehouse = state.join("demo/techstart/warehouse.db");
    assert!(matches!(kind("warehouse"), Some(Kind::Sqlite { path }) if *path == warehouse));
    Ok(())
}
