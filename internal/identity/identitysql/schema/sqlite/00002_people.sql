-- +goose Up
-- Companies with their own users, keys and brands.
CREATE TABLE identity_tenants (
    tenant_id       VARCHAR(40) PRIMARY KEY,
    name            VARCHAR(256) NOT NULL,
    kind            VARCHAR(32) NOT NULL,
    codes_per_day   BIGINT NOT NULL,
    four_eyes_above BIGINT NOT NULL,
    origins         BLOB NOT NULL,
    created_at      BIGINT NOT NULL,
    disabled_at     BIGINT NOT NULL,
    disabled_reason VARCHAR(512) NOT NULL
);
INSERT INTO identity_tenants (tenant_id, name, kind, codes_per_day, four_eyes_above, origins, created_at, disabled_at, disabled_reason)
    VALUES ('platform', 'platform', 'platform', 0, 0, '', 0, 0, '');

CREATE TABLE identity_tenant_brands (
    tenant_id VARCHAR(40) NOT NULL,
    brand_id  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, brand_id)
);

CREATE TABLE identity_usage (
    tenant_id VARCHAR(40) NOT NULL,
    day       VARCHAR(32) NOT NULL,
    codes     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day)
);

CREATE TABLE identity_roles (
    role_id     VARCHAR(40) PRIMARY KEY,
    tenant_id   VARCHAR(40) NOT NULL,
    name        VARCHAR(256) NOT NULL,
    permissions BLOB NOT NULL,
    UNIQUE (tenant_id, name)
);

-- What a key may. Keys from before there were tenants have none: they are the platform's.
CREATE TABLE identity_grants (
    key_id     VARCHAR(40) PRIMARY KEY,
    tenant_id  VARCHAR(40) NOT NULL,
    brands     BLOB NOT NULL,
    created_by VARCHAR(40) NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);

-- A person is sealed under a data key of its own; the hashes are keyed.
CREATE TABLE identity_users (
    user_id    VARCHAR(40) PRIMARY KEY,
    tenant_id  VARCHAR(40) NOT NULL,
    role_id    VARCHAR(40) NOT NULL,
    brands     BLOB NOT NULL,
    state      VARCHAR(32) NOT NULL,
    data_key   BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    login      BLOB NOT NULL,
    email      BLOB NULL,
    phone      BLOB NULL,
    external   BLOB NULL,
    password   VARCHAR(256) NOT NULL,
    totp       BLOB NOT NULL,
    totp_on    INTEGER NOT NULL,
    totp_step  BIGINT NOT NULL,
    passkeys   INTEGER NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (login),
    UNIQUE (external)
);
CREATE INDEX identity_users_tenant ON identity_users (tenant_id, user_id);
CREATE INDEX identity_users_email ON identity_users (email);
CREATE INDEX identity_users_phone ON identity_users (phone);

CREATE TABLE identity_links (
    hash       BLOB PRIMARY KEY,
    user_id    VARCHAR(40) NOT NULL,
    kind       VARCHAR(32) NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);

CREATE TABLE identity_recovery (
    user_id VARCHAR(40) NOT NULL,
    hash    BLOB NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE identity_passkeys (
    passkey_id VARCHAR(700) PRIMARY KEY,
    user_id    VARCHAR(40) NOT NULL,
    name       VARCHAR(256) NOT NULL,
    data       BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);

CREATE TABLE identity_attempts (
    hash       BLOB PRIMARY KEY,
    tries      BIGINT NOT NULL,
    tried_at   BIGINT NOT NULL,
    wait_until BIGINT NOT NULL
);

CREATE TABLE identity_sessions (
    session_id VARCHAR(40) PRIMARY KEY,
    hash       BLOB NOT NULL,
    user_id    VARCHAR(40) NOT NULL,
    key_id     VARCHAR(40) NOT NULL,
    client     VARCHAR(32) NOT NULL,
    device     VARCHAR(256) NOT NULL,
    net        VARCHAR(256) NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    reason     VARCHAR(32) NOT NULL,
    UNIQUE (hash)
);
CREATE INDEX identity_sessions_user ON identity_sessions (user_id, created_at);
CREATE INDEX identity_sessions_ended ON identity_sessions (expires_at);

-- What processes must forget or read again, in the order of commit.
CREATE TABLE identity_feed (
    seq     BIGINT PRIMARY KEY,
    kind    VARCHAR(32) NOT NULL,
    subject VARCHAR(40) NOT NULL,
    detail  VARCHAR(256) NOT NULL
);
INSERT INTO identity_turns (name, turn) VALUES ('feed', 0);

-- The log of changes: a chain for each tenant. Rows are only ever added.
CREATE TABLE identity_audit (
    tenant_id   VARCHAR(40) NOT NULL,
    n           BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    actor       VARCHAR(40) NOT NULL,
    role_id     VARCHAR(40) NOT NULL,
    action      VARCHAR(256) NOT NULL,
    subject     VARCHAR(256) NOT NULL,
    ends        BIGINT NOT NULL,
    status      INTEGER NOT NULL,
    was         BLOB NOT NULL,
    became      BLOB NOT NULL,
    reason      VARCHAR(512) NOT NULL,
    request_id  VARCHAR(256) NOT NULL,
    hash        BLOB NOT NULL,
    PRIMARY KEY (tenant_id, n)
);

CREATE TABLE identity_audit_heads (
    tenant_id VARCHAR(40) PRIMARY KEY,
    n         BIGINT NOT NULL,
    hash      BLOB NOT NULL
);

CREATE TABLE identity_approvals (
    approval_id VARCHAR(40) PRIMARY KEY,
    tenant_id   VARCHAR(40) NOT NULL,
    brand_id    INTEGER NOT NULL,
    kind        VARCHAR(32) NOT NULL,
    items       BIGINT NOT NULL,
    body        BLOB NOT NULL,
    reason      VARCHAR(512) NOT NULL,
    asked_by    VARCHAR(40) NOT NULL,
    asked_at    BIGINT NOT NULL,
    state       VARCHAR(32) NOT NULL,
    decided_by  VARCHAR(40) NOT NULL,
    decided_at  BIGINT NOT NULL,
    note        VARCHAR(512) NOT NULL,
    effect      VARCHAR(40) NOT NULL
);
CREATE INDEX identity_approvals_newest ON identity_approvals (asked_at, approval_id);
