-- The response to a creation with an idempotency key, so that a retry creates no second post. Stored for a day:
-- src/blog/idempotency.rs.

CREATE TABLE idempotency_keys (
    id INTEGER PRIMARY KEY,
    -- Keys of different users are different, even with the same name.
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- SHA-256 of title and content.
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    -- No reference: the stored response does not change when the post is changed or deleted.
    post_id INTEGER NOT NULL,
    post_version INTEGER NOT NULL,
    answer TEXT NOT NULL,
    created_at_micros INTEGER NOT NULL,
    UNIQUE (user_id, key)
) STRICT;

-- To delete expired keys.
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at_micros);
