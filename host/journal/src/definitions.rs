//! The definitions of workflows that tenants store, how triggers stand, and what came to webhooks.
//!
//! Every change is one transaction that is synchronised before it is acknowledged. Deliberately absent: what
//! a definition means.

use async_trait::async_trait;
use remit_domain::{
    TenantId,
    execution::RunId,
    workflows::{Bounds, Definition, Definitions, Delivery, Stored, Trigger, TriggerKey, Version},
};
use sqlx::{Row as _, Sqlite, Transaction, sqlite::SqliteRow};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Error, Journal, audit::instant};

impl Journal {
    async fn altering(&self) -> Result<Transaction<'static, Sqlite>, remit_domain::Error> {
        self.lasting.begin_with("BEGIN IMMEDIATE").await.map_err(unwritten)
    }
}

#[async_trait]
impl Definitions for Journal {
    async fn store(&self, definition: &Definition, bounds: Bounds) -> Result<Stored, remit_domain::Error> {
        let (tenant, name) = (definition.tenant.as_str(), definition.name.as_str());
        let mut change = self.altering().await?;
        let newest =
            sqlx::query("SELECT * FROM workflow_versions WHERE tenant = ? AND name = ? ORDER BY number DESC LIMIT 1")
                .bind(tenant)
                .bind(name)
                .fetch_optional(&mut *change)
                .await
                .map_err(unwritten)?;
        match newest.as_ref().map(version).transpose()? {
            Some(newest) if newest.definition.source == definition.source => return Ok(Stored::Same(newest)),
            Some(_) => {}
            None => {
                let names: i64 =
                    sqlx::query_scalar("SELECT count(DISTINCT name) FROM workflow_versions WHERE tenant = ?")
                        .bind(tenant)
                        .fetch_one(&mut *change)
                        .await
                        .map_err(unwritten)?;
                if names >= i64::from(bounds.names) {
                    return Ok(Stored::Full);
                }
            }
        }
        let number: u32 = sqlx::query_scalar(
            "INSERT INTO workflows (tenant, name, last) VALUES (?, ?, 1)
             ON CONFLICT (tenant, name) DO UPDATE SET last = last + 1 RETURNING last",
        )
        .bind(tenant)
        .bind(name)
        .fetch_one(&mut *change)
        .await
        .map_err(unwritten)?;
        sqlx::query(
            "INSERT INTO workflow_versions (tenant, name, number, digest, source, file, at, by)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(tenant)
        .bind(name)
        .bind(number)
        .bind(&definition.digest)
        .bind(&definition.source)
        .bind(&definition.file)
        .bind(instant(definition.at))
        .bind(&definition.by)
        .execute(&mut *change)
        .await
        .map_err(unwritten)?;
        sqlx::query(
            "DELETE FROM workflow_versions WHERE tenant = ?1 AND name = ?2 AND number NOT IN
             (SELECT number FROM workflow_versions WHERE tenant = ?1 AND name = ?2 ORDER BY number DESC LIMIT ?3)",
        )
        .bind(tenant)
        .bind(name)
        .bind(bounds.versions.max(1))
        .execute(&mut *change)
        .await
        .map_err(unwritten)?;
        change.commit().await.map_err(unwritten)?;
        Ok(Stored::New(Version { number, definition: definition.clone() }))
    }

    async fn versions(&self, tenant: &TenantId, name: &str) -> Result<Vec<Version>, remit_domain::Error> {
        let rows = sqlx::query("SELECT * FROM workflow_versions WHERE tenant = ? AND name = ? ORDER BY number DESC")
            .bind(tenant.as_str())
            .bind(name)
            .fetch_all(&self.readers)
            .await
            .map_err(unread)?;
        rows.iter().map(version).collect()
    }

    async fn newest(&self, tenant: Option<&TenantId>) -> Result<Vec<Version>, remit_domain::Error> {
        let rows = sqlx::query(
            "SELECT v.* FROM workflow_versions AS v WHERE (?1 IS NULL OR v.tenant = ?1) AND v.number =
             (SELECT max(number) FROM workflow_versions WHERE tenant = v.tenant AND name = v.name)
             ORDER BY v.tenant, v.name",
        )
        .bind(tenant.map(TenantId::as_str))
        .fetch_all(&self.readers)
        .await
        .map_err(unread)?;
        rows.iter().map(version).collect()
    }

    async fn remove(
        &self,
        tenant: &TenantId,
        name: &str,
        number: Option<u32>,
    ) -> Result<Vec<u32>, remit_domain::Error> {
        let mut change = self.altering().await?;
        let mut removed: Vec<u32> = sqlx::query_scalar(
            "DELETE FROM workflow_versions WHERE tenant = ?1 AND name = ?2 AND (?3 IS NULL OR number = ?3)
             RETURNING number",
        )
        .bind(tenant.as_str())
        .bind(name)
        .bind(number)
        .fetch_all(&mut *change)
        .await
        .map_err(unwritten)?;
        change.commit().await.map_err(unwritten)?;
        removed.sort_unstable();
        Ok(removed)
    }

    async fn triggers(&self) -> Result<Vec<Trigger>, remit_domain::Error> {
        let rows = sqlx::query("SELECT * FROM triggers").fetch_all(&self.readers).await.map_err(unread)?;
        rows.iter().map(trigger).collect()
    }

    async fn keep_trigger(&self, trigger: &Trigger) -> Result<(), remit_domain::Error> {
        let mut change = self.altering().await?;
        sqlx::query(
            "INSERT INTO triggers (tenant, workflow, name, rule, paused, handled, due, last, run, problem)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (tenant, workflow, name) DO UPDATE SET rule = excluded.rule, paused = excluded.paused,
                handled = excluded.handled, due = excluded.due, last = excluded.last, run = excluded.run,
                problem = excluded.problem",
        )
        .bind(trigger.key.tenant.as_str())
        .bind(&trigger.key.workflow)
        .bind(&trigger.key.trigger)
        .bind(&trigger.rule)
        .bind(trigger.paused)
        .bind(instant(trigger.handled))
        .bind(trigger.due.map(instant))
        .bind(trigger.last.map(instant))
        .bind(trigger.run.as_ref().map(RunId::as_str))
        .bind(&trigger.problem)
        .execute(&mut *change)
        .await
        .map_err(unwritten)?;
        change.commit().await.map_err(unwritten)
    }

    async fn forget_trigger(&self, key: &TriggerKey) -> Result<(), remit_domain::Error> {
        let mut change = self.altering().await?;
        sqlx::query("DELETE FROM triggers WHERE tenant = ? AND workflow = ? AND name = ?")
            .bind(key.tenant.as_str())
            .bind(&key.workflow)
            .bind(&key.trigger)
            .execute(&mut *change)
            .await
            .map_err(unwritten)?;
        change.commit().await.map_err(unwritten)
    }

    async fn delivered(
        &self,
        delivery: &Delivery,
        forget: OffsetDateTime,
    ) -> Result<Option<String>, remit_domain::Error> {
        let mut change = self.altering().await?;
        sqlx::query("DELETE FROM deliveries WHERE at < ?")
            .bind(instant(forget))
            .execute(&mut *change)
            .await
            .map_err(unwritten)?;
        let before: Option<String> =
            sqlx::query_scalar("SELECT word FROM deliveries WHERE tenant = ? AND workflow = ? AND proof = ?")
                .bind(delivery.tenant.as_str())
                .bind(&delivery.workflow)
                .bind(&delivery.proof)
                .fetch_optional(&mut *change)
                .await
                .map_err(unwritten)?;
        if before.is_none() {
            sqlx::query("INSERT INTO deliveries (tenant, workflow, proof, word, at) VALUES (?, ?, ?, ?, ?)")
                .bind(delivery.tenant.as_str())
                .bind(&delivery.workflow)
                .bind(&delivery.proof)
                .bind(&delivery.word)
                .bind(instant(delivery.at))
                .execute(&mut *change)
                .await
                .map_err(unwritten)?;
        }
        change.commit().await.map_err(unwritten)?;
        Ok(before)
    }
}

fn version(row: &SqliteRow) -> Result<Version, remit_domain::Error> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unread);
    Ok(Version {
        number: row.try_get("number").map_err(unread)?,
        definition: Definition {
            tenant: tenant(&text("tenant")?)?,
            name: text("name")?,
            digest: text("digest")?,
            source: text("source")?,
            file: row.try_get("file").map_err(unread)?,
            at: moment(&text("at")?)?,
            by: text("by")?,
        },
    })
}

