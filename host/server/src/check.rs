//! `remit check`: every fault of settings, contexts and workflows, held against the components that the
//! operator ships, under the settings without a profile and with each.
//!
//! Deliberately absent: whatever would stay. Components are compiled into a folder that is gone afterwards,
//! so that who checks needs no right to the host's state, and leaves nothing in it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use remit_config::{Contexts, Environment, Fault, Host, Report, Sets, Spot, check, shown};
use remit_domain::{limits::Limits, node::Nodes};
use remit_sandbox::{Compiler, Registry, Sandbox};
use remit_workflow::Around;
use tempfile::TempDir;

/// Prints every fault. Whether everything is in order.
#[expect(clippy::print_stdout, reason = "the answer of a program for people")]
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let env = Environment::from_process(Some(&root.join(".env")))?;
    let report = report(root, &env)?;
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    for fault in &report.faults {
        println!("{fault}");
    }
    println!("{} files read, {} faults, {} warnings", report.files.len(), report.faults.len(), report.warnings.len());
    Ok(report.faults.is_empty())
}

#[tokio::main]
async fn report(root: &Path, env: &Environment) -> anyhow::Result<Report> {
    let (hosts, mut report) = check::settings(root, env);
    let mut components = Components::default();
    for host in hosts.into_iter().map(Arc::new) {
        let sets = components.sets(root, &host.plugins_dir, &mut report).await?;
        report.absorb(check::contexts(&host, env, sets));
        let around = components.around(&host, env);
        let checked = remit_workflow::check(&host.root, &host.workflows_dir, &host.env, around.as_ref()).await;
        report.absorb(checked);
    }
    Ok(report)
}

/// What the operator's components provide, each folder read once.
#[derive(Default)]
struct Components {
    sandbox: Option<(Arc<Sandbox>, TempDir)>,
    read: BTreeMap<PathBuf, Option<(Sets, Arc<Registry>)>>,
}

impl Components {
    /// The tool sets of a folder; none if there is no such folder. A file that is not a plugin is a fault.
    ///
    /// Errors: this machine can't run a sandbox.
    async fn sets(&mut self, root: &Path, folder: &Path, report: &mut Report) -> anyhow::Result<Option<&Sets>> {
        if !self.read.contains_key(folder) {
            let sets = self.load(root, folder, report).await?;
            self.read.insert(folder.to_owned(), sets);
        }
        Ok(self.read.get(folder).and_then(Option::as_ref).map(|(sets, _)| sets))
    }

    /// What workflows are held against under some settings; nothing, where there are no components, or where
    /// contexts can't be read at all, which is reported elsewhere.
    fn around(&self, host: &Arc<Host>, env: &Environment) -> Option<Around> {
        let (_, registry) = self.read.get(&host.plugins_dir)?.as_ref()?;
        // A tenant whose context is at fault has none here, and its workflows' grants are not decided.
        let (contexts, _) = Contexts::load(host.clone(), env.clone()).ok()?;
        Some(Around { nodes: Nodes::new(registry.clone(), Arc::new(contexts)), uploads: true })
    }

    async fn load(
        &mut self,
        root: &Path,
        folder: &Path,
        report: &mut Report,
    ) -> anyhow::Result<Option<(Sets, Arc<Registry>)>> {
        let at = |path: &Path, message: String| Fault::new(shown(root, path), Spot::START, message);
        if !folder.exists() {
            let warning =
                at(folder, "there is no such folder: names of tool sets, tools and steps are not checked".to_owned());
            report.warnings.insert(warning.hint("build the plugins, or mend `pluginsDir` in host.yaml"));
            return Ok(None);
        }
        let registry = Arc::new(Registry::new(self.sandbox()?));
        match registry.load(folder).await {
            Ok(faults) => report.faults.extend(faults.into_iter().map(|fault| {
                let why = anyhow::Error::new(fault.error);
                at(&fault.path, format!("not a plugin: {why:#}"))
            })),
            Err(error) => {
                report.faults.insert(at(folder, format!("{:#}", anyhow::Error::new(error))));
                return Ok(None);
            }
        }
        let mut sets = Sets::new();
        for plugin in registry.all() {
            // The registry takes in no file that is called otherwise than its plugin.
            report.files.insert(shown(root, &folder.join(format!("{}.wasm", plugin.name))));
            sets.insert(plugin.name.to_string(), plugin.tools.into_iter().map(|tool| tool.name).collect());
        }
        Ok(Some((sets, registry)))
    }

