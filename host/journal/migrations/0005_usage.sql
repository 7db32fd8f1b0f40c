-- How much may be used with a key: JSON, {"requestsPerMinute": 60}; NULL: as much as its tenant may.
ALTER TABLE keys ADD COLUMN quotas TEXT;

-- What tenants and keys used in a day, in UTC.
CREATE TABLE usage (
    day   TEXT    NOT NULL, -- 2026-03-01
    kind  TEXT    NOT NULL CHECK (kind IN ('tenant', 'key')),
    owner TEXT    NOT NULL,
    meter TEXT    NOT NULL,
    used  INTEGER NOT NULL,
    PRIMARY KEY (day, kind, owner, meter)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 5;
