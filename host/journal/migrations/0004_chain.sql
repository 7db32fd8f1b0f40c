-- The audit log becomes a chain: each row's hash covers its own fields and the hash of the row before.
-- The rows there were are chained by the host, in their order, right after these statements.

-- Which journal this is: checkpoints and the first row's hash name it.
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id   TEXT    NOT NULL
) STRICT;
INSERT INTO identity (only, id) VALUES (1, lower(hex(randomblob(16))));

DROP INDEX audit_of_tenant;
DROP INDEX audit_of_request;
ALTER TABLE audit RENAME TO unchained;

-- One row a call or act of administration. Texts that don't apply are empty. `seq` has no gaps: two
-- processes that append at once can't both have the next one, which is what keeps the chain one chain.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY,
    form        INTEGER NOT NULL DEFAULT 1, -- how the hash is made
    at          TEXT    NOT NULL, -- RFC 3339 in UTC with six decimals: sorts as text
    request     TEXT    NOT NULL,
    call        TEXT    NOT NULL, -- the call's id, or that of the act
    tenant      TEXT    NOT NULL, -- empty: the operator's own affairs
    actor       TEXT    NOT NULL, -- of an act of administration: a key's id, `anyone`, `console`, `host`
    agent       TEXT    NOT NULL,
    door        TEXT    NOT NULL,
    action      TEXT    NOT NULL, -- `tool.call`, `resource.read`, `key.create` …
    subject     TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    plugin      TEXT,
    sources     TEXT    NOT NULL, -- JSON: {"primary": {"reads": 1, "writes": 0, "denied": 0}}
    arguments   TEXT    NOT NULL, -- JSON: {"query": 6}
    details     TEXT,             -- JSON, of acts of administration
    duration_us INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    code        TEXT,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_of_tenant ON audit (tenant, seq);
CREATE INDEX audit_of_request ON audit (request);

-- Closed stretches of the log. They stay when their rows are removed, so that the chain still begins
-- at a known hash.
CREATE TABLE segments (
    number    INTEGER PRIMARY KEY,
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    previous  BLOB    NOT NULL CHECK (length(previous) = 32), -- the hash before the first row's
    head      BLOB    NOT NULL CHECK (length(head) = 32),     -- the last row's
    since     TEXT    NOT NULL, -- the oldest `at` in it
    until     TEXT    NOT NULL, -- the newest
    sealed    TEXT    NOT NULL,
    removed   TEXT,             -- when its rows were removed
    signature TEXT,             -- the host's, over the removal
    CHECK (first <= last),
    CHECK ((removed IS NULL) = (signature IS NULL))
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
WHEN NOT EXISTS (SELECT 1 FROM segments WHERE removed IS NOT NULL AND old.seq BETWEEN first AND last)
BEGIN SELECT raise(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER segments_are_not_changed BEFORE UPDATE ON segments
WHEN old.removed IS NOT NULL OR new.number <> old.number OR new.first <> old.first OR new.last <> old.last
    OR new.previous <> old.previous OR new.head <> old.head OR new.since <> old.since OR new.until <> old.until
    OR new.sealed <> old.sealed
BEGIN SELECT raise(ABORT, 'a sealed segment does not change'); END;
CREATE TRIGGER segments_are_not_removed BEFORE DELETE ON segments
BEGIN SELECT raise(ABORT, 'a seal stays'); END;

PRAGMA user_version = 4;
