-- +goose Up
-- what a fed endpoint's deliveries are signed with, sealed
CREATE TABLE IF NOT EXISTS notify_tokens (
    endpoint_id VARBINARY(40) PRIMARY KEY,
    token       VARBINARY(1024) NOT NULL
);
