-- +goose Up
-- photos that are kept for complaints which are not filed yet; kept_at 0 = too late for that
CREATE TABLE complaint_photos (
    complaint_id VARCHAR(40) PRIMARY KEY,
    photo        VARCHAR(8) NOT NULL,
    kept_at      BIGINT NOT NULL
);
CREATE INDEX complaint_photos_kept ON complaint_photos (kept_at);
