//! Takes in changed files while the host runs: contexts, profiles, templates and workflows when they change,
//! these and the operator's components on SIGHUP. Whatever changes of contexts and plugins, workflows are checked
//! again.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use remit_config::{Change, Contexts, Fault, Host, Outcome};
use remit_library::Library;
use remit_workflow::{Around, Storing, Workflows};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};

use crate::wire::{App, around, load_plugins, restore};

/// Editors write a file in several steps: what changes within this time is read once.
const SETTLE: Duration = Duration::from_millis(200);

/// Watches until it is dropped.
///
/// Workflows are held against components in a task of their own: what a tenant's component takes its time for holds
/// up nobody's context.
pub(crate) struct Watch {
    _files: RecommendedWatcher,
    _tasks: JoinSet<()>,
}

impl Watch {
    /// Begins to watch. Errors: a folder that can't be watched.
    pub(crate) fn start(app: &App, host: &Host) -> anyhow::Result<Self> {
        let (changed, mut changes) = mpsc::channel(1);
        let mut files = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A full channel means that a change is waiting already, which covers this one.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = changed.try_send(());
            }
        })?;
        files.watch(&host.contexts_dir, RecursiveMode::NonRecursive)?;
        if let Some(profile) = &host.profile {
            files.watch(profile, RecursiveMode::NonRecursive)?;
        }
        // A host without workflows or templates has no folder for them.
        for folder in [&host.workflows_dir, &host.templates_dir].into_iter().filter(|folder| folder.is_dir()) {
            files.watch(folder, RecursiveMode::Recursive)?;
        }
        let mut hangup = signal(SignalKind::hangup())?;
        let workflows = {
            let (workflows, storing) = (app.workflows.clone(), app.storing.clone());
            let (folder, env, around) = (host.workflows_dir.clone(), host.env.clone(), around(&app.catalogue));
            move || reread((workflows.clone(), storing.clone()), folder.clone(), env.clone(), around.clone())
        };
        // What steps of workflows are held against. It may have changed since they were read first.
        let mut components = app.registry.changes();
        components.mark_changed();
        let (contexts, registry, plugins) = (app.contexts.clone(), app.registry.clone(), app.plugins_dir.clone());
        let (library, triggers) = (app.library.clone(), app.triggers.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while components.changed().await.is_ok() {
                tokio::time::sleep(SETTLE).await;
                components.mark_unchanged();
                workflows().await;
                triggers.stir();
            }
        });
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = changes.recv() => {
                        tokio::time::sleep(SETTLE).await;
                        while changes.try_recv().is_ok() {}
                        reload(&contexts).await;
                        restoring(&library);
                        registry.stir();
                    }
                    Some(()) = hangup.recv() => {
                        tracing::info!("SIGHUP: reading contexts and plugins anew");
                        reload(&contexts).await;
                        load_plugins(&registry, Path::new(&plugins)).await;
                        restoring(&library);
                        registry.stir();
                    }
                    else => return,
                }
            }
        });
        Ok(Self { _files: files, _tasks: tasks })
    }
}

/// Beside what else changes: a plugin that is slow to come back holds up no context.
fn restoring(library: &Library) {
    let library = library.clone();
    tokio::spawn(async move { restore(&library).await });
}

async fn reread((workflows, storing): (Workflows, Storing), folder: PathBuf, env: BTreeSet<String>, around: Around) {
    let faults = workflows.shelf().load(&folder, &env, &around).await;
    faults.iter().for_each(|fault| tracing::error!(%fault, "a workflow can't be used"));
    match storing.look(&around).await {
        Ok(faults) => faults.iter().for_each(report_stored),
        Err(error) => {
            tracing::error!(cause = ?std::error::Error::source(&error), "tenants' workflows were not checked: {error}");
        }
    }
}

/// Tells the operator that something about a workflow that a tenant handed in is wrong by now.
fn report_stored(fault: &Fault) {
    tracing::error!(%fault, "a workflow that a tenant handed in no longer fits; it stays in force");
}

async fn reload(contexts: &Arc<Contexts>) {
    let contexts = contexts.clone();
    match tokio::task::spawn_blocking(move || contexts.reload()).await {
        Ok(Ok(changes)) => changes.iter().for_each(report),
        Ok(Err(faults)) => tracing::error!(%faults, "contexts were not read anew; the old ones stay"),
        Err(error) => tracing::error!(%error, "reading contexts broke; the old ones stay"),
    }
}

/// Tells the operator what became of a context's file.
pub(crate) fn report(change: &Change) {
    let file = &change.file;
    for warning in &change.warnings {
        tracing::warn!("{warning}");
    }
    let faults = match &change.outcome {
        Outcome::Added => return tracing::info!(file, "a tenant's context is in force"),
        Outcome::Changed => return tracing::info!(file, "a tenant's changed context is in force"),
        Outcome::Removed => return tracing::info!(file, "a tenant is gone with its file"),
        Outcome::Stale(faults) => {
            tracing::error!(file, "a context is faulty; its last good version stays in force");
            faults
        }
        Outcome::Quarantined(faults) => {
            tracing::error!(file, "a context is faulty; its tenant is out of service");
            faults
        }
        Outcome::Ignored(faults) => {
            tracing::warn!(file, "a file belongs to no tenant");
            faults
        }
    };
    for fault in faults {
        tracing::error!("{fault}");
    }
}
