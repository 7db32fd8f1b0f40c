//! Reading one workflow, and the strict check of all.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use remit_config::{Fault, Faults, File, Located, Report, Spot};

use crate::{Plan, authored::Workflow, link, steps};

/// Makes a plan of a workflow. Errors: all its faults.
pub fn plan(file: &File, env: &BTreeSet<String>) -> Result<Plan, Faults> {
    Plan::new(parse(file, env)?).map_err(|message| Fault::new(&file.name, Spot::START, message).into())
}

/// Reads a workflow. `env` are the variables that it may name. Errors: all faults.
pub fn parse(file: &File, env: &BTreeSet<String>) -> Result<Workflow, Faults> {
    let located = Located::yaml(file)?;
    let (workflow, mut faults) = located.read::<Workflow>();
    if let Some(workflow) = &workflow {
        let meaning = steps::check(&located, workflow, env);
        let new = meaning.into_iter().filter(|fault| !faults.iter().any(|shape| shape.same_place(fault)));
        let new: Vec<Fault> = new.collect();
        faults.extend(new);
    }
    Faults::none(faults)?;
    workflow.ok_or_else(|| Fault::new(&file.name, Spot::START, "the file can't be read").into())
}

/// Checks all workflows below a folder; `root` is what faults name files relative to, `env` are the
/// variables that workflows may name.
///
/// Names are unique for a tenant (`customers/<tenant>/`) and in each other folder at the top.
pub fn check(root: &Path, folder: &Path, env: &BTreeSet<String>) -> Report {
    let mut report = Report::default();
    let mut names: BTreeMap<(PathBuf, String), String> = BTreeMap::new();
    let mut plans: Vec<(PathBuf, File, Arc<Plan>)> = Vec::new();
    let folder = root.join(folder);
    for path in files(root, &folder, &mut report) {
        let file = match File::read(root, &path) {
            Ok(file) => file,
            Err(fault) => {
                report.faults.insert(fault);
                continue;
            }
        };
        report.files.insert(file.name.clone());
        let workflow = match parse(&file, env) {
            Ok(workflow) => workflow,
            Err(faults) => {
                report.faults.extend(faults.into_vec());
                continue;
            }
        };
        let owner = owner(path.strip_prefix(&folder).unwrap_or(&path));
        match Plan::new(workflow.clone()) {
            Ok(plan) => plans.push((owner.clone(), file.clone(), Arc::new(plan))),
            Err(message) => drop(report.faults.insert(Fault::new(&file.name, Spot::START, message))),
        }
        for name in std::iter::once(workflow.name).chain(workflow.aliases) {
            match names.get(&(owner.clone(), name.clone())) {
                Some(other) => {
                    let message = format!("a second workflow named `{name}`");
                    let fault = Fault::new(&file.name, Spot::START, message);
                    report.faults.insert(fault.hint(format!("the first is {other}")));
                }
                None => drop(names.insert((owner.clone(), name), file.name.clone())),
            }
        }
    }
    for (owner, file, plan) in plans.iter().filter(|(.., plan)| link::any(&plan.authored)) {
        // A tenant's own come before everybody's.
        let find = |name: &str| {
            let named = |plan: &Plan| plan.authored.name == name || plan.authored.aliases.iter().any(|it| it == name);
            let own = plans.iter().find(|(of, _, plan)| of == owner && named(plan));
            let found = own.or_else(|| plans.iter().find(|(of, _, plan)| !of.starts_with("customers") && named(plan)));
            found.map(|(.., plan)| (plan.clone(), None))
        };
        match Located::yaml(file) {
            Ok(located) => report.faults.extend(link::faults(&located, plan, &find)),
            Err(fault) => drop(report.faults.insert(fault)),
        }
    }
    report
}

/// Within what a workflow's name is unique.
fn owner(path: &Path) -> PathBuf {
    let depth = if path.starts_with("customers") { 2 } else { 1 };
    path.parent().unwrap_or(path).components().take(depth).collect()
}

/// The YAML files below a folder, in order of path.
pub(crate) fn files(root: &Path, folder: &Path, report: &mut Report) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                let name = folder.strip_prefix(root).unwrap_or(&folder).display().to_string();
                report.faults.insert(Fault::new(name, Spot::START, format!("the folder can't be read: {error}")));
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let hidden = path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
            // A link could lead round in a circle: folders are followed only where they lie.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if hidden => {}
                _ if is_folder => folders.push(path),
                Some("yml" | "yaml") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}
