-- +goose Up
CREATE TABLE IF NOT EXISTS translog (
    one    INT PRIMARY KEY,
    size   BIGINT NOT NULL,
    origin VARBINARY(255) NOT NULL,
    key_id VARBINARY(40) NOT NULL
);

CREATE TABLE IF NOT EXISTS translog_leaves (
    idx        BIGINT PRIMARY KEY,
    kind       VARBINARY(32) NOT NULL,
    subject    VARBINARY(255) NOT NULL,
    salt       VARBINARY(16) NOT NULL,
    statement  MEDIUMBLOB NOT NULL,
    commitment VARBINARY(32) NOT NULL,
    at         BIGINT NOT NULL,
    KEY translog_leaves_subject (kind, subject, idx)
);

CREATE TABLE IF NOT EXISTS translog_tiles (
    level INT NOT NULL,
    n     BIGINT NOT NULL,
    data  BLOB NOT NULL,
    PRIMARY KEY (level, n)
);

CREATE TABLE IF NOT EXISTS translog_checkpoints (
    size BIGINT PRIMARY KEY,
    note BLOB NOT NULL,
    at   BIGINT NOT NULL
);
