//! App roles that the API's registration may define (Microsoft Learn "Add app roles to your application").

/// What `roles` may hold for this API; a later one may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppRole {
    /// `Blog.Reader`: reads.
    Reader,
    /// `Blog.Writer`: also writes posts, and changes its own.
    Writer,
    /// `Blog.Admin`: also changes and deletes anybody's.
    Admin,
}

impl AppRole {
    /// The value in `roles`; its case matters.
    pub fn of_value(value: &str) -> Option<Self> {
        match value {
            "Blog.Reader" => Some(Self::Reader),
            "Blog.Writer" => Some(Self::Writer),
            "Blog.Admin" => Some(Self::Admin),
            _ => None,
        }
    }
}
