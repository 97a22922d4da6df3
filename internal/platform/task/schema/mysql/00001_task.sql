-- +goose Up
CREATE TABLE IF NOT EXISTS tasks (
    task_id     VARBINARY(40) PRIMARY KEY,
    kind        VARBINARY(32) NOT NULL,
    state       VARBINARY(16) NOT NULL,
    step        VARBINARY(32) NOT NULL,
    payload     MEDIUMBLOB NOT NULL,
    checkpoint  MEDIUMBLOB NOT NULL,
    subject     VARBINARY(40) NOT NULL,
    file        VARBINARY(128) NOT NULL,
    done        BIGINT NOT NULL,
    total       BIGINT NOT NULL,
    error_code  VARBINARY(64) NOT NULL,
    error_text  VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_by  VARBINARY(256) NOT NULL,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    -- Who runs it, until when without a sign of life, and which taking of it this is.
    owner       VARBINARY(40) NOT NULL,
    lease_until BIGINT NOT NULL,
    fence       BIGINT NOT NULL,
    KEY tasks_open (state, created_at)
);
