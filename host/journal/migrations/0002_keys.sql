-- Who may come in. Of a key's secret there is a digest and no more.
CREATE TABLE keys (
    id      TEXT NOT NULL PRIMARY KEY,
    digest  BLOB NOT NULL CHECK (length(digest) = 32),
    tenant  TEXT,           -- NULL: an operator's
    role    TEXT NOT NULL,
    agents  TEXT,           -- JSON: ["sales"]; NULL: all of the tenant's
    label   TEXT,
    created TEXT NOT NULL,
    expires TEXT,
    revoked TEXT,
    CHECK ((tenant IS NULL) = (role = 'operator'))
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_of_tenant ON keys (tenant, created);

PRAGMA user_version = 2;
