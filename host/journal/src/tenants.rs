//! All that the journal has of one tenant: given out, and forgotten.
//!
//! Deliberately absent: what of a tenant lies elsewhere, and the removal of audit events. These are no
//! tenant's own: they are the host's word on what was done, and go with their time alone.

use futures::TryStreamExt as _;
use remit_domain::{TenantId, library::Digest};

use crate::{Error, Journal};

/// Each part with the statement that gives its records as JSON. Of keys there is nothing that lets anybody in.
const PARTS: [(&str, &str); 15] = [
    (
        "conversations",
        "SELECT json_object('agent', agent, 'id', id, 'created', created, 'updated', updated)
         FROM conversations WHERE tenant = ?1 ORDER BY agent, id",
    ),
    (
        "messages",
        "SELECT json_object('agent', agent, 'conversation', conversation, 'position', position, 'message', json(body))
         FROM messages WHERE tenant = ?1 ORDER BY agent, conversation, position",
    ),
    (
        "runs",
        "SELECT json_object('id', id, 'workflow', workflow, 'digest', digest, 'inputs', json(inputs),
            'context', json(context), 'began', began, 'key', key, 'asker', json(asker), 'pins', json(pins),
            'status', status, 'ended', ended, 'outputs', json(outputs), 'failure', json(failure),
            'origin', origin, 'from', from_step)
         FROM runs WHERE tenant = ?1 ORDER BY id",
    ),
    (
        "entries",
        "SELECT json_object('run', run, 'place', place, 'entry', json(entry))
         FROM entries WHERE run IN (SELECT id FROM runs WHERE tenant = ?1) ORDER BY seq",
    ),
    (
        "outputs",
        "SELECT json_object('run', run, 'digest', digest, 'bytes', bytes)
         FROM outputs WHERE run IN (SELECT id FROM runs WHERE tenant = ?1) ORDER BY run, digest",
    ),
    (
        "definitions",
        "SELECT json_object('digest', digest, 'definition', json(definition))
         FROM definitions WHERE tenant = ?1 ORDER BY digest",
    ),
    (
        "workflows",
        "SELECT json_object('name', name, 'number', number, 'digest', digest, 'source', source, 'file', file,
            'at', at, 'by', by)
         FROM workflow_versions WHERE tenant = ?1 ORDER BY name, number",
    ),
    (
        "triggers",
        "SELECT json_object('workflow', workflow, 'name', name, 'rule', rule,
            'paused', json(iif(paused, 'true', 'false')), 'handled', handled, 'due', due, 'last', last, 'run', run,
            'problem', problem)
         FROM triggers WHERE tenant = ?1 ORDER BY workflow, name",
    ),
    (
        "deliveries",
        "SELECT json_object('workflow', workflow, 'proof', proof, 'word', word, 'at', at)
         FROM deliveries WHERE tenant = ?1 ORDER BY at, workflow, proof",
    ),
    (
        "audit",
        "SELECT json_object('seq', seq, 'at', at, 'request', request, 'call', call, 'agent', agent, 'door', door,
            'subject', subject, 'name', name, 'plugin', plugin, 'sources', json(sources),
            'arguments', json(arguments), 'durationUs', duration_us, 'outcome', outcome, 'code', code,
            'actor', actor, 'action', action, 'details', json(details), 'operations', json(operations),
            'form', form, 'hash', lower(hex(hash)))
         FROM audit WHERE tenant = ?1 ORDER BY seq",
    ),
    (
        "keys",
        "SELECT json_object('id', id, 'role', role, 'agents', json(agents), 'label', label, 'created', created,
            'expires', expires, 'revoked', revoked, 'quotas', json(quotas))
         FROM keys WHERE tenant = ?1 ORDER BY created, id",
    ),
    (
        "plugins",
        "SELECT json_object('plugin', v.plugin, 'number', v.number, 'digest', v.digest, 'bytes', v.bytes,
            'version', v.says, 'at', v.at, 'by', v.by, 'signer', v.signer,
            'active', json(iif(p.active IS v.number, 'true', 'false')), 'offers', json(v.offers))
         FROM versions AS v JOIN plugins AS p ON p.tenant = v.tenant AND p.plugin = v.plugin
         WHERE v.tenant = ?1 ORDER BY v.plugin, v.number",
    ),
    (
        "activations",
        "SELECT json_object('plugin', plugin, 'number', number, 'at', at)
         FROM activations WHERE tenant = ?1 ORDER BY seq",
    ),
    (
        "usage",
        "SELECT json_object('day', day, 'of', kind, 'key', iif(kind = 'key', owner, NULL), 'meter', meter, 'used', used)
         FROM usage WHERE (kind = 'tenant' AND owner = ?1)
            OR (kind = 'key' AND owner IN (SELECT id FROM keys WHERE tenant = ?1))
         ORDER BY day, kind, owner, meter",
    ),
    (
        "receipts",
        "SELECT json_object('channel', channel, 'digest', lower(hex(digest)), 'at', at, 'id', id)
         FROM receipts WHERE tenant = ?1 ORDER BY at, channel, digest",
    ),
];

