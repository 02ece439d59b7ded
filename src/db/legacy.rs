//! The Python system's SQLite file, read only: tables `users` and `blog_posts` as SQLModel made them.
