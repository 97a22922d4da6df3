-- +goose Up
CREATE TABLE tasks (
    task_id     VARCHAR(40) PRIMARY KEY,
    kind        VARCHAR(32) NOT NULL,
    state       VARCHAR(16) NOT NULL,
    step        VARCHAR(32) NOT NULL,
    payload     BLOB NOT NULL,
    checkpoint  BLOB NOT NULL,
    subject     VARCHAR(40) NOT NULL,
    file        VARCHAR(128) NOT NULL,
    done        BIGINT NOT NULL,
    total       BIGINT NOT NULL,
    error_code  VARCHAR(64) NOT NULL,
    error_text  VARCHAR(1024) NOT NULL,
    created_by  VARCHAR(64) NOT NULL,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL
);
CREATE INDEX tasks_open ON tasks (state, created_at);
