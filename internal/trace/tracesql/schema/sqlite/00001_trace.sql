-- +goose Up
-- the last number of each shard's events; whoever holds the row captures
CREATE TABLE trace_counters (
    shard INTEGER PRIMARY KEY,
    last  BIGINT NOT NULL,
    at    BIGINT NOT NULL
);
INSERT INTO trace_counters (shard, last, at) VALUES
    (0,0,0),(1,0,0),(2,0,0),(3,0,0),(4,0,0),(5,0,0),(6,0,0),(7,0,0),
    (8,0,0),(9,0,0),(10,0,0),(11,0,0),(12,0,0),(13,0,0),(14,0,0),(15,0,0);

CREATE TABLE trace_brands (
    brand_id INTEGER PRIMARY KEY
);

CREATE TABLE trace_events (
    event_no    INTEGER PRIMARY KEY,
    brand_id    INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    declared    INTEGER NOT NULL,
    withdrawn   INTEGER NOT NULL,
    event_time  BIGINT NOT NULL,
    record_time BIGINT NOT NULL,
    body        BLOB NOT NULL,
    ours        BLOB NOT NULL
);
CREATE UNIQUE INDEX trace_events_hash ON trace_events (brand_id, hash, declared);
CREATE INDEX trace_events_time ON trace_events (brand_id, event_time, event_no);
CREATE INDEX trace_events_record ON trace_events (brand_id, record_time, event_no);

-- which events have a term, by when they were
CREATE TABLE trace_postings (
    term       BIGINT NOT NULL,
    event_time BIGINT NOT NULL,
    event_no   BIGINT NOT NULL,
    PRIMARY KEY (term, event_time, event_no)
) WITHOUT ROWID;

CREATE TABLE trace_words (
    brand_id INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    term     BIGINT NOT NULL,
    text     BLOB NOT NULL,
    PRIMARY KEY (brand_id, kind, term)
) WITHOUT ROWID;

-- which events have which of our items: runs of serials, each in the one or two bins of
-- its size that it lies in. role: 0 named, 1 somebody's children, 2 a parent
CREATE TABLE trace_items (
    role        INTEGER NOT NULL,
    bin         BIGINT NOT NULL,
    event_no    BIGINT NOT NULL,
    from_serial BIGINT NOT NULL,
    to_serial   BIGINT NOT NULL,
    event_time  BIGINT NOT NULL,
    PRIMARY KEY (role, bin, event_no, from_serial)
) WITHOUT ROWID;

CREATE TABLE trace_jobs (
    job_id      VARCHAR(40) PRIMARY KEY,
    brand_id    INTEGER NOT NULL,
    request     BLOB NOT NULL,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    proceeds    INTEGER NOT NULL,
    events      INTEGER NOT NULL,
    results     BLOB NOT NULL
);
CREATE INDEX trace_jobs_newest ON trace_jobs (created_at, job_id);

CREATE TABLE trace_queries (
    name       VARCHAR(128) PRIMARY KEY,
    params     BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
