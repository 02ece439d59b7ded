//! The limit of file descriptors: each connection uses one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fewest and most descriptors that are reserved for files, databases and requests to other servers.
const RESERVED: (usize, usize) = (64, 1024);

/// Raises the soft limit of this process to the hard limit. Most systems start programs with 1,024, for programs that
/// cannot handle more.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
    {
        log::warn!(
            "cannot raise the limit of open files above {}: {error}",
            current.unwrap_or_default()
        );
    }
}

/// How many connections the descriptors of this process suffice for; `None` without a limit.
pub fn room_for_connections() -> Option<usize> {
    let limit = usize::try_from(getrlimit(Resource::Nofile).current?).ok()?;
    Some(connections_within(limit))
}

fn connections_within(limit: usize) -> usize {
    let (fewest, most) = RESERVED;
    limit.saturating_sub((limit / 4).clamp(fewest, most)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_everything_else() {
        assert_eq!(connections_within(1024), 768);
        assert_eq!(connections_within(1_000_000), 998_976);
        assert_eq!(connections_within(100), 36);
        assert_eq!(connections_within(10), 1, "rather one than none");
    }
}
