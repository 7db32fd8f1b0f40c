//! The record of tenants' plugins: their versions, and which of them is active.
//!
//! Every change is one transaction that is synchronised to the disk before it is acknowledged: after a
//! crash there is the state before it or the one after it. Deliberately absent: the components' bytes.

use async_trait::async_trait;
use remit_domain::{
    InUse, PluginName, TenantId,
    library::{Digest, Switch, Upload, Version, Versions},
};
use sqlx::{Row as _, Sqlite, SqliteConnection, Transaction, sqlite::SqliteRow};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Error, Journal, audit::instant};

const VERSIONS: &str = "SELECT v.*, p.active IS v.number AS serves FROM versions AS v
     JOIN plugins AS p ON p.tenant = v.tenant AND p.plugin = v.plugin";

impl Journal {
    async fn change(&self) -> Result<Transaction<'static, Sqlite>, remit_domain::Error> {
        // At once for writing: one that reads first and writes later could not wait for another.
        self.lasting.begin_with("BEGIN IMMEDIATE").await.map_err(unwritten)
    }
}

#[async_trait]
impl Versions for Journal {
    async fn add(&self, upload: &Upload) -> Result<(Version, bool), remit_domain::Error> {
        let offers = serde_json::to_string(&upload.offers).map_err(|cause| Error::Record(cause).into_domain())?;
        let mut change = self.change().await?;
        if let Some(mut version) = same(&mut change, upload).await? {
            // A signature that comes later is worth keeping; the version stays what it was.
            if upload.signer.is_some() && version.upload.signer != upload.signer {
                sign(&mut change, &version, upload.signer.as_deref()).await?;
                change.commit().await.map_err(unwritten)?;
                version.upload.signer.clone_from(&upload.signer);
            }
            return Ok((version, false));
        }
        let number: u32 = sqlx::query_scalar(
            "INSERT INTO plugins (tenant, plugin, last) VALUES (?, ?, 1)
             ON CONFLICT (tenant, plugin) DO UPDATE SET last = last + 1 RETURNING last",
        )
        .bind(upload.tenant.as_str())
        .bind(upload.plugin.as_str())
        .fetch_one(&mut *change)
        .await
        .map_err(unwritten)?;
        sqlx::query(
            "INSERT INTO versions (tenant, plugin, number, digest, bytes, says, at, by, signer, offers)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(upload.tenant.as_str())
        .bind(upload.plugin.as_str())
        .bind(number)
        .bind(upload.digest.as_str())
        .bind(i64::try_from(upload.bytes).unwrap_or(i64::MAX))
        .bind(upload.says.as_str())
        .bind(instant(upload.at))
        .bind(upload.by.as_str())
        .bind(upload.signer.as_deref())
        .bind(offers)
        .execute(&mut *change)
        .await
        .map_err(unwritten)?;
        change.commit().await.map_err(unwritten)?;
        Ok((Version { number, active: false, upload: upload.clone() }, true))
    }

    async fn list(
        &self,
        tenant: Option<&TenantId>,
        plugin: Option<&PluginName>,
    ) -> Result<Vec<Version>, remit_domain::Error> {
        let text = format!(
            "{VERSIONS} WHERE (?1 IS NULL OR v.tenant = ?1) AND (?2 IS NULL OR v.plugin = ?2)
             ORDER BY v.tenant, v.plugin, v.number DESC"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(tenant.map(TenantId::as_str))
            .bind(plugin.map(PluginName::as_str))
            .fetch_all(&self.readers)
            .await
            .map_err(|cause| Error::Read(cause).into_domain())?;
        rows.iter().map(read).collect()
    }

    async fn activate(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        number: Option<u32>,
        at: OffsetDateTime,
    ) -> Result<Switch, remit_domain::Error> {
        let mut change = self.change().await?;
        let from = active(&mut change, tenant, plugin).await?;
        let missing = || remit_domain::Error::UnknownVersion { plugin: plugin.to_string(), number };
        let from = from.ok_or_else(missing)?;
        if let Some(number) = number {
            digest(&mut change, tenant, plugin, number).await?.ok_or_else(missing)?;
        }
        let switch = Switch { from, to: number };
        if from == number {
            return Ok(switch);
        }
        sqlx::query("UPDATE plugins SET active = ?3 WHERE tenant = ?1 AND plugin = ?2")
            .bind(tenant.as_str())
            .bind(plugin.as_str())
            .bind(number)
            .execute(&mut *change)
            .await
            .map_err(unwritten)?;
        sqlx::query("INSERT INTO activations (tenant, plugin, number, at) VALUES (?, ?, ?, ?)")
            .bind(tenant.as_str())
            .bind(plugin.as_str())
            .bind(number)
            .bind(instant(at))
            .execute(&mut *change)
            .await
            .map_err(unwritten)?;
        // As far back as anybody goes.
        sqlx::query(
            "DELETE FROM activations WHERE tenant = ?1 AND plugin = ?2 AND seq NOT IN
             (SELECT seq FROM activations WHERE tenant = ?1 AND plugin = ?2 ORDER BY seq DESC LIMIT 100)",
        )
        .bind(tenant.as_str())
        .bind(plugin.as_str())
        .execute(&mut *change)
        .await
        .map_err(unwritten)?;
        change.commit().await.map_err(unwritten)?;
        Ok(switch)
    }

    async fn before(&self, tenant: &TenantId, plugin: &PluginName) -> Result<Option<u32>, remit_domain::Error> {
        sqlx::query_scalar(
            "SELECT a.number FROM activations AS a
             JOIN plugins AS p ON p.tenant = a.tenant AND p.plugin = a.plugin
             JOIN versions AS v ON v.tenant = a.tenant AND v.plugin = a.plugin AND v.number = a.number
             WHERE a.tenant = ? AND a.plugin = ? AND a.number IS NOT p.active
             ORDER BY a.seq DESC LIMIT 1",
        )
        .bind(tenant.as_str())
        .bind(plugin.as_str())
        .fetch_optional(&self.readers)
        .await
        .map_err(|cause| Error::Read(cause).into_domain())
    }

    async fn names(&self, digest: &Digest) -> Result<bool, remit_domain::Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM versions WHERE digest = ?)")
            .bind(digest.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(|cause| Error::Read(cause).into_domain())
    }

    async fn in_use(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        number: u32,
    ) -> Result<Option<InUse>, remit_domain::Error> {
        let mut reader = self.readers.acquire().await.map_err(|cause| Error::Read(cause).into_domain())?;
        let missing = || remit_domain::Error::UnknownVersion { plugin: plugin.to_string(), number: Some(number) };
        let digest = digest(&mut reader, tenant, plugin, number).await?.ok_or_else(missing)?;
        used(&mut reader, tenant, plugin, number, &digest).await
    }

    async fn remove(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        number: u32,
    ) -> Result<Option<Digest>, remit_domain::Error> {
        let mut change = self.change().await?;
        let missing = || remit_domain::Error::UnknownVersion { plugin: plugin.to_string(), number: Some(number) };
        let digest = digest(&mut change, tenant, plugin, number).await?.ok_or_else(missing)?;
        if let Some(by) = used(&mut change, tenant, plugin, number, &digest).await? {
            return Err(remit_domain::Error::VersionInUse { plugin: plugin.clone(), number, by });
        }
        sqlx::query("DELETE FROM versions WHERE tenant = ? AND plugin = ? AND number = ?")
            .bind(tenant.as_str())
            .bind(plugin.as_str())
            .bind(number)
            .execute(&mut *change)
            .await
            .map_err(unwritten)?;
        let others: i64 = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM versions WHERE digest = ?)")
            .bind(digest.as_str())
            .fetch_one(&mut *change)
            .await
            .map_err(unwritten)?;
        change.commit().await.map_err(unwritten)?;
        Ok((others == 0).then_some(digest))
    }
}

