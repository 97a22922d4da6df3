-- +goose Up
CREATE TABLE batch_ids (
    name VARCHAR(16) PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO batch_ids (name, last) VALUES ('brand', 1000), ('product', 2000);

CREATE TABLE brands (
    brand_id   INTEGER PRIMARY KEY,
    name       VARCHAR(256) NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE products (
    product_id          INTEGER PRIMARY KEY,
    brand_id            INTEGER NOT NULL,
    name                VARCHAR(256) NOT NULL,
    gtin                VARCHAR(14) NOT NULL,
    description         VARCHAR(4096) NOT NULL,
    help                VARCHAR(4096) NOT NULL,
    pool_target         BIGINT NOT NULL,
    pool_batch_quantity BIGINT NOT NULL,
    pool_expire_hours   INTEGER NOT NULL,
    pool_rotate_seconds BIGINT NOT NULL,
    pool_mark           VARCHAR(8) NOT NULL,
    pool_inner_code     INTEGER NOT NULL,
    created_at          BIGINT NOT NULL
);
CREATE INDEX products_brand ON products (brand_id, product_id);

-- the next free number of each shard: batches take contiguous runs from it
CREATE TABLE serial_counters (
    shard INTEGER PRIMARY KEY,
    next  BIGINT NOT NULL
);
INSERT INTO serial_counters (shard, next) VALUES
    (0,0),(1,0),(2,0),(3,0),(4,0),(5,0),(6,0),(7,0),
    (8,0),(9,0),(10,0),(11,0),(12,0),(13,0),(14,0),(15,0);

CREATE TABLE batches (
    batch_id        VARCHAR(40) PRIMARY KEY,
    product_id      INTEGER NOT NULL,
    brand_id        INTEGER NOT NULL,
    batch_no        VARCHAR(64) NOT NULL,
    first_serial    BIGINT NOT NULL,
    quantity        BIGINT NOT NULL,
    mark            VARCHAR(8) NOT NULL,
    rotate_seconds  BIGINT NOT NULL,
    inner_key_id    VARCHAR(40) NOT NULL,
    expires_at      BIGINT NOT NULL,
    production_date VARCHAR(10) NOT NULL,
    description     VARCHAR(4096) NOT NULL,
    created_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX batches_no ON batches (product_id, batch_no);
CREATE UNIQUE INDEX batches_serial ON batches (first_serial);
CREATE INDEX batches_newest ON batches (created_at, batch_id);

CREATE TABLE claims (
    claim_id   VARCHAR(40) PRIMARY KEY,
    batch_id   VARCHAR(40) NOT NULL,
    claimant   VARCHAR(256) NOT NULL,
    from_no    BIGINT NOT NULL,
    to_no      BIGINT NOT NULL,
    task_id    VARCHAR(40) NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX claims_batch ON claims (batch_id, from_no);

CREATE TABLE claim_returns (
    return_id  VARCHAR(40) PRIMARY KEY,
    claim_id   VARCHAR(40) NOT NULL,
    from_no    BIGINT NOT NULL,
    to_no      BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- the blocks that no one holds; they neither overlap nor touch
CREATE TABLE pool_free (
    batch_id VARCHAR(40) NOT NULL,
    from_no  BIGINT NOT NULL,
    to_no    BIGINT NOT NULL,
    PRIMARY KEY (batch_id, from_no)
);

-- the feed: batches made, states changed, items reissued, in the order of commit
CREATE TABLE changes (
    shard        INTEGER NOT NULL,
    seq          BIGINT NOT NULL,
    kind         INTEGER NOT NULL,
    change_id    VARCHAR(40) NOT NULL,
    batch_first  BIGINT NOT NULL,
    brand_id     INTEGER NOT NULL,
    to_state     INTEGER NOT NULL,
    reverts      VARCHAR(40) NOT NULL,
    reason       VARCHAR(256) NOT NULL,
    actor        VARCHAR(256) NOT NULL,
    effective_at BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    place        VARCHAR(256) NOT NULL,
    items        BIGINT NOT NULL,
    unchanged    BIGINT NOT NULL,
    refused      BLOB NOT NULL,
    serial       BIGINT NOT NULL,
    version      INTEGER NOT NULL,
    PRIMARY KEY (shard, seq)
);
CREATE UNIQUE INDEX changes_id ON changes (change_id);
CREATE INDEX changes_kind ON changes (shard, kind, seq);
CREATE INDEX changes_serial ON changes (serial, seq);

-- what a change covers: one row for each batch and state; runs are the numbers
-- when they are more than one run
CREATE TABLE change_covers (
    change_id   VARCHAR(40) NOT NULL,
    n           INTEGER NOT NULL,
    batch_first BIGINT NOT NULL,
    to_state    INTEGER NOT NULL,
    from_no     BIGINT NOT NULL,
    to_no       BIGINT NOT NULL,
    runs        BLOB,
    PRIMARY KEY (change_id, n)
);
CREATE INDEX change_covers_batch ON change_covers (batch_first, from_no);

-- items with a record of their own
CREATE TABLE item_records (
    serial      BIGINT PRIMARY KEY,
    version     INTEGER NOT NULL,
    inner_tries INTEGER NOT NULL,
    inner_at    BIGINT NOT NULL
);
