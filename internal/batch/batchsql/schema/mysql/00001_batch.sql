-- +goose Up
CREATE TABLE IF NOT EXISTS batch_ids (
    name VARBINARY(16) PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT IGNORE INTO batch_ids (name, last) VALUES ('brand', 1000), ('product', 2000);

-- Texts for people are utf8mb4; what is compared or looked up is bytes.
CREATE TABLE IF NOT EXISTS brands (
    brand_id   INT PRIMARY KEY,
    name       VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS products (
    product_id          INT PRIMARY KEY,
    brand_id            INT NOT NULL,
    name                VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    gtin                VARBINARY(14) NOT NULL,
    description         VARCHAR(4096) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    help                VARCHAR(4096) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    pool_target         BIGINT NOT NULL,
    pool_batch_quantity BIGINT NOT NULL,
    pool_expire_hours   INT NOT NULL,
    pool_rotate_seconds BIGINT NOT NULL,
    pool_mark           VARBINARY(8) NOT NULL,
    pool_inner_code     INT NOT NULL,
    created_at          BIGINT NOT NULL,
    KEY products_brand (brand_id, product_id)
);

-- the next free number of each shard: batches take contiguous runs from it
CREATE TABLE IF NOT EXISTS serial_counters (
    shard INT PRIMARY KEY,
    next  BIGINT NOT NULL
);
INSERT IGNORE INTO serial_counters (shard, next) VALUES
    (0,0),(1,0),(2,0),(3,0),(4,0),(5,0),(6,0),(7,0),
    (8,0),(9,0),(10,0),(11,0),(12,0),(13,0),(14,0),(15,0);

CREATE TABLE IF NOT EXISTS batches (
    batch_id        VARBINARY(40) PRIMARY KEY,
    product_id      INT NOT NULL,
    brand_id        INT NOT NULL,
    batch_no        VARBINARY(64) NOT NULL,
    first_serial    BIGINT NOT NULL,
    quantity        BIGINT NOT NULL,
    mark            VARBINARY(8) NOT NULL,
    rotate_seconds  BIGINT NOT NULL,
    inner_key_id    VARBINARY(40) NOT NULL,
    expires_at      BIGINT NOT NULL,
    production_date VARBINARY(10) NOT NULL,
    description     VARCHAR(4096) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at      BIGINT NOT NULL,
    UNIQUE KEY batches_no (product_id, batch_no),
    UNIQUE KEY batches_serial (first_serial),
    KEY batches_newest (created_at, batch_id)
);

CREATE TABLE IF NOT EXISTS claims (
    claim_id   VARBINARY(40) PRIMARY KEY,
    batch_id   VARBINARY(40) NOT NULL,
    claimant   VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    from_no    BIGINT NOT NULL,
    to_no      BIGINT NOT NULL,
    task_id    VARBINARY(40) NOT NULL,
    created_at BIGINT NOT NULL,
    KEY claims_batch (batch_id, from_no)
);

CREATE TABLE IF NOT EXISTS claim_returns (
    return_id  VARBINARY(40) PRIMARY KEY,
    claim_id   VARBINARY(40) NOT NULL,
    from_no    BIGINT NOT NULL,
    to_no      BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- the blocks that no one holds; they neither overlap nor touch
CREATE TABLE IF NOT EXISTS pool_free (
    batch_id VARBINARY(40) NOT NULL,
    from_no  BIGINT NOT NULL,
    to_no    BIGINT NOT NULL,
    PRIMARY KEY (batch_id, from_no)
);

-- the feed: batches made, states changed, items reissued, in the order of commit
CREATE TABLE IF NOT EXISTS changes (
    shard        INT NOT NULL,
    seq          BIGINT NOT NULL,
    kind         INT NOT NULL,
    change_id    VARBINARY(40) NOT NULL,
    batch_first  BIGINT NOT NULL,
    brand_id     INT NOT NULL,
    to_state     INT NOT NULL,
    reverts      VARBINARY(40) NOT NULL,
    reason       VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    actor        VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    effective_at BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    place        VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    items        BIGINT NOT NULL,
    unchanged    BIGINT NOT NULL,
    refused      MEDIUMBLOB NOT NULL,
    serial       BIGINT NOT NULL,
    version      INT NOT NULL,
    PRIMARY KEY (shard, seq),
    UNIQUE KEY changes_id (change_id),
    KEY changes_kind (shard, kind, seq),
    KEY changes_serial (serial, seq),
    KEY changes_brand (brand_id, effective_at, seq)
);

-- what a change covers: one row for each batch and state; runs are the numbers
-- when they are more than one run
CREATE TABLE IF NOT EXISTS change_covers (
    change_id   VARBINARY(40) NOT NULL,
    n           INT NOT NULL,
    batch_first BIGINT NOT NULL,
    to_state    INT NOT NULL,
    from_no     BIGINT NOT NULL,
    to_no       BIGINT NOT NULL,
    runs        MEDIUMBLOB,
    PRIMARY KEY (change_id, n),
    KEY change_covers_batch (batch_first, from_no)
);

-- items with a record of their own
CREATE TABLE IF NOT EXISTS item_records (
    serial      BIGINT PRIMARY KEY,
    version     INT NOT NULL,
    inner_tries INT NOT NULL,
    inner_at    BIGINT NOT NULL
);
