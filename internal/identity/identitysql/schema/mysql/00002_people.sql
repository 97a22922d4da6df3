-- +goose Up
-- Companies with their own users, keys and brands.
CREATE TABLE IF NOT EXISTS identity_tenants (
    tenant_id       VARBINARY(40) PRIMARY KEY,
    name            VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    kind            VARBINARY(32) NOT NULL,
    codes_per_day   BIGINT NOT NULL,
    four_eyes_above BIGINT NOT NULL,
    origins         BLOB NOT NULL,
    created_at      BIGINT NOT NULL,
    disabled_at     BIGINT NOT NULL,
    disabled_reason VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
);
INSERT IGNORE INTO identity_tenants (tenant_id, name, kind, codes_per_day, four_eyes_above, origins, created_at, disabled_at, disabled_reason)
    VALUES ('platform', 'platform', 'platform', 0, 0, '', 0, 0, '');

CREATE TABLE IF NOT EXISTS identity_tenant_brands (
    tenant_id VARBINARY(40) NOT NULL,
    brand_id  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, brand_id)
);

CREATE TABLE IF NOT EXISTS identity_usage (
    tenant_id VARBINARY(40) NOT NULL,
    day       VARBINARY(32) NOT NULL,
    codes     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day)
);

CREATE TABLE IF NOT EXISTS identity_roles (
    role_id     VARBINARY(40) PRIMARY KEY,
    tenant_id   VARBINARY(40) NOT NULL,
    name        VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    permissions BLOB NOT NULL,
    UNIQUE KEY identity_roles_name (tenant_id, name)
);

-- What a key may. Keys from before there were tenants have none: they are the platform's.
CREATE TABLE IF NOT EXISTS identity_grants (
    key_id     VARBINARY(40) PRIMARY KEY,
    tenant_id  VARBINARY(40) NOT NULL,
    brands     BLOB NOT NULL,
    created_by VARBINARY(40) NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);

-- A person is sealed under a data key of its own; the hashes are keyed.
CREATE TABLE IF NOT EXISTS identity_users (
    user_id    VARBINARY(40) PRIMARY KEY,
    tenant_id  VARBINARY(40) NOT NULL,
    role_id    VARBINARY(40) NOT NULL,
    brands     BLOB NOT NULL,
    state      VARBINARY(32) NOT NULL,
    data_key   BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    login      VARBINARY(32) NOT NULL,
    email      VARBINARY(32) NULL,
    phone      VARBINARY(32) NULL,
    external   VARBINARY(32) NULL,
    password   VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    totp       BLOB NOT NULL,
    totp_on    INTEGER NOT NULL,
    totp_step  BIGINT NOT NULL,
    passkeys   INTEGER NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE KEY identity_users_login (login),
    UNIQUE KEY identity_users_external (external),
    KEY identity_users_tenant (tenant_id, user_id),
    KEY identity_users_email (email),
    KEY identity_users_phone (phone)
);

CREATE TABLE IF NOT EXISTS identity_links (
    hash       VARBINARY(32) PRIMARY KEY,
    user_id    VARBINARY(40) NOT NULL,
    kind       VARBINARY(32) NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS identity_recovery (
    user_id VARBINARY(40) NOT NULL,
    hash    VARBINARY(32) NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE IF NOT EXISTS identity_passkeys (
    passkey_id VARBINARY(700) PRIMARY KEY,
    user_id    VARBINARY(40) NOT NULL,
    name       VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    data       BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS identity_attempts (
    hash       VARBINARY(32) PRIMARY KEY,
    tries      BIGINT NOT NULL,
    tried_at   BIGINT NOT NULL,
    wait_until BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS identity_sessions (
    session_id VARBINARY(40) PRIMARY KEY,
    hash       VARBINARY(32) NOT NULL,
    user_id    VARBINARY(40) NOT NULL,
    key_id     VARBINARY(40) NOT NULL,
    client     VARBINARY(32) NOT NULL,
    device     VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    net        VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    reason     VARBINARY(32) NOT NULL,
    UNIQUE KEY identity_sessions_hash (hash),
    KEY identity_sessions_user (user_id, created_at),
    KEY identity_sessions_ended (expires_at)
);

-- What processes must forget or read again, in the order of commit.
CREATE TABLE IF NOT EXISTS identity_feed (
    seq     BIGINT PRIMARY KEY,
    kind    VARBINARY(32) NOT NULL,
    subject VARBINARY(40) NOT NULL,
    detail  VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
);
INSERT IGNORE INTO identity_turns (name, turn) VALUES ('feed', 0);

-- The log of changes: a chain for each tenant. Rows are only ever added.
CREATE TABLE IF NOT EXISTS identity_audit (
    tenant_id   VARBINARY(40) NOT NULL,
    n           BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    actor       VARBINARY(40) NOT NULL,
    role_id     VARBINARY(40) NOT NULL,
    action      VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    subject     VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    ends        BIGINT NOT NULL,
    status      INTEGER NOT NULL,
    was         BLOB NOT NULL,
    became      BLOB NOT NULL,
    reason      VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    request_id  VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    hash        VARBINARY(32) NOT NULL,
    PRIMARY KEY (tenant_id, n)
);

CREATE TABLE IF NOT EXISTS identity_audit_heads (
    tenant_id VARBINARY(40) PRIMARY KEY,
    n         BIGINT NOT NULL,
    hash      VARBINARY(32) NOT NULL
);

CREATE TABLE IF NOT EXISTS identity_approvals (
    approval_id VARBINARY(40) PRIMARY KEY,
    tenant_id   VARBINARY(40) NOT NULL,
    brand_id    INTEGER NOT NULL,
    kind        VARBINARY(32) NOT NULL,
    items       BIGINT NOT NULL,
    body        MEDIUMBLOB NOT NULL,
    reason      VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    asked_by    VARBINARY(40) NOT NULL,
    asked_at    BIGINT NOT NULL,
    state       VARBINARY(32) NOT NULL,
    decided_by  VARBINARY(40) NOT NULL,
    decided_at  BIGINT NOT NULL,
    note        VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    effect      VARBINARY(40) NOT NULL,
    KEY identity_approvals_newest (asked_at, approval_id)
);
