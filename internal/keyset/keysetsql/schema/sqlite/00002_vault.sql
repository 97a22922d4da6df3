-- +goose Up
-- the keyset itself, where several processes share one database; wrapped by a key
-- that is not in it. Its one row has id 1.
CREATE TABLE keyset_vault (
    id       INTEGER PRIMARY KEY,
    revision BIGINT NOT NULL,
    data     BLOB NOT NULL
);
