-- What runs leave, how much that is, and how it goes.
ALTER TABLE runs ADD COLUMN agent TEXT; -- whose steps are that name none
-- What it takes once it has ended, its journal and large outputs included; 0 until then.
ALTER TABLE runs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
-- Whether it is being removed: nobody finds it any more.
ALTER TABLE runs ADD COLUMN gone INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1));

-- The sums of `bytes` and the counts of runs where it is not 0.
CREATE TABLE kept (
    tenant TEXT    NOT NULL PRIMARY KEY,
    bytes  INTEGER NOT NULL,
    runs   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER runs_kept AFTER UPDATE OF bytes ON runs WHEN NEW.bytes <> OLD.bytes BEGIN
    INSERT INTO kept (tenant, bytes, runs)
        VALUES (NEW.tenant, NEW.bytes - OLD.bytes, (NEW.bytes > 0) - (OLD.bytes > 0))
        ON CONFLICT (tenant) DO UPDATE SET bytes = bytes + excluded.bytes, runs = runs + excluded.runs;
END;

UPDATE runs SET agent = json_extract(context, '$.agent');
UPDATE runs SET bytes = octet_length(inputs) + coalesce(octet_length(outputs), 0)
        + (SELECT coalesce(sum(octet_length(entry)), 0) FROM entries WHERE run = runs.id)
    WHERE status <> 'running';

CREATE INDEX runs_of_agent ON runs (tenant, agent, id DESC);
CREATE INDEX runs_gone ON runs (id) WHERE gone = 1;

-- Outputs that are too large for `entries`, which names them. Their bytes lie elsewhere.
CREATE TABLE outputs (
    digest TEXT    NOT NULL PRIMARY KEY, -- of what is found there: no two runs have one
    run    TEXT    NOT NULL REFERENCES runs (id),
    bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX outputs_of ON outputs (run);

PRAGMA user_version = 11;
