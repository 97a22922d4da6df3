-- +goose Up
-- what brands want kept of addresses
CREATE TABLE IF NOT EXISTS scan_policies (
    brand_id   INT PRIMARY KEY,
    ip_days    INT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- one key for each brand and UTC day, wrapped; without its row the day's addresses
-- of the brand are noise
CREATE TABLE IF NOT EXISTS scan_keys (
    brand_id INT NOT NULL,
    day      INT NOT NULL,
    wrapped  VARBINARY(128) NOT NULL,
    PRIMARY KEY (brand_id, day)
);

-- the days that have records
CREATE TABLE IF NOT EXISTS scan_days (
    day       INT PRIMARY KEY,
    closed_at BIGINT NOT NULL
);

-- The seed's table. The key is the sighting's name behind its UTC day (counted from
-- 1970), so that a day is a partition; upkeep splits the days off p_future.
CREATE TABLE IF NOT EXISTS scan_records (
    day           INT NOT NULL,
    pos           BIGINT NOT NULL,
    n             INT NOT NULL,
    id            VARBINARY(32) GENERATED ALWAYS AS (CONCAT(pos, '-', n)) VIRTUAL,
    code          VARBINARY(18) NOT NULL,
    user_id       BIGINT,
    ip            VARBINARY(43),
    user_agent    VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    location      VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    scan_time     BIGINT NOT NULL,
    result        TINYINT NOT NULL,
    error_msg     VARBINARY(32),
    user_timezone VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    serial        BIGINT NOT NULL,
    brand_id      INT NOT NULL,
    product_id    INT NOT NULL,
    batch_first   BIGINT NOT NULL,
    facts         BIGINT NOT NULL,
    device        BIGINT,
    ip_sealed     VARBINARY(64),
    trace_id      VARBINARY(16),
    prev_pos      BIGINT,
    prev_n        INT,
    verdict       INT GENERATED ALWAYS AS (facts >> 8 & 255) VIRTUAL,
    source        INT GENERATED ALWAYS AS (facts >> 16 & 255) VIRTUAL,
    PRIMARY KEY (day, pos, n),
    KEY scan_records_code (code, scan_time),
    KEY scan_records_user (user_id, scan_time),
    KEY scan_records_time (scan_time),
    KEY scan_records_result (scan_time, result)
)
PARTITION BY RANGE (day) (
    PARTITION p_future VALUES LESS THAN MAXVALUE
);

-- sums by the hierarchy: the batch determines product and brand
CREATE TABLE IF NOT EXISTS scan_counts (
    grain        INT NOT NULL,
    brand_id     INT NOT NULL,
    start        BIGINT NOT NULL,
    product_id   INT NOT NULL,
    batch_first  BIGINT NOT NULL,
    province     VARBINARY(64) NOT NULL,
    verdict      INT NOT NULL,
    scans        BIGINT NOT NULL,
    sessions     BIGINT NOT NULL,
    first_scans  BIGINT NOT NULL,
    first_of_day BIGINT NOT NULL,
    PRIMARY KEY (grain, brand_id, start, product_id, batch_first, province, verdict)
);

CREATE TABLE IF NOT EXISTS scan_brands (
    brand_id INT PRIMARY KEY
);

-- distinct codes of a batch (and, with batch_first = -1, of the brand) on a day
CREATE TABLE IF NOT EXISTS scan_sketches (
    brand_id    INT NOT NULL,
    day         INT NOT NULL,
    product_id  INT NOT NULL,
    batch_first BIGINT NOT NULL,
    sketch      MEDIUMBLOB NOT NULL,
    PRIMARY KEY (brand_id, day, product_id, batch_first)
);

-- sightings that are counted and not yet in the sketches, which are too large to be
-- written with each batch. To unite them twice changes nothing
CREATE TABLE IF NOT EXISTS scan_deltas (
    id   BIGINT PRIMARY KEY AUTO_INCREMENT,
    body MEDIUMBLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS scan_top_codes (
    brand_id INT NOT NULL,
    serial   BIGINT NOT NULL,
    scans    BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (brand_id, serial),
    KEY scan_top_codes_scans (brand_id, scans)
);

-- a row for each code that was ever scanned, in the order of the list
CREATE TABLE IF NOT EXISTS scanned_items (
    brand_id INT NOT NULL,
    first_at BIGINT NOT NULL,
    serial   BIGINT NOT NULL,
    PRIMARY KEY (brand_id, first_at, serial)
);

-- of each lane, so that lanes do not wait for each other
CREATE TABLE IF NOT EXISTS scan_newest (
    lane INT PRIMARY KEY,
    at   BIGINT NOT NULL
);

-- what the sightings of an item add up to, for ever
CREATE TABLE IF NOT EXISTS scan_summaries (
    serial         BIGINT PRIMARY KEY,
    scans          BIGINT NOT NULL,
    sessions       BIGINT NOT NULL,
    first_at       BIGINT NOT NULL,
    first_country  VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    first_province VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    first_city     VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    last_at        BIGINT NOT NULL,
    last_country   VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    last_province  VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    last_city      VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
);
