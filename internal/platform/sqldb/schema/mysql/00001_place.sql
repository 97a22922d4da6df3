-- +goose Up
-- One row: whose database this is, and a beat that its copies are compared by.
CREATE TABLE IF NOT EXISTS sql_place (
    id           INT PRIMARY KEY,
    installation VARBINARY(40) NOT NULL,
    place        VARBINARY(40) NOT NULL,
    shards       VARBINARY(1024) NOT NULL,
    beat         BIGINT NOT NULL
);
