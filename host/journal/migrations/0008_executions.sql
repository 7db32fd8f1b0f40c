-- Runs of workflows, and the definitions that they pin.
CREATE TABLE definitions (
    tenant     TEXT NOT NULL,
    digest     TEXT NOT NULL, -- SHA-256 in hex
    definition TEXT NOT NULL, -- JSON
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id       TEXT NOT NULL PRIMARY KEY, -- a UUID of version 7: in order of their beginning
    tenant   TEXT NOT NULL,
    workflow TEXT NOT NULL,
    digest   TEXT NOT NULL,
    inputs   TEXT NOT NULL, -- JSON
    context  TEXT NOT NULL, -- JSON
    began    TEXT NOT NULL,
    key      TEXT,          -- what makes a repeated start the same run
    asker    TEXT NOT NULL, -- JSON: who began it, and for which agents they may speak
    status   TEXT NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'completed', 'failed', 'cancelled', 'interrupted')),
    ended    TEXT,
    outputs  TEXT,          -- JSON
    failure  TEXT,          -- JSON
    FOREIGN KEY (tenant, digest) REFERENCES definitions (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX runs_key ON runs (tenant, key) WHERE key IS NOT NULL;
CREATE INDEX runs_of ON runs (tenant, id DESC);
CREATE INDEX runs_open ON runs (id) WHERE status = 'running';
CREATE INDEX runs_pin ON runs (tenant, digest);

-- What runs did, only ever added to.
CREATE TABLE entries (
    seq   INTEGER PRIMARY KEY,
    run   TEXT NOT NULL REFERENCES runs (id),
    place TEXT NOT NULL, -- a step's path, or !name of a signal
    entry TEXT NOT NULL  -- JSON
) STRICT;

CREATE INDEX entries_of ON entries (run, place);

PRAGMA user_version = 8;