/// The version that these bytes are already.
async fn same(change: &mut SqliteConnection, upload: &Upload) -> Result<Option<Version>, remit_domain::Error> {
    let text = format!("{VERSIONS} WHERE v.tenant = ? AND v.plugin = ? AND v.digest = ?");
    let row = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(upload.tenant.as_str())
        .bind(upload.plugin.as_str())
        .bind(upload.digest.as_str())
        .fetch_optional(change)
        .await
        .map_err(unwritten)?;
    row.as_ref().map(read).transpose()
}

async fn sign(
    change: &mut SqliteConnection,
    version: &Version,
    signer: Option<&str>,
) -> Result<(), remit_domain::Error> {
    sqlx::query("UPDATE versions SET signer = ?4 WHERE tenant = ?1 AND plugin = ?2 AND number = ?3")
        .bind(version.upload.tenant.as_str())
        .bind(version.upload.plugin.as_str())
        .bind(version.number)
        .bind(signer)
        .execute(change)
        .await
        .map_err(unwritten)?;
    Ok(())
}

/// The active version; the outer `None` if there is no such plugin.
async fn active(
    change: &mut SqliteConnection,
    tenant: &TenantId,
    plugin: &PluginName,
) -> Result<Option<Option<u32>>, remit_domain::Error> {
    sqlx::query_scalar("SELECT active FROM plugins WHERE tenant = ? AND plugin = ?")
        .bind(tenant.as_str())
        .bind(plugin.as_str())
        .fetch_optional(change)
        .await
        .map_err(unwritten)
}