/// Each part with the statement that removes its records; in an order in which nothing is left hanging.
const REMOVALS: [(&str, &str); 15] = [
    ("messages", "DELETE FROM messages WHERE tenant = ?1"),
    ("conversations", "DELETE FROM conversations WHERE tenant = ?1"),
    ("outputs", "DELETE FROM outputs WHERE run IN (SELECT id FROM runs WHERE tenant = ?1)"),
    ("entries", "DELETE FROM entries WHERE run IN (SELECT id FROM runs WHERE tenant = ?1)"),
    ("runs", "DELETE FROM runs WHERE tenant = ?1"),
    ("definitions", "DELETE FROM definitions WHERE tenant = ?1"),
    ("deliveries", "DELETE FROM deliveries WHERE tenant = ?1"),
    ("triggers", "DELETE FROM triggers WHERE tenant = ?1"),
    ("workflows", "DELETE FROM workflow_versions WHERE tenant = ?1"),
    (
        "usage",
        "DELETE FROM usage WHERE (kind = 'tenant' AND owner = ?1)
            OR (kind = 'key' AND owner IN (SELECT id FROM keys WHERE tenant = ?1))",
    ),
    ("keys", "DELETE FROM keys WHERE tenant = ?1"),
    ("receipts", "DELETE FROM receipts WHERE tenant = ?1"),
    ("activations", "DELETE FROM activations WHERE tenant = ?1"),
    // It refers to a version, as the one that serves.
    ("plugins", "UPDATE plugins SET active = NULL WHERE tenant = ?1"),
    ("plugins", "DELETE FROM versions WHERE tenant = ?1"),
];

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// How many records of each part.
    pub records: Vec<(&'static str, u64)>,
    /// The components that no record names any longer.
    pub components: Vec<Digest>,
    /// The large outputs of its runs.
    pub outputs: Vec<Digest>,
    /// The audit events that stay.
    pub audit: u64,
}

impl Journal {
    /// The parts of what it has of a tenant, in the order in which [`Self::export`] gives them.
    pub fn parts() -> impl Iterator<Item = &'static str> {
        PARTS.into_iter().map(|(part, _)| part)
    }

    /// Gives all records of a tenant as they are at one moment, part by part, each as one line of JSON.
    ///
    /// Errors: [`Error::Read`]; whatever `each` says.
    pub async fn export<E: From<Error>>(
        &self,
        tenant: &TenantId,
        mut each: impl FnMut(&'static str, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut moment = self.readers.begin().await.map_err(Error::Read)?;
        for (part, statement) in PARTS {
            let mut lines = sqlx::query_scalar::<_, String>(statement).bind(tenant.as_str()).fetch(&mut *moment);
            while let Some(line) = lines.try_next().await.map_err(Error::Read)? {
                each(part, &line)?;
            }
        }
        // Over by now, and not when the pool comes to it: nobody waits for this reader.
        Ok(moment.commit().await.map_err(Error::Read)?)
    }

    /// Removes all records of a tenant but its audit events, at once or not at all, and leaves nothing of
    /// them in the file. Lasting, against a power cut too, once this returns. No host may be running: it
    /// would go on with what it remembers.
    ///
    /// Errors: [`Error::Write`].
    pub async fn forget(&self, tenant: &TenantId) -> Result<Forgotten, Error> {
        let mut connection = self.lasting.acquire().await.map_err(Error::Write)?;
        // Otherwise removed text stays where it was until something else is written there.
        sqlx::raw_sql("PRAGMA secure_delete = ON").execute(&mut *connection).await.map_err(Error::Write)?;
        let forgotten = remove(&mut connection, tenant).await.map_err(Error::Write)?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await.map_err(Error::Write)?;
        Ok(forgotten)
    }
}

async fn remove(connection: &mut sqlx::SqliteConnection, tenant: &TenantId) -> Result<Forgotten, sqlx::Error> {
    use sqlx::Connection as _;

    let mut change = connection.begin_with("BEGIN IMMEDIATE").await?;
    let named: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT digest FROM versions WHERE tenant = ?1
         AND digest NOT IN (SELECT digest FROM versions WHERE tenant <> ?1)",
    )
    .bind(tenant.as_str())
    .fetch_all(&mut *change)
    .await?;
    let outputs: Vec<String> =
        sqlx::query_scalar("SELECT digest FROM outputs WHERE run IN (SELECT id FROM runs WHERE tenant = ?1)")
            .bind(tenant.as_str())
            .fetch_all(&mut *change)
            .await?;
    let mut records: Vec<(&'static str, u64)> = Vec::new();
    for (part, statement) in REMOVALS {
        let removed = sqlx::query(statement).bind(tenant.as_str()).execute(&mut *change).await?.rows_affected();
        match records.last_mut() {
            // The last statement of a part removes its records.
            Some((last, count)) if *last == part => *count = removed,
            _ => records.push((part, removed)),
        }
    }
    for counted in [
        "DELETE FROM workflows WHERE tenant = ?1",
        "DELETE FROM plugins WHERE tenant = ?1",
        "DELETE FROM kept WHERE tenant = ?1",
    ] {
        sqlx::query(counted).bind(tenant.as_str()).execute(&mut *change).await?;
    }
    let audit: i64 = sqlx::query_scalar("SELECT count(*) FROM audit WHERE tenant = ?1")
        .bind(tenant.as_str())
        .fetch_one(&mut *change)
        .await?;
    change.commit().await?;
    let digests = |texts: Vec<String>| texts.iter().filter_map(|text| Digest::new(text)).collect();
    Ok(Forgotten { records, components: digests(named), outputs: digests(outputs), audit: audit.unsigned_abs() })
}

#[cfg(test)]
mod tests;
