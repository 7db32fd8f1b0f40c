-- Seals carry the host's signature. Those from before have none, and get none: nobody could say that what
-- they speak for is what was written. `verify` refuses them.
ALTER TABLE segments ADD COLUMN seal TEXT; -- the host's, over the segment less its removal

DROP TRIGGER segments_are_not_changed;
CREATE TRIGGER segments_are_not_changed BEFORE UPDATE ON segments
WHEN old.removed IS NOT NULL OR new.number <> old.number OR new.first <> old.first OR new.last <> old.last
    OR new.previous <> old.previous OR new.head <> old.head OR new.since <> old.since OR new.until <> old.until
    OR new.sealed <> old.sealed OR new.seal IS NOT old.seal
BEGIN SELECT raise(ABORT, 'a sealed segment does not change'); END;

PRAGMA user_version = 6;
