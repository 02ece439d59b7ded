-- Responses to creations with an idempotency key, so that a repeated request creates no second post. Valid for a day:
-- src/blog/idempotency.rs.

CREATE TABLE idempotency_keys (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Users' keys are separate.
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key TEXT NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    -- SHA-256 of title and content.
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    -- No foreign key: the response stays the same when the post is changed or deleted.
    post_id BIGINT NOT NULL,
    post_version BIGINT NOT NULL,
    answer TEXT NOT NULL,
    created_at_micros BIGINT NOT NULL,
    UNIQUE (user_id, key)
);

-- For deleting expired keys.
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at_micros);