    fn sandbox(&mut self) -> anyhow::Result<Arc<Sandbox>> {
        if let Some((sandbox, _)) = &self.sandbox {
            return Ok(sandbox.clone());
        }
        // Under a name of its own that only this user can read: what lies there is run.
        let folder = tempfile::tempdir().context("no folder could be made for compiled components")?;
        let (cache, secrets) = (folder.path().join("cache"), folder.path().join("secrets"));
        let sandbox = Sandbox::new(Limits::default(), Compiler::this_program()?, &cache, &secrets)?;
        let sandbox = Arc::new(sandbox);
        self.sandbox = Some((sandbox.clone(), folder));
        Ok(sandbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// A root whose tenant `a` has an agent with the set `crm`, and what else is written there.
    fn checked(files: &[(&str, &str)]) -> Result<(Vec<String>, Vec<String>), Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        let context = r#"{"company": {"name": "A"}, "agentMappings": {"sales": {"mcpServer": "crm"}}}"#;
        let workflow = "name: w\nsteps:\n  - {id: x, type: p.n, config: {a: '{{ env.ADMIN_URL }}'}}\n";
        let always = [
            ("configs/host.yaml", "workflowsDir: flows\n"),
            ("configs/profiles/demo/host.yaml", "env: [ADMIN_URL]\n"),
            ("configs/contexts/a.json", context),
            ("flows/w.yml", workflow),
        ];
        for (path, text) in always.iter().chain(files) {
            let path = root.path().join(path);
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(path, text)?;
        }
        let report = report(root.path(), &Environment::from_map::<&str, &str>([]))?;
        let lines = |faults: &std::collections::BTreeSet<Fault>| faults.iter().map(Fault::to_string).collect();
        assert!(!root.path().join("var").exists(), "a check leaves no state");
        Ok((lines(&report.faults), lines(&report.warnings)))
    }

    const UNLISTED: &str = "flows/w.yml:3:36: workflows may not read the variable `ADMIN_URL` (the operator lists them: `env` in host.yaml)";

    #[test]
    fn without_components_their_names_are_not_checked() -> Outcome {
        let (faults, warnings) = checked(&[])?;
        assert_eq!(faults, [UNLISTED], "the profile lists the variable, the settings without it do not");
        assert_eq!(
            warnings,
            [
                "plugins/dist:1:1: there is no such folder: names of tool sets, tools and steps are not checked (build the plugins, or mend `pluginsDir` in host.yaml)"
            ]
        );
        Ok(())
    }

    #[test]
    fn what_is_no_component_is_a_fault_and_a_set_that_is_missing_a_warning() -> Outcome {
        let (faults, warnings) = checked(&[
            ("plugins/dist/crm.wasm", "\0asm\x01\0\0\0"),
            ("plugins/dist/notes.txt", "no component"),
            ("configs/host.yaml", "workflowsDir: flows\nenv: [ADMIN_URL]\n"),
        ])?;
        let [fault] = faults.as_slice() else { return Err(format!("{faults:?}").into()) };
        assert!(fault.starts_with("plugins/dist/crm.wasm:1:1: not a plugin: not a component"), "{fault}");
        assert_eq!(
            warnings,
            [
                "configs/contexts/a.json:1:69: MCP server class not found: crm",
                "flows/w.yml:3:19: there is no plugin `p` for steps of type p.n (upload it and activate it, or mend the name)",
            ]
        );
        Ok(())
    }
}
