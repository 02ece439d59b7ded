//! Paths of the site that more than one place must agree on.

/// Where Entra ID reports, in a hidden frame, that one of its sessions has ended: the front-channel logout URL to
/// register.
pub const FRONT_CHANNEL_LOGOUT: &str = "/front-channel-logout";

/// Where crawlers look for their rules (RFC 9309 §2.3).
pub const ROBOTS: &str = "/robots.txt";

/// Whether the page at `path`, percent-decoded, depends on the session. The other pages work while the session store is
/// down.
pub fn needs_session(path: &str) -> bool {
    let is_or_is_under = |folder: &str| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !["/static", "/health", FRONT_CHANNEL_LOGOUT, ROBOTS]
        .into_iter()
        .any(is_or_is_under)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_below_a_folder_is_in_it() {
        for path in ["/health", "/health/live", "/static/site.css", "/front-channel-logout"] {
            assert!(!needs_session(path), "{path}");
        }
        for path in ["/", "/posts", "/healthy", "/front-channel-logout-2", "/statics"] {
            assert!(needs_session(path), "{path}");
        }
    }
}
