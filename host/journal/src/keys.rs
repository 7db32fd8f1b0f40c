//! The keys that let people and programs in.
//!
//! Each is looked up when it is presented, in the file itself: a key that another process revokes is
//! dead with the next request. Deliberately absent: what a key may do, and any secret.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use remit_domain::{
    AgentName, TenantId,
    access::{Digest, Key, KeyId, Keys, Role},
    usage::Quotas,
};
use sqlx::{Row as _, sqlite::SqliteRow};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Error, Journal, audit::instant};

const COLUMNS: &str = "SELECT id, digest, tenant, role, agents, label, created, expires, revoked, quotas FROM keys";

#[async_trait]
impl Keys for Journal {
    async fn add(&self, key: &Key, digest: &Digest) -> Result<(), remit_domain::Error> {
        let agents = key.agents.as_ref().map(serde_json::to_string).transpose();
        let quotas = (key.quotas != Quotas::NONE).then(|| serde_json::to_string(&key.quotas.written())).transpose();
        sqlx::query(
            "INSERT INTO keys (id, digest, tenant, role, agents, label, created, expires, revoked, quotas)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(key.id.as_str())
        .bind(digest.as_bytes().as_slice())
        .bind(key.tenant.as_ref().map(TenantId::as_str))
        .bind(key.role.as_str())
        .bind(agents.map_err(|cause| Error::Record(cause).into_domain())?)
        .bind(key.label.as_deref())
        .bind(instant(key.created))
        .bind(key.expires.map(instant))
        .bind(key.revoked.map(instant))
        .bind(quotas.map_err(|cause| Error::Record(cause).into_domain())?)
        .execute(&self.lasting)
        .await
        .map(drop)
        .map_err(|cause| Error::Write(cause).into_domain())
    }

    async fn find(&self, id: &KeyId) -> Result<Option<(Key, Digest)>, remit_domain::Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = ?")))
            .bind(id.as_str())
            .fetch_optional(&self.doors)
            .await
            .map_err(|cause| Error::Read(cause).into_domain())?;
        row.as_ref().map(read).transpose()
    }

    async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<Key>, remit_domain::Error> {
        let text = format!("{COLUMNS} WHERE ?1 IS NULL OR tenant = ?1 ORDER BY created DESC, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(tenant.map(TenantId::as_str))
            .fetch_all(&self.readers)
            .await
            .map_err(|cause| Error::Read(cause).into_domain())?;
        rows.iter().map(|row| read(row).map(|(key, _)| key)).collect()
    }

    async fn revoke(
        &self,
        tenant: Option<&TenantId>,
        id: &KeyId,
        at: OffsetDateTime,
    ) -> Result<bool, remit_domain::Error> {
        let done = sqlx::query(
            "UPDATE keys SET revoked = ?1 WHERE id = ?2 AND revoked IS NULL AND (?3 IS NULL OR tenant = ?3)",
        )
        .bind(instant(at))
        .bind(id.as_str())
        .bind(tenant.map(TenantId::as_str))
        .execute(&self.lasting)
        .await
        .map_err(|cause| Error::Write(cause).into_domain())?;
        Ok(done.rows_affected() > 0)
    }

    async fn any(&self) -> Result<bool, remit_domain::Error> {
        let found: i64 = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM keys)")
            .fetch_one(&self.readers)
            .await
            .map_err(|cause| Error::Read(cause).into_domain())?;
        Ok(found != 0)
    }
}

/// A row as the domain has it. What no host writes is refused: a key that can't be read lets nobody in.
fn read(row: &SqliteRow) -> Result<(Key, Digest), remit_domain::Error> {
    let fields = || -> Result<_, sqlx::Error> {
        let texts: [Option<String>; 7] = [
            row.try_get("tenant")?,
            row.try_get("agents")?,
            row.try_get("label")?,
            row.try_get("created")?,
            row.try_get("expires")?,
            row.try_get("revoked")?,
            row.try_get("quotas")?,
        ];
        Ok((row.try_get::<String, _>("id")?, row.try_get::<Vec<u8>, _>("digest")?, row.try_get("role")?, texts))
    };
    let (id, digest, role, [tenant, agents, label, created, expires, revoked, quotas]): (_, _, String, _) =
        fields().map_err(|cause| Error::Read(cause).into_domain())?;
    let key = || {
        Some(Key {
            id: KeyId::new(&id)?,
            tenant: tenant.as_deref().map(TenantId::new).transpose().ok()?,
            role: Role::of(&role)?,
            agents: optional(agents.as_deref(), names)?,
            label,
            created: moment(created.as_deref()?)?,
            expires: optional(expires.as_deref(), moment)?,
            revoked: optional(revoked.as_deref(), moment)?,
            quotas: optional(quotas.as_deref(), bounds)?.unwrap_or(Quotas::NONE),
        })
    };
    match (key(), <[u8; 32]>::try_from(digest)) {
        (Some(key), Ok(digest)) => Ok((key, Digest::new(digest))),
        _ => Err(remit_domain::Error::Journal(format!("the key {id} is kept in a form that no host writes").into())),
    }
}

/// What may be absent, and is refused if it is there and can't be read.
fn optional<T>(text: Option<&str>, read: fn(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        Some(text) => read(text).map(Some),
        None => Some(None),
    }
}

fn names(json: &str) -> Option<BTreeSet<AgentName>> {
    let names: Vec<String> = serde_json::from_str(json).ok()?;
    names.iter().map(|name| AgentName::new(name)).collect::<Result<_, _>>().ok()
}

fn bounds(json: &str) -> Option<Quotas> {
    let bounds: BTreeMap<String, u64> = serde_json::from_str(json).ok()?;
    Quotas::read(bounds).ok()
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests;
