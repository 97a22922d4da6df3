-- +goose Up
-- systems that are asked; in the home of an installation. brand_id 0 = of all brands
CREATE TABLE trace_sources (
    source_id  VARCHAR(40) PRIMARY KEY,
    brand_id   INT NOT NULL,
    kind       VARCHAR(8) NOT NULL,
    name       VARCHAR(100) NOT NULL,
    url        VARCHAR(2000) NOT NULL,
    token      BLOB NOT NULL,
    enabled    INT NOT NULL,
    version    BIGINT NOT NULL,
    created_by VARCHAR(256) NOT NULL,
    created_at BIGINT NOT NULL,
    removed    INT NOT NULL
);
CREATE INDEX trace_sources_brand ON trace_sources (brand_id, source_id);

-- what was pushed; with its brand. code '' = of the batch, product_id 0 = of any product
CREATE TABLE trace_data (
    data_id     VARCHAR(40) PRIMARY KEY,
    brand_id    INT NOT NULL,
    code        VARCHAR(32) NOT NULL,
    batch_no    VARCHAR(64) NOT NULL,
    product_id  INT NOT NULL,
    trace_type  VARCHAR(16) NOT NULL,
    data_source VARCHAR(8) NOT NULL,
    location    VARCHAR(500) NOT NULL,
    data        BLOB NOT NULL,
    happened_at BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX trace_data_code ON trace_data (code, trace_type);
CREATE INDEX trace_data_source ON trace_data (data_source, created_at);
CREATE INDEX trace_data_batch ON trace_data (brand_id, batch_no, happened_at);

-- rows of a file that its task adds; what was added is gone from here
CREATE TABLE trace_imports (
    task_id VARCHAR(40) NOT NULL,
    part    INT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (task_id, part)
);
