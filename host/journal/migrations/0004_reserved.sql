-- The place of another change of the same release.
PRAGMA user_version = 4;
