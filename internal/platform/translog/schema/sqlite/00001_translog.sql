-- +goose Up
-- The one row of the log: how large the tree is, under whose name and key it is signed.
CREATE TABLE translog (
    one    INTEGER PRIMARY KEY,
    size   BIGINT NOT NULL,
    origin VARCHAR(255) NOT NULL,
    key_id VARCHAR(40) NOT NULL
);

CREATE TABLE translog_leaves (
    idx        BIGINT PRIMARY KEY,
    kind       VARCHAR(32) NOT NULL,
    subject    VARCHAR(255) NOT NULL,
    salt       BLOB NOT NULL,
    statement  BLOB NOT NULL,
    commitment BLOB NOT NULL,
    at         BIGINT NOT NULL
);
CREATE INDEX translog_leaves_subject ON translog_leaves (kind, subject, idx);

-- Tiles of eight levels of hashes. The last of each level grows until it has 256.
CREATE TABLE translog_tiles (
    level INTEGER NOT NULL,
    n     BIGINT NOT NULL,
    data  BLOB NOT NULL,
    PRIMARY KEY (level, n)
);

CREATE TABLE translog_checkpoints (
    size BIGINT PRIMARY KEY,
    note BLOB NOT NULL,
    at   BIGINT NOT NULL
);
