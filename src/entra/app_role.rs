//! App roles that the API's registration may define (Microsoft Learn "Add app roles to your application").

/// A role in `roles`. Each role includes the permissions of the roles before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppRole {
    /// `Blog.Reader`: reads.
    Reader,
    /// `Blog.Writer`: also writes posts, and changes its own posts.
    Writer,
    /// `Blog.Admin`: also changes and deletes the posts of others.
    Admin,
}

impl AppRole {
    /// Parses a value of `roles`, which is case-sensitive.
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "Blog.Reader" => Some(Self::Reader),
            "Blog.Writer" => Some(Self::Writer),
            "Blog.Admin" => Some(Self::Admin),
            _ => None,
        }
    }
}
