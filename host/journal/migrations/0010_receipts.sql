-- Which messages with an idempotency key were begun and handed over. Of a key there is a digest and no more.
CREATE TABLE receipts (
    tenant  TEXT NOT NULL,
    channel TEXT NOT NULL,
    digest  BLOB NOT NULL CHECK (length(digest) = 32),
    at      TEXT NOT NULL,
    id      TEXT,           -- NULL: begun, and nobody knows what became of it
    PRIMARY KEY (tenant, channel, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipts_by_age ON receipts (at);

PRAGMA user_version = 10;
