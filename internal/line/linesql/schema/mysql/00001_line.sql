-- +goose Up
-- cases and pallets of packing lines. version counts what was done to one, and whoever
-- changes it holds the row; closed_at is its event's eventTime, 0 = it was not closed; listed is 0
-- when its children are forgotten
CREATE TABLE IF NOT EXISTS line_containers (
    brand_id   INT NOT NULL,
    sscc       VARBINARY(18) NOT NULL,
    epc        VARBINARY(256) NOT NULL,
    kind       VARBINARY(8) NOT NULL,
    state      VARBINARY(12) NOT NULL,
    version    BIGINT NOT NULL,
    capacity   INT NOT NULL,
    children   INT NOT NULL,
    location   VARBINARY(512) NOT NULL,
    read_point VARBINARY(512) NOT NULL,
    opened_by  VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    opened_at  BIGINT NOT NULL,
    closed_at  BIGINT NOT NULL,
    event_id   VARBINARY(128) NOT NULL,
    listed     INT NOT NULL,
    PRIMARY KEY (brand_id, sscc),
    KEY line_containers_newest (brand_id, opened_at, sscc),
    KEY line_containers_named (sscc),
    KEY line_containers_state (state, listed, closed_at)
);

-- what is in them: an item's code, or 00 and an SSCC. held is 1 until the container's event is
-- captured and NULL from then on, so that a child is held once at most
CREATE TABLE IF NOT EXISTS line_children (
    brand_id INT NOT NULL,
    sscc     VARBINARY(18) NOT NULL,
    child    VARBINARY(20) NOT NULL,
    epc      VARBINARY(256) NOT NULL,
    serial   BIGINT NOT NULL,
    held     INT,
    PRIMARY KEY (brand_id, sscc, child),
    UNIQUE KEY line_children_held (brand_id, child, held)
);

-- the last number that an SSCC was made of; in the home database alone
CREATE TABLE IF NOT EXISTS line_numbers (
    prefix VARBINARY(12) PRIMARY KEY,
    last   BIGINT NOT NULL
);
