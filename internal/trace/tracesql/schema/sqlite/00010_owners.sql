-- +goose Up
-- A page of one brand's jobs, the newest first; queries under a name of each brand.
CREATE INDEX trace_jobs_brand ON trace_jobs (brand_id, created_at, job_id);

CREATE TABLE trace_named (
    brand_id   INTEGER NOT NULL,
    name       VARCHAR(128) NOT NULL,
    params     BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (brand_id, name)
);
INSERT INTO trace_named (brand_id, name, params, created_at) SELECT 0, name, params, created_at FROM trace_queries;
DROP TABLE trace_queries;
