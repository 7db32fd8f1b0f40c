//! What runs leave: how much it is, and its removal, piece by piece, so that whoever writes meanwhile waits for
//! a piece at most.
//!
//! Deliberately absent: what lies outside of the journal, and when a run goes.

use async_trait::async_trait;
use remit_domain::{TenantId, execution::RunId, history::History, library::Digest};
use time::OffsetDateTime;

use crate::{
    Error, Journal,
    executions::{WEIGHT, unread, unwritten},
};

/// A run that goes: what depends on its bytes is counted by the schema, and its key is free again.
const MARK: &str = "UPDATE runs SET gone = 1, key = NULL, bytes = 0 WHERE gone = 0";

#[async_trait]
impl History for Journal {
    async fn kept(&self, tenant: &TenantId) -> Result<u64, remit_domain::Error> {
        let bytes: Option<i64> = sqlx::query_scalar("SELECT bytes FROM kept WHERE tenant = ?")
            .bind(tenant.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unread)?;
        Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }

    async fn weight(&self, run: &RunId) -> Result<u64, remit_domain::Error> {
        let bytes: Option<i64> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {WEIGHT} FROM runs WHERE id = ?")))
                .bind(run.as_str())
                .fetch_optional(&self.readers)
                .await
                .map_err(unread)?;
        Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }

    async fn discard(&self, tenant: &TenantId, run: &RunId) -> Result<bool, remit_domain::Error> {
        let statement = format!("{MARK} AND tenant = ? AND id = ? AND status <> 'running'");
        let marked = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(tenant.as_str())
            .bind(run.as_str())
            .execute(&self.lasting)
            .await
            .map_err(unwritten)?;
        Ok(marked.rows_affected() > 0)
    }

    async fn expire(
        &self,
        tenant: &TenantId,
        before: OffsetDateTime,
        keep: u64,
        most: usize,
    ) -> Result<usize, remit_domain::Error> {
        let runs: Option<i64> = sqlx::query_scalar("SELECT runs FROM kept WHERE tenant = ?")
            .bind(tenant.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unread)?;
        let beyond = runs.unwrap_or(0).unsigned_abs().saturating_sub(keep);
        let beyond = usize::try_from(beyond).unwrap_or(usize::MAX);
        let (before, oldest) = (RunId::at(before), self.oldest_runs(tenant, most).await?);
        let due = oldest.iter().enumerate().filter(|(at, id)| *at < beyond || id.as_str() < before.as_str());
        let due: Vec<&String> = due.map(|(_, id)| id).collect();
        if due.is_empty() {
            return Ok(0);
        }
        let listed = serde_json::to_string(&due).map_err(|cause| Error::Record(cause).into_domain())?;
        // Looked at once more: one that was interrupted may go on by now.
        let statement =
            format!("{MARK} AND id IN (SELECT value FROM json_each(?)) AND status NOT IN ('running', 'interrupted')");
        let marked =
            sqlx::query(sqlx::AssertSqlSafe(statement)).bind(listed).execute(&self.lasting).await.map_err(unwritten)?;
        Ok(usize::try_from(marked.rows_affected()).unwrap_or(usize::MAX))
    }

    async fn doomed(&self, most: usize) -> Result<Vec<Digest>, remit_domain::Error> {
        let texts: Vec<String> = sqlx::query_scalar(
            "SELECT o.digest FROM runs AS r CROSS JOIN outputs AS o ON o.run = r.id WHERE r.gone = 1 LIMIT ?",
        )
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(unread)?;
        Ok(texts.iter().filter_map(|text| Digest::new(text)).collect())
    }

    async fn sweep(&self, gone: &[Digest], most: usize) -> Result<bool, remit_domain::Error> {
        let mut change = self.lasting.begin_with("BEGIN IMMEDIATE").await.map_err(unwritten)?;
        let listed = serde_json::to_string(gone).map_err(|cause| Error::Record(cause).into_domain())?;
        if !gone.is_empty() {
            sqlx::query("DELETE FROM outputs WHERE digest IN (SELECT value FROM json_each(?))")
                .bind(listed)
                .execute(&mut *change)
                .await
                .map_err(unwritten)?;
        }
        // Those whose large outputs are still there come later.
        let next: Option<(String, String, String)> = sqlx::query_as(
            "SELECT id, tenant, digest FROM runs
             WHERE gone = 1 AND NOT EXISTS (SELECT 1 FROM outputs WHERE run = runs.id) ORDER BY id LIMIT 1",
        )
        .fetch_optional(&mut *change)
        .await
        .map_err(unwritten)?;
        if let Some((run, tenant, digest)) = &next {
            let pieces =
                sqlx::query("DELETE FROM entries WHERE seq IN (SELECT seq FROM entries WHERE run = ? LIMIT ?)")
                    .bind(run)
                    .bind(i64::try_from(most).unwrap_or(i64::MAX))
                    .execute(&mut *change)
                    .await
                    .map_err(unwritten)?;
            if usize::try_from(pieces.rows_affected()).unwrap_or(usize::MAX) < most {
                sqlx::query("DELETE FROM runs WHERE id = ?")
                    .bind(run)
                    .execute(&mut *change)
                    .await
                    .map_err(unwritten)?;
                sqlx::query(
                    "DELETE FROM definitions WHERE tenant = ?1 AND digest = ?2
                     AND NOT EXISTS (SELECT 1 FROM runs WHERE tenant = ?1 AND digest = ?2)",
                )
                .bind(tenant)
                .bind(digest)
                .execute(&mut *change)
                .await
                .map_err(unwritten)?;
            }
        }
        change.commit().await.map_err(unwritten)?;
        Ok(next.is_some())
    }

    async fn names(&self, output: &Digest) -> Result<bool, remit_domain::Error> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM outputs WHERE digest = ?")
            .bind(output.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unread)?;
        Ok(found.is_some())
    }
}

impl Journal {
    /// The oldest of a tenant's runs that have ended and wait for nobody.
    async fn oldest_runs(&self, tenant: &TenantId, most: usize) -> Result<Vec<String>, remit_domain::Error> {
        sqlx::query_scalar(
            "SELECT id FROM runs WHERE tenant = ? AND gone = 0 AND status NOT IN ('running', 'interrupted')
             ORDER BY id LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(unread)
    }
}

#[cfg(test)]
mod tests;
