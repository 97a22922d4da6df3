-- +goose Up
-- cases and pallets of packing lines. version counts what was done to one, and whoever
-- changes it holds the row; closed_at is its event's eventTime, 0 = it was not closed; listed is 0
-- when its children are forgotten
CREATE TABLE line_containers (
    brand_id   INTEGER NOT NULL,
    sscc       VARCHAR(18) NOT NULL,
    epc        VARCHAR(256) NOT NULL,
    kind       VARCHAR(8) NOT NULL,
    state      VARCHAR(12) NOT NULL,
    version    BIGINT NOT NULL,
    capacity   INTEGER NOT NULL,
    children   INTEGER NOT NULL,
    location   VARCHAR(512) NOT NULL,
    read_point VARCHAR(512) NOT NULL,
    opened_by  VARCHAR(256) NOT NULL,
    opened_at  BIGINT NOT NULL,
    closed_at  BIGINT NOT NULL,
    event_id   VARCHAR(128) NOT NULL,
    listed     INTEGER NOT NULL,
    PRIMARY KEY (brand_id, sscc)
) WITHOUT ROWID;
CREATE INDEX line_containers_newest ON line_containers (brand_id, opened_at, sscc);
CREATE INDEX line_containers_named ON line_containers (sscc);
CREATE INDEX line_containers_state ON line_containers (state, listed, closed_at);

-- what is in them: an item's code, or 00 and an SSCC. held is 1 until the container's event is
-- captured and NULL from then on, so that a child is held once at most
CREATE TABLE line_children (
    brand_id INTEGER NOT NULL,
    sscc     VARCHAR(18) NOT NULL,
    child    VARCHAR(20) NOT NULL,
    epc      VARCHAR(256) NOT NULL,
    serial   BIGINT NOT NULL,
    held     INTEGER,
    PRIMARY KEY (brand_id, sscc, child)
) WITHOUT ROWID;
CREATE UNIQUE INDEX line_children_held ON line_children (brand_id, child, held);

-- the last number that an SSCC was made of; in the home database alone
CREATE TABLE line_numbers (
    prefix VARCHAR(12) PRIMARY KEY,
    last   BIGINT NOT NULL
);
