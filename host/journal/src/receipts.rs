//! Which messages with a key were handed over. Written so that a power cut loses none: a note that was lost
//! would be a message that is sent twice.

use async_trait::async_trait;
use remit_domain::data::notify::{Receipt, Receipted, Receipts};
use sqlx::Connection as _;
use time::OffsetDateTime;

use crate::{Error, Journal, audit::instant};

#[async_trait]
impl Receipts for Journal {
    async fn begin(
        &self,
        message: &Receipted,
        now: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<Option<Receipt>, remit_domain::Error> {
        self.begun(message, now, since).await.map_err(|cause| Error::Write(cause).into_domain())
    }

    async fn end(&self, message: &Receipted, id: Option<&str>) -> Result<(), remit_domain::Error> {
        let statement = match id {
            Some(_) => "UPDATE receipts SET id = ?4 WHERE tenant = ?1 AND channel = ?2 AND digest = ?3",
            None => "DELETE FROM receipts WHERE tenant = ?1 AND channel = ?2 AND digest = ?3 AND id IS NULL",
        };
        let query = sqlx::query(statement)
            .bind(message.tenant.as_str())
            .bind(message.channel.as_str())
            .bind(message.digest.as_slice());
        let query = if id.is_some() { query.bind(id) } else { query };
        query.execute(&self.lasting).await.map(drop).map_err(|cause| Error::Write(cause).into_domain())
    }
}

impl Journal {
    async fn begun(
        &self,
        message: &Receipted,
        now: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<Option<Receipt>, sqlx::Error> {
        let mut connection = self.lasting.acquire().await?;
        let mut change = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM receipts WHERE at <= ?").bind(instant(since)).execute(&mut *change).await?;
        let known: Option<Option<String>> =
            sqlx::query_scalar("SELECT id FROM receipts WHERE tenant = ? AND channel = ? AND digest = ?")
                .bind(message.tenant.as_str())
                .bind(message.channel.as_str())
                .bind(message.digest.as_slice())
                .fetch_optional(&mut *change)
                .await?;
        if known.is_none() {
            sqlx::query("INSERT INTO receipts (tenant, channel, digest, at) VALUES (?, ?, ?, ?)")
                .bind(message.tenant.as_str())
                .bind(message.channel.as_str())
                .bind(message.digest.as_slice())
                .bind(instant(now))
                .execute(&mut *change)
                .await?;
        }
        change.commit().await?;
        Ok(known.map(|id| id.map_or(Receipt::Begun, Receipt::Handed)))
    }
}

#[cfg(test)]
mod tests {
    use remit_domain::{SourceName, TenantId};
    use time::{Duration, macros::datetime};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
    const DAY: Duration = Duration::hours(24);

    fn message(tenant: &str, digest: u8) -> Result<Receipted, remit_domain::InvalidName> {
        Ok(Receipted { tenant: TenantId::new(tenant)?, channel: SourceName::new("email")?, digest: [digest; 32] })
    }

    #[tokio::test]
    async fn a_message_is_noted_before_and_after_and_outlasts_the_process() -> Tested {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("remit.db").display().to_string();
        let journal = Journal::open(&file).await?;
        let (sent, lost, failed) = (message("a", 1)?, message("a", 2)?, message("a", 3)?);
        for message in [&sent, &lost, &failed] {
            assert_eq!(journal.begin(message, NOW, NOW - DAY).await?, None);
        }
        Receipts::end(&journal, &sent, Some("id-1")).await?;
        Receipts::end(&journal, &failed, None).await?;
        journal.close().await;

        let journal = Journal::open(&file).await?;
        let later = NOW + DAY - Duration::SECOND;
        assert_eq!(journal.begin(&sent, later, later - DAY).await?, Some(Receipt::Handed("id-1".to_owned())));
        assert_eq!(journal.begin(&lost, later, later - DAY).await?, Some(Receipt::Begun));
        assert_eq!(journal.begin(&failed, later, later - DAY).await?, None);
        assert_eq!(journal.begin(&message("b", 1)?, later, later - DAY).await?, None, "another tenant's");
        // What was handed over is not forgotten by a late word that it was not.
        Receipts::end(&journal, &sent, None).await?;
        assert_eq!(journal.begin(&sent, later, later - DAY).await?, Some(Receipt::Handed("id-1".to_owned())));
        let later = NOW + DAY;
        assert_eq!(journal.begin(&sent, later, later - DAY).await?, None, "after a day the key is good again");
        journal.close().await;
        Ok(())
    }
}
