-- The versions of plugins that a run began with, and keeps to.
ALTER TABLE runs ADD COLUMN pins TEXT NOT NULL DEFAULT '[]'; -- JSON: `<plugin>@sha256:<hex>`

-- Those whose versions may not go.
CREATE INDEX runs_pinning ON runs (tenant) WHERE status IN ('running', 'interrupted');

PRAGMA user_version = 9;
