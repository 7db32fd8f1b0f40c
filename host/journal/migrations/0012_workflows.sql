-- Where a run took over what another had done.
ALTER TABLE runs ADD COLUMN origin TEXT; -- the other run's id
ALTER TABLE runs ADD COLUMN from_step TEXT;
CREATE INDEX runs_origin ON runs (tenant, origin) WHERE origin IS NOT NULL;

-- The definitions of workflows that tenants store.
CREATE TABLE workflows (
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    last   INTEGER NOT NULL, -- the last number given out: none is given twice
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflow_versions (
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL, -- SHA-256 in hex
    source TEXT NOT NULL, -- YAML, as it was handed in
    file   TEXT,
    at     TEXT NOT NULL,
    by     TEXT NOT NULL,
    PRIMARY KEY (tenant, name, number),
    FOREIGN KEY (tenant, name) REFERENCES workflows (tenant, name)
) STRICT;

-- How the triggers of workflows stand.
CREATE TABLE triggers (
    tenant   TEXT NOT NULL,
    workflow TEXT NOT NULL,
    name     TEXT NOT NULL,
    rule     TEXT NOT NULL,
    paused   INTEGER NOT NULL CHECK (paused IN (0, 1)),
    handled  TEXT NOT NULL, -- up to when its times are dealt with
    due      TEXT,          -- the time whose run is being begun
    last     TEXT,
    run      TEXT,
    problem  TEXT,
    PRIMARY KEY (tenant, workflow, name)
) STRICT, WITHOUT ROWID;

-- What came to webhooks, for as long as it could come again.
CREATE TABLE deliveries (
    tenant   TEXT NOT NULL,
    workflow TEXT NOT NULL,
    proof    TEXT NOT NULL, -- SHA-256 in hex
    word     TEXT NOT NULL,
    at       TEXT NOT NULL,
    PRIMARY KEY (tenant, workflow, proof)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_at ON deliveries (at);

PRAGMA user_version = 12;
