//! Reading one workflow, and the strict check of all.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use remit_config::{Fault, Faults, File, Located, Report, Spot};

use remit_domain::plugin::Computed;

use crate::{
    Plan,
    authored::Workflow,
    components::{self, Around, Spent},
    link,
    shelf::Owner,
    steps,
};

/// Makes a plan of a workflow. Errors: all its faults.
pub fn plan(file: &File, env: &BTreeSet<String>) -> Result<Plan, Faults> {
    Plan::new(parse(file, env)?).map_err(|message| Fault::new(&file.name, Spot::START, message).into())
}

/// A workflow that was held against the plugins there are.
#[derive(Debug)]
pub struct Judged {
    /// Its plan.
    pub plan: Plan,
    /// What may be meant.
    pub warnings: Vec<Fault>,
}

/// Makes a plan of a workflow whose steps fit the plugins there are, and whose owner's agents are granted what
/// they need. What plugins compute to say so is added to `computed`. Errors: all its faults.
pub async fn judge(
    file: File,
    env: &BTreeSet<String>,
    owner: &Owner,
    around: &Around,
    computed: &Computed,
) -> Result<Judged, Faults> {
    let (name, env) = (file.name.clone(), env.clone());
    // A large file takes its time.
    let reading = tokio::task::spawn_blocking(move || read(&file, &env));
    let broken = |_| Faults::from(Fault::new(&name, Spot::START, "reading the file broke"));
    let read = reading.await.map_err(broken)??;
    judged(&read, owner, around, &mut Spent::default(), computed).await
}

/// The same of one that is read already.
pub(crate) async fn judged(
    Read { located, workflow, name }: &Read,
    owner: &Owner,
    around: &Around,
    spent: &mut Spent,
    computed: &Computed,
) -> Result<Judged, Faults> {
    let (faults, warnings) = components::check(located, workflow, owner, around, spent, computed).await;
    Faults::none(faults)?;
    let plan = Plan::new(workflow.clone()).map_err(|message| Fault::new(name, Spot::START, message))?;
    Ok(Judged { plan, warnings })
}

/// A workflow without faults of its own, and where each of its parts stands.
pub(crate) struct Read {
    pub(crate) located: Located,
    workflow: Workflow,
    name: String,
}

/// Reads a workflow. `env` are the variables that it may name. Errors: all faults.
pub fn parse(file: &File, env: &BTreeSet<String>) -> Result<Workflow, Faults> {
    read(file, env).map(|read| read.workflow)
}

pub(crate) fn read(file: &File, env: &BTreeSet<String>) -> Result<Read, Faults> {
    let located = Located::yaml(file)?;
    let (workflow, mut faults) = located.read::<Workflow>();
    if let Some(workflow) = &workflow {
        let meaning = steps::check(&located, workflow, env);
        let new = meaning.into_iter().filter(|fault| !faults.iter().any(|shape| shape.same_place(fault)));
        let new: Vec<Fault> = new.collect();
        faults.extend(new);
    }
    Faults::none(faults)?;
    let workflow = workflow.ok_or_else(|| Fault::new(&file.name, Spot::START, "the file can't be read"))?;
    Ok(Read { located, workflow, name: file.name.clone() })
}

/// Checks all workflows below a folder; `root` is what faults name files relative to, `env` are the
/// variables that workflows may name. Without plugins to hold them against, only what the files alone say is
/// checked.
///
/// Names are unique for a tenant (`customers/<tenant>/`) and in each other folder at the top.
pub async fn check(root: &Path, folder: &Path, env: &BTreeSet<String>, around: Option<&Around>) -> Report {
    let mut report = Report::default();
    let mut names: BTreeMap<(PathBuf, String), String> = BTreeMap::new();
    let mut plans: Vec<(PathBuf, Located, Arc<Plan>)> = Vec::new();
    let folder = root.join(folder);
    let mut spent = Spent::default();
    for path in files(root, &folder, &mut report) {
        let file = match File::read(root, &path) {
            Ok(file) => file,
            Err(fault) => {
                report.faults.insert(fault);
                continue;
            }
        };
        report.files.insert(file.name.clone());
        let below = path.strip_prefix(&folder).unwrap_or(&path);
        let Read { located, workflow, .. } = match read(&file, env) {
            Ok(read) => read,
            Err(faults) => {
                report.faults.extend(faults.into_vec());
                continue;
            }
        };
        if let Some(around) = around {
            let (of, computed) = (Owner::of(below), Computed::default());
            let (faults, warnings) = components::check(&located, &workflow, &of, around, &mut spent, &computed).await;
            report.faults.extend(faults);
            report.warnings.extend(warnings);
        }
        let owner = owner(below);
        match Plan::new(workflow.clone()) {
            Ok(plan) => plans.push((owner.clone(), located, Arc::new(plan))),
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
    for (owner, located, plan) in plans.iter().filter(|(.., plan)| link::any(&plan.authored)) {
        // A tenant's own come before everybody's.
        let find = |name: &str| {
            let named = |plan: &Plan| plan.authored.name == name || plan.authored.aliases.iter().any(|it| it == name);
            let own = plans.iter().find(|(of, _, plan)| of == owner && named(plan));
            let found = own.or_else(|| plans.iter().find(|(of, _, plan)| !of.starts_with("customers") && named(plan)));
            found.map(|(.., plan)| (plan.clone(), None))
        };
        report.faults.extend(link::faults(located, plan, &find));
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
