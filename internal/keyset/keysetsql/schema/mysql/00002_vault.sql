-- +goose Up
-- the keyset itself, where several processes share one database; wrapped by a key
-- that is not in it. Its one row has id 1.
CREATE TABLE IF NOT EXISTS keyset_vault (
    id       INT PRIMARY KEY,
    revision BIGINT NOT NULL,
    data     MEDIUMBLOB NOT NULL
);
