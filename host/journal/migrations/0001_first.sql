-- Marks the file as Remit's ("Remi" in ASCII), so that nobody's business database is taken for a journal.
PRAGMA application_id = 1382378857;

-- One row a call, whatever became of it. Names and sizes of arguments, never their values.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT    NOT NULL, -- RFC 3339 in UTC with six decimals: sorts as text
    request     TEXT    NOT NULL,
    call        TEXT    NOT NULL UNIQUE,
    tenant      TEXT    NOT NULL,
    agent       TEXT    NOT NULL,
    door        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    plugin      TEXT,
    sources     TEXT    NOT NULL, -- JSON: {"primary": {"reads": 1, "writes": 0, "denied": 0}}
    arguments   TEXT    NOT NULL, -- JSON: {"query": 6}
    duration_us INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    code        TEXT
) STRICT;
CREATE INDEX audit_of_tenant ON audit (tenant, seq);
CREATE INDEX audit_of_request ON audit (request);

-- A conversation belongs to a tenant's agent: the same id of another one is another conversation.
CREATE TABLE conversations (
    tenant  TEXT NOT NULL,
    agent   TEXT NOT NULL,
    id      TEXT NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (tenant, agent, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    tenant       TEXT    NOT NULL,
    agent        TEXT    NOT NULL,
    conversation TEXT    NOT NULL,
    position     INTEGER NOT NULL, -- from 0
    body         TEXT    NOT NULL, -- JSON
    PRIMARY KEY (tenant, agent, conversation, position),
    FOREIGN KEY (tenant, agent, conversation) REFERENCES conversations (tenant, agent, id) ON DELETE CASCADE
) STRICT;

-- One row that readiness probes write, so that a full or read-only disk shows.
CREATE TABLE probe (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    at   TEXT    NOT NULL
) STRICT;

PRAGMA user_version = 1;
