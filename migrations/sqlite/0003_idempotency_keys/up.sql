-- What was answered to a creation that named a key, so that asking again makes no second post. Kept for a day:
-- src/blog/idempotency.rs.

CREATE TABLE idempotency_keys (
    id INTEGER PRIMARY KEY,
    -- Another user's key of the same name is another key.
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- SHA-256 of what was to be created.
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    -- No reference: the answer stays what it was when the post is changed or deleted.
    post_id INTEGER NOT NULL,
    post_version INTEGER NOT NULL,
    answer TEXT NOT NULL,
    created_at_micros INTEGER NOT NULL,
    UNIQUE (user_id, key)
) STRICT;

-- For those that are too old.
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at_micros);
