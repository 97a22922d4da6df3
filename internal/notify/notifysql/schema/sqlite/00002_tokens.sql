-- +goose Up
-- what a fed endpoint's deliveries are signed with, sealed
CREATE TABLE notify_tokens (
    endpoint_id VARCHAR(40) PRIMARY KEY,
    token       BLOB NOT NULL
);
