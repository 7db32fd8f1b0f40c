-- Tenants' own plugins. A component's bytes lie elsewhere, by their digest.
CREATE TABLE versions (
    tenant TEXT    NOT NULL,
    plugin TEXT    NOT NULL,
    number INTEGER NOT NULL CHECK (number > 0),
    digest TEXT    NOT NULL,
    bytes  INTEGER NOT NULL,
    says   TEXT    NOT NULL, -- the semantic version that it gives itself
    at     TEXT    NOT NULL,
    by     TEXT    NOT NULL,
    signer TEXT,
    offers TEXT    NOT NULL, -- JSON
    PRIMARY KEY (tenant, plugin, number),
    UNIQUE (tenant, plugin, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX versions_of_digest ON versions (digest);

-- Each plugin's highest number, so that one that was removed is not given again; and what is active.
CREATE TABLE plugins (
    tenant TEXT    NOT NULL,
    plugin TEXT    NOT NULL,
    last   INTEGER NOT NULL,
    active INTEGER,
    PRIMARY KEY (tenant, plugin),
    FOREIGN KEY (tenant, plugin, active) REFERENCES versions (tenant, plugin, number)
) STRICT, WITHOUT ROWID;

-- What was active when: for the way back.
CREATE TABLE activations (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT    NOT NULL,
    plugin TEXT    NOT NULL,
    number INTEGER,          -- NULL: none
    at     TEXT    NOT NULL
) STRICT;
CREATE INDEX activations_of_plugin ON activations (tenant, plugin, seq);

PRAGMA user_version = 3;
