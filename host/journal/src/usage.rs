//! What tenants and keys used, by day.
//!
//! Counts go through the one task that writes, like events: they survive a kill -9 once they are acknowledged.
//! Deliberately absent: counting, and minutes.

use async_trait::async_trait;
use remit_domain::{
    TenantId,
    access::KeyId,
    usage::{Meter, Owner, Tallies, Tally},
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use time::{Date, Duration, macros::format_description};

use crate::{Error, Journal};

/// How long counts are kept, for those who want to know what was used last month.
const KEPT: Duration = Duration::days(92);

#[async_trait]
impl Tallies for Journal {
    async fn load(&self, day: Date) -> Result<Vec<Tally>, remit_domain::Error> {
        let rows = sqlx::query("SELECT kind, owner, meter, used FROM usage WHERE day = ?")
            .bind(text(day))
            .fetch_all(&self.readers)
            .await
            .map_err(|cause| Error::Read(cause).into_domain())?;
        rows.iter().map(|row| read(row, day)).collect()
    }

    async fn keep(&self, tallies: &[Tally]) -> Result<(), remit_domain::Error> {
        self.queue.tallies(tallies.to_vec()).await
    }
}

/// Writes counts in place of those that are there, and forgets old ones. To be called within a transaction.
pub(crate) async fn upsert(connection: &mut SqliteConnection, tallies: &[Tally]) -> Result<(), sqlx::Error> {
    for tally in tallies {
        let owner = match &tally.owner {
            Owner::Tenant(tenant) => tenant.as_str(),
            Owner::Key(key) => key.as_str(),
            // Counted in memory alone.
            Owner::Subject(..) => continue,
        };
        sqlx::query(
            "INSERT INTO usage (day, kind, owner, meter, used) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (day, kind, owner, meter) DO UPDATE SET used = excluded.used",
        )
        .bind(text(tally.day))
        .bind(tally.owner.kind())
        .bind(owner)
        .bind(tally.meter.as_str())
        .bind(i64::try_from(tally.used).unwrap_or(i64::MAX))
        .execute(&mut *connection)
        .await?;
    }
    if let Some(oldest) = tallies.iter().map(|tally| tally.day).min() {
        let before = text(oldest.checked_sub(KEPT).unwrap_or(Date::MIN));
        sqlx::query("DELETE FROM usage WHERE day < ?").bind(before).execute(connection).await?;
    }
    Ok(())
}

/// A row as the domain has it. What no host writes is refused.
fn read(row: &SqliteRow, day: Date) -> Result<Tally, remit_domain::Error> {
    let fields = || -> Result<(String, String, String, i64), sqlx::Error> {
        Ok((row.try_get("kind")?, row.try_get("owner")?, row.try_get("meter")?, row.try_get("used")?))
    };
    let (kind, owner, meter, used) = fields().map_err(|cause| Error::Read(cause).into_domain())?;
    let tally = || {
        let owner = match kind.as_str() {
            "tenant" => Owner::Tenant(TenantId::new(&owner).ok()?),
            _ => Owner::Key(KeyId::new(&owner)?),
        };
        Some(Tally { owner, day, meter: Meter::of(&meter)?, used: u64::try_from(used).ok()? })
    };
    let foreign = || format!("what {owner} used of {meter} is kept in a form that no host writes");
    tally().ok_or_else(|| remit_domain::Error::Journal(foreign().into()))
}

fn text(day: Date) -> String {
    day.format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn tally(owner: &Owner, day: Date, meter: Meter, used: u64) -> Tally {
        Tally { owner: owner.clone(), day, meter, used }
    }

    #[tokio::test]
    async fn counts_are_replaced_read_by_day_and_forgotten() -> Tested {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("remit.db").display().to_string();
        let journal = Journal::open(&path).await?;
        let tenant = Owner::Tenant(TenantId::new("techstart")?);
        // A key may be called as a tenant is.
        let key = Owner::Key(KeyId::new("techstart0000000").ok_or("a key's id")?);
        let (first, second) = (date!(2026 - 03 - 01), date!(2026 - 03 - 02));
        journal
            .keep(&[
                tally(&tenant, first, Meter::Tokens, 7),
                tally(&tenant, second, Meter::Tokens, 1),
                tally(&key, second, Meter::Calls, u64::MAX),
            ])
            .await?;
        journal.keep(&[tally(&tenant, second, Meter::Tokens, 3)]).await?;
        journal.close().await;

        let journal = Journal::open(&path).await?;
        let mut found = journal.load(second).await?;
        found.sort_by_key(|tally| tally.meter);
        let most = i64::MAX.unsigned_abs();
        assert_eq!(found, [tally(&key, second, Meter::Calls, most), tally(&tenant, second, Meter::Tokens, 3)]);
        assert_eq!(journal.load(first).await?, [tally(&tenant, first, Meter::Tokens, 7)]);
        journal.keep(&[tally(&tenant, first + KEPT + Duration::DAY, Meter::Tokens, 1)]).await?;
        assert_eq!(journal.load(first).await?, []);
        assert_eq!(journal.load(second).await?.len(), 2, "within the time");
        Ok(())
    }
}
