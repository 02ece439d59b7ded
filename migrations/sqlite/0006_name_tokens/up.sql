-- The access token that a user's name is from, so that an older token does not restore an older name. A separate table, because
-- a token that changes no name must leave the user's row, and the responses cached from it, unchanged.

CREATE TABLE name_tokens (
    user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- `iat`: seconds since 1970, UTC.
    issued_at INTEGER NOT NULL
) STRICT;
