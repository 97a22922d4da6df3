-- +goose Up
-- Whose goods a task is about, for lists. Tasks of before have 0, and are listed for who sees all brands.
ALTER TABLE tasks ADD COLUMN brand_id INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tasks_recent ON tasks (created_at, task_id);
CREATE INDEX tasks_brand ON tasks (brand_id, created_at, task_id);
