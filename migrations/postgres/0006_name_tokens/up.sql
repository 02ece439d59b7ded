-- The access token that a user's name comes from, so that an older token does not restore an older name. A separate table,
-- because a token that changes no name must not change the user's row, whose version caches depend on.

CREATE TABLE name_tokens (
    user_id BIGINT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- `iat`: seconds since 1970, UTC.
    issued_at BIGINT NOT NULL
);
