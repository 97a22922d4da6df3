-- +goose Up
-- What events say of items: event names it, event_at is when it was; effective_at stays the
-- time of the commit. Of covers, what part of their change they are, which change gave the
-- state, and in which size to look for them.
ALTER TABLE changes ADD COLUMN event VARCHAR(128) NOT NULL DEFAULT '';
ALTER TABLE changes ADD COLUMN event_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX changes_event ON changes (brand_id, event, seq);
ALTER TABLE change_covers ADD COLUMN part INTEGER NOT NULL DEFAULT 0;
ALTER TABLE change_covers ADD COLUMN by_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE change_covers ADD COLUMN size INTEGER NOT NULL DEFAULT 15;
CREATE INDEX change_covers_reach ON change_covers (batch_first, size, from_no);
DROP INDEX change_covers_batch;
