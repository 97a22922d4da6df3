-- +goose Up
-- what brands want kept of addresses
CREATE TABLE scan_policies (
    brand_id   INTEGER PRIMARY KEY,
    ip_days    INTEGER NOT NULL,
    changed_at BIGINT NOT NULL
);

-- one key for each brand and UTC day, wrapped; without its row the day's addresses
-- of the brand are noise
CREATE TABLE scan_keys (
    brand_id INTEGER NOT NULL,
    day      INTEGER NOT NULL,
    wrapped  BLOB NOT NULL,
    PRIMARY KEY (brand_id, day)
);

-- the days of records, each in its own file: which positions of the log it may have
CREATE TABLE scan_days (
    day       INTEGER PRIMARY KEY,
    low_pos   BIGINT NOT NULL,
    high_pos  BIGINT NOT NULL,
    closed_at BIGINT NOT NULL
);
