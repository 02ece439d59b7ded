//! The tables for Diesel, the same for both databases. Written by hand to match `migrations/`, which create them.

diesel::table! {
    /// Users who have called the API.
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
    /// Blog posts.
    blog_posts (id) {
        /// Row id.
        id -> BigInt,
        /// 1–200 characters.
        title -> Text,
        /// Not empty.
        content -> Text,
        /// Row id of the author.
        author_id -> BigInt,
        /// Microseconds since 1970, UTC.
        created_at_micros -> BigInt,
        /// Microseconds since 1970, UTC.
        updated_at_micros -> BigInt,
    }
}

diesel::table! {
    /// The number of posts, which triggers maintain: the sum over all slots.
    post_counts (slot) {
        /// Which part of the count.
        slot -> Integer,
        /// The part's number of posts.
        posts -> BigInt,
        /// SQLite only: a new random number whenever a post is changed or deleted, or an author changes.
        state -> BigInt,
    }
}

diesel::table! {
    /// Responses to creations with an idempotency key.
    idempotency_keys (id) {
        /// Row id.
        id -> BigInt,
        /// Row id of the key's user.
        user_id -> BigInt,
        /// 1–255 visible ASCII characters.
        key -> Text,
        /// SHA-256 of title and content.
        fingerprint -> Binary,
        /// Row id of the created post, which may have been deleted since.
        post_id -> BigInt,
        /// The post's version at creation.
        post_version -> BigInt,
        /// The response body.
        answer -> Text,
        /// Microseconds since 1970, UTC.
        created_at_micros -> BigInt,
    }
}

diesel::table! {
    /// The token that each user's name comes from.
    name_tokens (user_id) {
        /// Row id of the user.
        user_id -> BigInt,
        /// `iat` of the token: seconds since 1970, UTC.
        issued_at -> BigInt,
    }
}

diesel::joinable!(blog_posts -> users (author_id));
diesel::allow_tables_to_appear_in_same_query!(users, blog_posts);
