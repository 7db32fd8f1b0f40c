-- What a call did with its sources, operation by operation. Rows from before have none, and stay of form 1,
-- whose hash does not cover this column.
ALTER TABLE audit ADD COLUMN operations TEXT; -- JSON, of calls: [{"source": "primary", "operation": "query", …}]

PRAGMA user_version = 7;
