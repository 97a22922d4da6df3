-- +goose Up
-- what brands' master data say of things; term is the key of vocabulary and identifier
CREATE TABLE IF NOT EXISTS trace_masters (
    brand_id   INT NOT NULL,
    term       BIGINT NOT NULL,
    vocabulary BIGINT NOT NULL,
    body       LONGBLOB NOT NULL,
    PRIMARY KEY (brand_id, term)
);
CREATE INDEX trace_masters_vocabulary ON trace_masters (brand_id, vocabulary);
