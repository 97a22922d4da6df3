-- +goose Up
-- the name of a brand's logo among the files; '' = none
ALTER TABLE brand_settings ADD COLUMN logo VARCHAR(64) NOT NULL DEFAULT '';