fn trigger(row: &SqliteRow) -> Result<Trigger, remit_domain::Error> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unread);
    let maybe = |column: &str| row.try_get::<Option<String>, _>(column).map_err(unread);
    let at = |column: &str| maybe(column)?.as_deref().map(moment).transpose();
    Ok(Trigger {
        key: TriggerKey { tenant: tenant(&text("tenant")?)?, workflow: text("workflow")?, trigger: text("name")? },
        rule: text("rule")?,
        paused: row.try_get("paused").map_err(unread)?,
        handled: moment(&text("handled")?)?,
        due: at("due")?,
        last: at("last")?,
        run: maybe("run")?.as_deref().and_then(RunId::parse),
        problem: maybe("problem")?,
    })
}

fn tenant(text: &str) -> Result<TenantId, remit_domain::Error> {
    TenantId::new(text).map_err(|_| wrong("tenant"))
}

fn moment(text: &str) -> Result<OffsetDateTime, remit_domain::Error> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong("time"))
}

fn wrong(what: &str) -> remit_domain::Error {
    Error::Record(serde::de::Error::custom(format!("a workflow's {what}"))).into_domain()
}

fn unwritten(cause: sqlx::Error) -> remit_domain::Error {
    Error::Write(cause).into_domain()
}

fn unread(cause: sqlx::Error) -> remit_domain::Error {
    Error::Read(cause).into_domain()
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use time::macros::datetime;

    use super::*;

    async fn journal() -> Result<(tempfile::TempDir, Journal)> {
        let folder = tempfile::tempdir()?;
        let journal = Journal::open(&format!("sqlite:{}", folder.path().join("j.db").display())).await?;
        Ok((folder, journal))
    }

    fn definition(tenant: &str, name: &str, source: &str) -> Result<Definition> {
        Ok(Definition {
            tenant: TenantId::new(tenant)?,
            name: name.to_owned(),
            digest: "00".to_owned(),
            source: source.to_owned(),
            file: None,
            at: datetime!(2026-11-23 10:00 UTC),
            by: "ada".to_owned(),
        })
    }

    const BOUNDS: Bounds = Bounds { names: 2, versions: 3 };

    fn numbers(versions: &[Version]) -> Vec<u32> {
        versions.iter().map(|version| version.number).collect()
    }

    #[tokio::test]
    async fn versions_are_counted_bounded_and_never_named_twice() -> Result<()> {
        let (_folder, journal) = journal().await?;
        let first = definition("a", "w", "one")?;
        let stored = Version { number: 1, definition: first.clone() };
        assert_eq!(journal.store(&first, BOUNDS).await?, Stored::New(stored.clone()));
        assert_eq!(journal.store(&first, BOUNDS).await?, Stored::Same(stored));
        for source in ["two", "three", "four"] {
            journal.store(&definition("a", "w", source)?, BOUNDS).await?;
        }
        let tenant = TenantId::new("a")?;
        assert_eq!(numbers(&journal.versions(&tenant, "w").await?), [4, 3, 2], "the oldest went");
        journal.store(&definition("a", "x", "one")?, BOUNDS).await?;
        assert_eq!(journal.store(&definition("a", "y", "one")?, BOUNDS).await?, Stored::Full);
        assert!(matches!(journal.store(&definition("b", "y", "one")?, BOUNDS).await?, Stored::New(_)));
        assert_eq!(journal.remove(&tenant, "w", Some(4)).await?, [4]);
        assert_eq!(journal.remove(&tenant, "w", Some(4)).await?, Vec::<u32>::new());
        let newest = journal.newest(Some(&tenant)).await?;
        let newest: Vec<(&str, u32)> = newest.iter().map(|it| (it.definition.name.as_str(), it.number)).collect();
        assert_eq!(newest, [("w", 3), ("x", 1)]);
        assert_eq!(journal.newest(None).await?.len(), 3);
        let again = journal.store(&definition("a", "w", "four")?, BOUNDS).await?;
        assert!(matches!(again, Stored::New(Version { number: 5, .. })), "{again:?}");
        assert_eq!(journal.remove(&tenant, "w", None).await?, [2, 3, 5]);
        let other = TenantId::new("b")?;
        assert_eq!(journal.remove(&other, "x", None).await?, Vec::<u32>::new(), "another tenant's stays");
        assert_eq!(journal.versions(&tenant, "x").await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_trigger_stands_as_it_was_kept() -> Result<()> {
        let (_folder, journal) = journal().await?;
        let key = TriggerKey { tenant: TenantId::new("a")?, workflow: "w".to_owned(), trigger: "daily".to_owned() };
        let mut kept = Trigger {
            key: key.clone(),
            rule: "0 9 * * * UTC".to_owned(),
            paused: false,
            handled: datetime!(2026-11-23 09:00 UTC),
            due: Some(datetime!(2026-11-24 09:00 UTC)),
            last: None,
            run: None,
            problem: None,
        };
        journal.keep_trigger(&kept).await?;
        assert_eq!(journal.triggers().await?, std::slice::from_ref(&kept));
        (kept.paused, kept.last, kept.due) = (true, kept.due, None);
        (kept.run, kept.problem) = (Some(RunId::new()), Some("p".to_owned()));
        journal.keep_trigger(&kept).await?;
        assert_eq!(journal.triggers().await?, [kept]);
        journal.forget_trigger(&key).await?;
        assert_eq!(journal.triggers().await?, []);
        Ok(())
    }

    #[tokio::test]
    async fn a_delivery_is_known_until_it_is_forgotten() -> Result<()> {
        let (_folder, journal) = journal().await?;
        let at = datetime!(2026-11-23 10:00 UTC);
        let delivery = Delivery {
            tenant: TenantId::new("a")?,
            workflow: "w".to_owned(),
            proof: "p".to_owned(),
            word: "one".to_owned(),
            at,
        };
        let early = datetime!(2026-11-23 09:00 UTC);
        assert_eq!(journal.delivered(&delivery, early).await?, None);
        let other = Delivery { word: "two".to_owned(), ..delivery.clone() };
        assert_eq!(journal.delivered(&other, early).await?.as_deref(), Some("one"));
        let elsewhere = Delivery { tenant: TenantId::new("b")?, ..delivery.clone() };
        assert_eq!(journal.delivered(&elsewhere, early).await?, None);
        assert_eq!(journal.delivered(&other, datetime!(2026-11-23 11:00 UTC)).await?, None);
        Ok(())
    }
}