async fn digest(
    change: &mut SqliteConnection,
    tenant: &TenantId,
    plugin: &PluginName,
    number: u32,
) -> Result<Option<Digest>, remit_domain::Error> {
    let text: Option<String> =
        sqlx::query_scalar("SELECT digest FROM versions WHERE tenant = ? AND plugin = ? AND number = ?")
            .bind(tenant.as_str())
            .bind(plugin.as_str())
            .bind(number)
            .fetch_optional(change)
            .await
            .map_err(unwritten)?;
    text.map(|text| Digest::new(&text).ok_or_else(|| foreign(plugin.as_str()))).transpose()
}

/// What keeps a version from being removed: that it serves, or that a run that goes on, or may again, began
/// with it.
async fn used(
    change: &mut SqliteConnection,
    tenant: &TenantId,
    plugin: &PluginName,
    number: u32,
    digest: &Digest,
) -> Result<Option<InUse>, remit_domain::Error> {
    if active(change, tenant, plugin).await? == Some(Some(number)) {
        return Ok(Some(InUse::Active));
    }
    let pinned: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM runs AS r, json_each(r.pins) AS pin
         WHERE r.tenant = ? AND r.status IN ('running', 'interrupted') AND pin.value = ?)",
    )
    .bind(tenant.as_str())
    .bind(format!("{plugin}@{digest}"))
    .fetch_one(change)
    .await
    .map_err(unwritten)?;
    Ok(pinned.then_some(InUse::Pinned))
}

/// A row as the domain has it. What no host writes is refused.
fn read(row: &SqliteRow) -> Result<Version, remit_domain::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let fields = || -> Result<_, sqlx::Error> {
        Ok((
            [text("tenant")?, text("plugin")?, text("digest")?, text("at")?, text("offers")?],
            (text("says")?, text("by")?, row.try_get::<Option<String>, _>("signer")?),
            (row.try_get::<u32, _>("number")?, row.try_get::<i64, _>("bytes")?, row.try_get::<bool, _>("serves")?),
        ))
    };
    let ([tenant, plugin, digest, at, offers], (says, by, signer), (number, bytes, active)) =
        fields().map_err(|cause| Error::Read(cause).into_domain())?;
    let version = || {
        let upload = Upload {
            tenant: TenantId::new(&tenant).ok()?,
            plugin: PluginName::new(&plugin).ok()?,
            digest: Digest::new(&digest)?,
            bytes: u64::try_from(bytes).ok()?,
            says,
            at: OffsetDateTime::parse(&at, &Rfc3339).ok()?,
            by,
            signer,
            offers: serde_json::from_str(&offers).ok()?,
        };
        Some(Version { number, active, upload })
    };
    version().ok_or_else(|| foreign(&plugin))
}

fn foreign(plugin: &str) -> remit_domain::Error {
    remit_domain::Error::Journal(format!("the plugin {plugin} is kept in a form that no host writes").into())
}

fn unwritten(cause: sqlx::Error) -> remit_domain::Error {
    Error::Write(cause).into_domain()
}

#[cfg(test)]
mod tests;
