//! Which files below the host's `stateDir` a tenant's sources may be: those in a folder of the tenant's
//! own name. What the host keeps there for itself, and what other tenants keep there, is none of theirs.
//!
//! The deepest folder that is called as a tenant owns: `demo/techstart/primary.db` is `techstart`'s,
//! although there may be a tenant `demo`. Case does not tell folders apart, as on some disks it doesn't.
//!
//! Deliberately absent: where links lead. Who can put a link into the state folder is the operator.

use std::path::{Component, Path, PathBuf};

use remit_domain::TenantId;

use crate::{Host, prefixes::Prefixes};

/// The folders of the state folder that are the host's.
const HOSTS_OWN: [&str; 2] = ["cache", "secrets"];

/// Why a path is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub message: String,
    pub hint: String,
}

/// The file or folder that a tenant's path means. Errors: [`Refusal`].
pub(super) fn place(host: &Host, tenants: &Prefixes, tenant: &TenantId, text: &str) -> Result<PathBuf, Refusal> {
    let parts = Path::new(text).components().map(|part| match part {
        Component::Normal(part) => part.to_str(),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    });
    let parts: Vec<&str> = parts.collect::<Option<_>>().unwrap_or_default();
    let Some((last, folders)) = parts.split_last() else {
        return Err(Refusal {
            message: "the path leaves the host's `stateDir`".to_owned(),
            hint: "give a path below it, without `..`".to_owned(),
        });
    };
    let refuse = |message: String| {
        let hint = format!("a tenant's files lie in a folder of its name, such as `{tenant}/{last}`");
        Err(Refusal { message, hint })
    };
    if let Some(own) = HOSTS_OWN.iter().find(|own| parts.first().is_some_and(|first| first.eq_ignore_ascii_case(own))) {
        return refuse(format!("`{own}/` is the host's own"));
    }
    let place = host.state_dir.join(parts.iter().collect::<PathBuf>());
    if is_journal(host, &place) {
        return Err(Refusal {
            message: "the file is the host's journal".to_owned(),
            hint: format!("give a file of the tenant's own, such as `{tenant}/primary.db`"),
        });
    }
    match folders.iter().rev().find(|folder| tenants.knows(folder)) {
        Some(owner) if owner.eq_ignore_ascii_case(tenant.as_str()) => Ok(place),
        Some(other) => refuse(format!("the path lies in the folder of tenant {}", other.to_ascii_lowercase())),
        None => refuse(format!("no folder of the path is called `{tenant}`")),
    }
}

/// Whether a file is the journal or one of those that SQLite keeps beside it, such as `remit.db-wal`.
fn is_journal(host: &Host, place: &Path) -> bool {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_ascii_lowercase);
    let (Some(journal), Some(own)) = (name(&host.journal), name(place)) else { return false };
    host.journal.parent() == place.parent() && own.starts_with(&journal)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn host_and_tenants(journal: Option<&str>) -> Result<(Host, Prefixes), Box<dyn std::error::Error>> {
        let mut host = crate::host::tests::host()?;
        if let Some(journal) = journal {
            host.journal = host.state_dir.join(journal);
        }
        let tenants =
            ["techstart", "acme", "demo", "cache"].map(TenantId::new).into_iter().collect::<Result<Vec<_>, _>>()?;
        let prefixes = Prefixes::new(&host, &tenants);
        Ok((host, prefixes))
    }

    #[test]
    fn a_tenants_files_lie_in_a_folder_of_its_name() -> Outcome {
        let (host, tenants) = host_and_tenants(None)?;
        let check = |tenant: &str, path: &str| -> Result<String, remit_domain::InvalidName> {
            Ok(match place(&host, &tenants, &TenantId::new(tenant)?, path) {
                Ok(place) => place.strip_prefix(&host.state_dir).unwrap_or(&place).display().to_string(),
                Err(refusal) => refusal.message,
            })
        };
        for (tenant, path, expect) in [
            ("techstart", "techstart/primary.db", "techstart/primary.db"),
            ("techstart", "demo/techstart/./a/primary.db", "demo/techstart/a/primary.db"),
            ("techstart", "techstart/remit.db", "techstart/remit.db"),
            ("cache", "data/cache/a.db", "data/cache/a.db"),
            ("demo", "demo/techstart/primary.db", "the path lies in the folder of tenant techstart"),
            ("demo", "demo/TechStart/primary.db", "the path lies in the folder of tenant techstart"),
            ("techstart", "acme/primary.db", "the path lies in the folder of tenant acme"),
            ("techstart", "techstart/acme/primary.db", "the path lies in the folder of tenant acme"),
            ("techstart", "primary.db", "no folder of the path is called `techstart`"),
            ("techstart", "techstart", "no folder of the path is called `techstart`"),
            ("techstart", "techstart2/a.db", "no folder of the path is called `techstart`"),
            ("techstart", "remit.db", "the file is the host's journal"),
            ("techstart", "Remit.db-wal", "the file is the host's journal"),
            ("techstart", "cache/techstart/a.db", "`cache/` is the host's own"),
            ("cache", "cache/a.db", "`cache/` is the host's own"),
            ("techstart", "Secrets/techstart/code-cache.key", "`secrets/` is the host's own"),
            ("techstart", "techstart/../remit.db", "the path leaves the host's `stateDir`"),
            ("techstart", "../techstart/a.db", "the path leaves the host's `stateDir`"),
            ("techstart", "/techstart/a.db", "the path leaves the host's `stateDir`"),
            ("techstart", "./techstart/a.db", "the path leaves the host's `stateDir`"),
            ("techstart", "", "the path leaves the host's `stateDir`"),
        ] {
            assert_eq!(check(tenant, path)?, expect, "{tenant}: {path}");
        }
        Ok(())
    }

    #[test]
    fn a_journal_in_a_tenants_folder_is_the_hosts_all_the_same() -> Outcome {
        let (host, tenants) = host_and_tenants(Some("techstart/journal.db"))?;
        let tenant = TenantId::new("techstart")?;
        for path in ["techstart/journal.db", "techstart/journal.db-shm"] {
            let expected = Refusal {
                message: "the file is the host's journal".to_owned(),
                hint: "give a file of the tenant's own, such as `techstart/primary.db`".to_owned(),
            };
            assert_eq!(place(&host, &tenants, &tenant, path), Err(expected));
        }
        assert!(place(&host, &tenants, &tenant, "techstart/primary.db").is_ok());
        Ok(())
    }
}
