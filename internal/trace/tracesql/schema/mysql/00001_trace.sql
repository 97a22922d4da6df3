-- +goose Up
-- the last number of each shard's events; whoever holds the row captures
CREATE TABLE IF NOT EXISTS trace_counters (
    shard INT PRIMARY KEY,
    last  BIGINT NOT NULL,
    at    BIGINT NOT NULL
);
INSERT IGNORE INTO trace_counters (shard, last, at) VALUES
    (0,0,0),(1,0,0),(2,0,0),(3,0,0),(4,0,0),(5,0,0),(6,0,0),(7,0,0),
    (8,0,0),(9,0,0),(10,0,0),(11,0,0),(12,0,0),(13,0,0),(14,0,0),(15,0,0);

CREATE TABLE IF NOT EXISTS trace_brands (
    brand_id INT PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS trace_events (
    event_no    BIGINT PRIMARY KEY,
    brand_id    INT NOT NULL,
    hash        VARBINARY(32) NOT NULL,
    declared    INT NOT NULL,
    withdrawn   INT NOT NULL,
    event_time  BIGINT NOT NULL,
    record_time BIGINT NOT NULL,
    body        LONGBLOB NOT NULL,
    ours        LONGBLOB NOT NULL,
    UNIQUE KEY trace_events_hash (brand_id, hash, declared),
    KEY trace_events_time (brand_id, event_time, event_no),
    KEY trace_events_record (brand_id, record_time, event_no)
);

-- which events have a term, by when they were
CREATE TABLE IF NOT EXISTS trace_postings (
    term       BIGINT NOT NULL,
    event_time BIGINT NOT NULL,
    event_no   BIGINT NOT NULL,
    PRIMARY KEY (term, event_time, event_no)
);

CREATE TABLE IF NOT EXISTS trace_words (
    brand_id INT NOT NULL,
    kind     INT NOT NULL,
    term     BIGINT NOT NULL,
    text     BLOB NOT NULL,
    PRIMARY KEY (brand_id, kind, term)
);

-- which events have which of our items: runs of serials, each in the one or two bins of
-- its size that it lies in. role: 0 named, 1 somebody's children, 2 a parent
CREATE TABLE IF NOT EXISTS trace_items (
    role        INT NOT NULL,
    bin         BIGINT NOT NULL,
    event_no    BIGINT NOT NULL,
    from_serial BIGINT NOT NULL,
    to_serial   BIGINT NOT NULL,
    event_time  BIGINT NOT NULL,
    PRIMARY KEY (role, bin, event_no, from_serial)
);

CREATE TABLE IF NOT EXISTS trace_jobs (
    job_id      VARBINARY(40) PRIMARY KEY,
    brand_id    INT NOT NULL,
    request     VARBINARY(32) NOT NULL,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    proceeds    INT NOT NULL,
    events      INT NOT NULL,
    results     LONGBLOB NOT NULL,
    KEY trace_jobs_newest (created_at, job_id)
);

CREATE TABLE IF NOT EXISTS trace_queries (
    name       VARBINARY(128) PRIMARY KEY,
    params     MEDIUMBLOB NOT NULL,
    created_at BIGINT NOT NULL
);
