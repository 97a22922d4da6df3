-- +goose Up
-- what brands' master data say of things; term is the key of vocabulary and identifier
CREATE TABLE trace_masters (
    brand_id   INTEGER NOT NULL,
    term       BIGINT NOT NULL,
    vocabulary BIGINT NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (brand_id, term)
);
CREATE INDEX trace_masters_vocabulary ON trace_masters (brand_id, vocabulary);
