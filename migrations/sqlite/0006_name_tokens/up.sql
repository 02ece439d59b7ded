-- Which access token a user's name is from, so that an older token does not bring an older name back. A table of its own:
-- a token that changes no name leaves the row of the user, and with it what others keep of it, as it is.

CREATE TABLE name_tokens (
    user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- `iat`: seconds since 1970, UTC.
    issued_at INTEGER NOT NULL
) STRICT;
