-- Responses to creations with an idempotency key, so that a repeated request creates no second post. Valid for a day:
-- src/blog/idempotency.rs.

CREATE TABLE idempotency_keys (
    id INTEGER PRIMARY KEY,
    -- Users' keys are separate.
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- SHA-256 of title and content.
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    -- No foreign key: the response stays the same when the post is changed or deleted.
    post_id INTEGER NOT NULL,
    post_version INTEGER NOT NULL,
    answer TEXT NOT NULL,
    created_at_micros INTEGER NOT NULL,
    UNIQUE (user_id, key)
) STRICT;

-- For deleting expired keys.
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at_micros);
