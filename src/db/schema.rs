//! The tables as Diesel knows them. By hand, the same for both databases; `migrations/` is what makes them.

diesel::table! {
    /// Who has signed in.
    users (id) {
        /// Row id.
        id -> BigInt,
        /// Tenant id, a GUID in lower case.
        tid -> Text,
        /// Object id within the tenant, a GUID in lower case.
        oid -> Text,
        /// For display only.
        display_name -> Text,
        /// Microseconds since 1970, UTC.
        created_at_micros -> BigInt,
        /// Microseconds since 1970, UTC.
        updated_at_micros -> BigInt,
    }
}

diesel::table! {
    /// The posts.
    blog_posts (id) {
        /// Row id.
        id -> BigInt,
        /// 1–200 characters.
        title -> Text,
        /// Not empty.
        content -> Text,
        /// Who wrote it.
        author_id -> BigInt,
        /// Microseconds since 1970, UTC.
        created_at_micros -> BigInt,
        /// Microseconds since 1970, UTC.
        updated_at_micros -> BigInt,
    }
}

diesel::table! {
    /// How many posts there are, kept by triggers: the sum over the slots.
    post_counts (slot) {
        /// Which part of the count.
        slot -> Integer,
        /// The part.
        posts -> BigInt,
        /// SQLite only: another random number whenever a post changes or goes, or its author changes.
        state -> BigInt,
    }
}

diesel::table! {
    /// What was answered to creations that named a key.
    idempotency_keys (id) {
        /// Row id.
        id -> BigInt,
        /// Whose key it is.
        user_id -> BigInt,
        /// 1–255 visible ASCII characters.
        key -> Text,
        /// SHA-256 of what was to be created.
        fingerprint -> Binary,
        /// The post that was; it may be gone.
        post_id -> BigInt,
        /// Its version then.
        post_version -> BigInt,
        /// What was answered.
        answer -> Text,
        /// Microseconds since 1970, UTC.
        created_at_micros -> BigInt,
    }
}

diesel::table! {
    /// The token that each user's name is from.
    name_tokens (user_id) {
        /// Whose name.
        user_id -> BigInt,
        /// `iat` of the token: seconds since 1970, UTC.
        issued_at -> BigInt,
    }
}

diesel::joinable!(blog_posts -> users (author_id));
diesel::allow_tables_to_appear_in_same_query!(users, blog_posts);
