//! Takes in changed files while the host runs: contexts, profiles and workflows when they change, these and
//! the operator's components on SIGHUP.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use remit_config::{Change, Contexts, Host, Outcome};
use remit_library::Library;
use remit_workflow::Workflows;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::wire::{App, load_plugins, restore};

/// Editors write a file in several steps: what changes within this time is read once.
const SETTLE: Duration = Duration::from_millis(200);

/// Watches until it is dropped.
pub(crate) struct Watch {
    _files: RecommendedWatcher,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
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
        // A host without workflows has no folder for them.
        if host.workflows_dir.is_dir() {
            files.watch(&host.workflows_dir, RecursiveMode::Recursive)?;
        }
        let mut hangup = signal(SignalKind::hangup())?;
        let workflows = {
            let (workflows, folder, env) = (app.workflows.clone(), host.workflows_dir.clone(), host.env.clone());
            move || reread(workflows.clone(), folder.clone(), env.clone())
        };
        let (contexts, registry, plugins) = (app.contexts.clone(), app.registry.clone(), app.plugins_dir.clone());
        let (library, triggers) = (app.library.clone(), app.triggers.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = changes.recv() => {
                        tokio::time::sleep(SETTLE).await;
                        while changes.try_recv().is_ok() {}
                        reload(&contexts).await;
                        workflows().await;
                        triggers.stir();
                        restoring(&library);
                        registry.stir();
                    }
                    Some(()) = hangup.recv() => {
                        tracing::info!("SIGHUP: reading contexts and plugins anew");
                        reload(&contexts).await;
                        workflows().await;
                        triggers.stir();
                        load_plugins(&registry, Path::new(&plugins)).await;
                        restoring(&library);
                        registry.stir();
                    }
                    else => return,
                }
            }
        });
        Ok(Self { _files: files, task })
    }
}

/// Beside what else changes: a plugin that is slow to come back holds up no context.
fn restoring(library: &Library) {
    let library = library.clone();
    tokio::spawn(async move { restore(&library).await });
}

async fn reread(workflows: Workflows, folder: PathBuf, env: BTreeSet<String>) {
    let reading = tokio::task::spawn_blocking(move || workflows.shelf().load(&folder, &env));
    match reading.await {
        Ok(faults) => faults.iter().for_each(|fault| tracing::error!(%fault, "a workflow can't be used")),
        Err(error) => tracing::error!(%error, "reading workflows broke; the old ones stay"),
    }
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
