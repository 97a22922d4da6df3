-- +goose Up
-- systems that are asked; in the home of an installation. brand_id 0 = of all brands
CREATE TABLE IF NOT EXISTS trace_sources (
    source_id  VARBINARY(40) PRIMARY KEY,
    brand_id   INT NOT NULL,
    kind       VARBINARY(8) NOT NULL,
    name       VARBINARY(100) NOT NULL,
    url        VARBINARY(2000) NOT NULL,
    token      BLOB NOT NULL,
    enabled    INT NOT NULL,
    version    BIGINT NOT NULL,
    created_by VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at BIGINT NOT NULL,
    removed    INT NOT NULL,
    KEY trace_sources_brand (brand_id, source_id)
);

-- what was pushed; with its brand. code '' = of the batch, product_id 0 = of any product
CREATE TABLE IF NOT EXISTS trace_data (
    data_id     VARBINARY(40) PRIMARY KEY,
    brand_id    INT NOT NULL,
    code        VARBINARY(32) NOT NULL,
    batch_no    VARBINARY(64) NOT NULL,
    product_id  INT NOT NULL,
    trace_type  VARBINARY(16) NOT NULL,
    data_source VARBINARY(8) NOT NULL,
    location    VARBINARY(500) NOT NULL,
    data        MEDIUMBLOB NOT NULL,
    happened_at BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    KEY trace_data_code (code, trace_type),
    KEY trace_data_source (data_source, created_at),
    KEY trace_data_batch (brand_id, batch_no, happened_at)
);

-- rows of a file that its task adds; what was added is gone from here
CREATE TABLE IF NOT EXISTS trace_imports (
    task_id VARBINARY(40) NOT NULL,
    part    INT NOT NULL,
    body    MEDIUMBLOB NOT NULL,
    PRIMARY KEY (task_id, part)
);
