-- +goose Up
-- the name of a brand's logo among the files; '' = none
ALTER TABLE brand_settings ADD COLUMN logo TEXT NOT NULL DEFAULT '';
