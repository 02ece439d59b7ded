-- The response to a creation with an idempotency key, so that a retry creates no second post. Stored for a day:
-- src/blog/idempotency.rs.

CREATE TABLE idempotency_keys (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Keys of different users are different, even with the same name.
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key TEXT NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    -- SHA-256 of title and content.
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    -- No reference: the stored response does not change when the post is changed or deleted.
    post_id BIGINT NOT NULL,
    post_version BIGINT NOT NULL,
    answer TEXT NOT NULL,
    created_at_micros BIGINT NOT NULL,
    UNIQUE (user_id, key)
);

-- To delete expired keys.
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at_micros);
