-- +goose Up
CREATE TABLE feed (
    shard INTEGER PRIMARY KEY,
    seq   BIGINT NOT NULL,
    at    BIGINT NOT NULL
);
INSERT INTO feed (shard, seq, at) VALUES
    (0,0,0),(1,0,0),(2,0,0),(3,0,0),(4,0,0),(5,0,0),(6,0,0),(7,0,0),
    (8,0,0),(9,0,0),(10,0,0),(11,0,0),(12,0,0),(13,0,0),(14,0,0),(15,0,0);

CREATE TABLE outbox (
    shard    INTEGER NOT NULL,
    seq      BIGINT NOT NULL,
    n        INTEGER NOT NULL,
    event_id VARCHAR(40) NOT NULL,
    type     VARCHAR(64) NOT NULL,
    brand_id INTEGER NOT NULL,
    subject  VARCHAR(64) NOT NULL,
    at       BIGINT NOT NULL,
    data     BLOB NOT NULL,
    PRIMARY KEY (shard, seq, n)
);
