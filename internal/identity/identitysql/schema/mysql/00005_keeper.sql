-- +goose Up
-- The key that wraps the data keys of persons, as the server that keeps keys has sealed it.
CREATE TABLE identity_keeper (
    name   VARBINARY(32) PRIMARY KEY,
    sealed BLOB NOT NULL
);
