-- +goose Up
-- photos that are kept for complaints which are not filed yet; kept_at 0 = too late for that
CREATE TABLE IF NOT EXISTS complaint_photos (
    complaint_id VARBINARY(40) PRIMARY KEY,
    photo        VARBINARY(8) NOT NULL,
    kept_at      BIGINT NOT NULL,
    KEY complaint_photos_kept (kept_at)
);
