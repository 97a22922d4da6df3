-- +goose Up
-- A user's passkeys are asked for at each sign-in.
CREATE INDEX identity_passkeys_user ON identity_passkeys (user_id);
