//! The strict check of everything under `configs/`: the operator's settings without a profile and with
//! each, and with each of these every tenant and the template. What `remit check` reports.
//!
//! Deliberately absent: components, which the caller reads (they say which tools there are), and
//! workflows, whose check is `remit-workflow`'s. Their reports are absorbed here.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use remit_domain::TenantId;

use crate::{
    Environment, Host, Sets,
    context::{self, Around},
    contexts::{Folder, TEMPLATE, seal},
    fault::{Fault, Spot},
    located::{File, shown},
    prefixes::Prefixes,
};

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What must be mended, in order of place.
    pub faults: BTreeSet<Fault>,
    /// What may be meant.
    pub warnings: BTreeSet<Fault>,
    /// The files that were read.
    pub files: BTreeSet<String>,
}

impl Report {
    /// Takes in another report.
    pub fn absorb(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.warnings.extend(other.warnings);
        self.files.extend(other.files);
    }
}

/// The tenant that the template is checked as.
const TEMPLATE_TENANT: &str = "newcustomer";

/// The settings of a root: `configs/host.yaml` without a profile, then with each. Those that are at
/// fault are left out and reported.
pub fn settings(root: &Path, env: &Environment) -> (Vec<Host>, Report) {
    let mut report = Report::default();
    let mut hosts = Vec::new();
    let file = Path::new("configs/host.yaml");
    for profile in std::iter::once(None).chain(profiles(root, &mut report).into_iter().map(Some)) {
        report.files.insert(file.display().to_string());
        let patch = profile.as_ref().map(|name| format!("configs/profiles/{name}/host.yaml"));
        report.files.extend(patch.filter(|patch| root.join(patch).exists()));
        match Host::load(root, file, profile.as_deref(), env) {
            Ok(host) => hosts.push(host),
            Err(faults) => report.faults.extend(faults.into_vec()),
        }
    }
    (hosts, report)
}

/// Checks all contexts under one of the settings, and the template.
///
/// `sets` are the tool sets there are: with them, the names of sets and tools are checked. A set that
/// is not among them is a warning, since it may be brought later.
pub fn contexts(host: &Host, env: &Environment, sets: Option<&Sets>) -> Report {
    let mut report = Report::default();
    let folder = match Folder::list(host) {
        Ok(folder) => folder,
        Err(faults) => {
            report.faults.extend(faults.into_vec());
            return report;
        }
    };
    report.faults.extend(folder.stray);
    let template = TenantId::new(TEMPLATE_TENANT).ok();
    let prefixes = Prefixes::new(host, folder.tenants.keys().chain(&template));
    let seal = seal();
    let around = Around { host, env, prefixes: &prefixes, sets, seal: &seal };
    for (tenant, files) in &folder.tenants {
        report.files.extend(files.names());
        let loaded = files.load(tenant, around);
        if let Some(context) = &loaded.context {
            let defined = &context.sources;
            for source in context.ceilings.keys().filter(|source| !defined.contains_key(source.as_str())) {
                let message =
                    format!("`tenants.{tenant}.ceilings` names `{source}`, which its context does not define");
                report.warnings.insert(Fault::new("configs/host.yaml", Spot::START, message));
            }
        }
        report.faults.extend(loaded.faults);
        report.warnings.extend(loaded.warnings);
    }
    let path = host.contexts_dir.join(TEMPLATE);
    if let (Some(tenant), true) = (template, path.exists()) {
        report.files.insert(shown(&host.root, &path));
        match File::read(&host.root, &path) {
            // Its variables are nobody's: that they are not set is no news.
            Ok(file) => report.faults.extend(context::load(&tenant, &file, None, around).faults),
            Err(fault) => drop(report.faults.insert(fault)),
        }
    }
    report
}

fn profiles(root: &Path, report: &mut Report) -> Vec<String> {
    let folder: PathBuf = root.join("configs/profiles");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let message = format!("the folder can't be read: {error}");
            report.faults.insert(Fault::new(shown(root, &folder), Spot::START, message));
            return Vec::new();
        }
    };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
