//! Whether there is a connection pooler in between, as connecting shows it: see [`super::connect`].

use super::parameters;
use crate::db::DbError;

/// The outcome of connecting with session options.
pub(super) enum Attempt<C> {
    /// A connection to a server process that shows this connection's mark.
    Marked(C),
    /// A connection to a server process without the mark: there is a pooler.
    Unmarked,
    /// No connection, or one that was lost at once.
    Failed(String),
}

/// A connection, and how it reaches the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Detected<C> {
    Direct(C),
    Pooled(C),
}

/// Connects with options, or without them through a pooler.
///
/// A server that is starting up, or full for a moment, must not count as a pooler permanently. So a failure means that
/// a pooler rejects the options only if three things happen: connecting with options fails, connecting without them
/// works, and connecting with them fails again for a reason that is not temporary.
pub(super) fn direct_or_pooled<C>(
    direct: impl Fn() -> Attempt<C>,
    pooled: impl Fn() -> Result<C, DbError>,
    not_opened: impl Fn(String) -> DbError,
) -> Result<Detected<C>, DbError> {
    match direct() {
        Attempt::Marked(connected) => return Ok(Detected::Direct(connected)),
        Attempt::Unmarked => {}
        Attempt::Failed(reason) if parameters::is_unreachable(&reason) => return Err(not_opened(reason)),
        Attempt::Failed(_) => {
            // When this fails as well, the options are not the reason. Dropped, so that the server does not count both.
            drop(pooled()?);
            match direct() {
                Attempt::Marked(connected) => return Ok(Detected::Direct(connected)),
                Attempt::Failed(reason) if parameters::is_temporary(&reason) => return Err(not_opened(reason)),
                Attempt::Unmarked | Attempt::Failed(_) => {}
            }
        }
    }
    pooled().map(Detected::Pooled)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Detects when the attempts with options end like this, one after the other; also returns how often it connected
    /// without options.
    fn detect(
        attempts: Vec<Attempt<&'static str>>,
        does_plain_fail: bool,
    ) -> (Result<Detected<&'static str>, String>, u32) {
        let attempts = RefCell::new(attempts.into_iter());
        let plain = RefCell::new(0);
        let not_opened = |reason| DbError::cannot_open("", reason);
        let outcome = direct_or_pooled(
            || attempts.borrow_mut().next().expect("no further attempt"),
            || {
                *plain.borrow_mut() += 1;
                if does_plain_fail {
                    Err(not_opened("plain".to_owned()))
                } else {
                    Ok("plain")
                }
            },
            not_opened,
        );
        assert!(attempts.borrow_mut().next().is_none(), "every attempt was made");
        (outcome.map_err(|error| error.to_string()), plain.take())
    }

    fn failed<C>(reason: &str) -> Attempt<C> {
        Attempt::Failed(reason.to_owned())
    }

    const TEMPORARY: [&str; 8] = [
        "connection to server at \"h\", port 5432 failed: FATAL:  sorry, too many clients already",
        "FATAL:  too many connections for role \"blog\"",
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "FATAL:  the database system is starting up",
        "FATAL:  the database system is shutting down",
        "server closed the connection unexpectedly; This probably means the server terminated abnormally",
        "could not receive data from server: Connection reset by peer",
        "FATAL:  terminating connection due to administrator command",
    ];

    #[test]
    fn a_server_that_rejects_connections_for_a_moment_is_not_taken_for_a_pooler() {
        for reason in TEMPORARY {
            let back = detect(vec![failed(reason), Attempt::Marked("marked")], false);
            assert_eq!(back, (Ok(Detected::Direct("marked")), 1), "{reason}");
            let (still, plain) = detect(vec![failed(reason), failed(reason)], false);
            assert!(still.expect_err(reason).contains(reason) && plain == 1, "{reason}");
            let (full, _) = detect(vec![failed(reason)], true);
            assert!(full.expect_err(reason).contains("plain"), "{reason}");
        }
        // In another language.
        let back = detect(
            vec![
                failed("FATAL:  tut mir leid, schon zu viele Verbindungen"),
                Attempt::Marked("marked"),
            ],
            false,
        );
        assert_eq!(back, (Ok(Detected::Direct("marked")), 1));
        let (out_of_reach, plain) = detect(vec![failed("h: Connection refused")], false);
        assert!(out_of_reach.is_err() && plain == 0);
    }

    #[test]
    fn a_pooler_is_one_that_rejects_the_options_again_or_shows_no_mark() {
        let rejected = "FATAL:  unsupported startup parameter: options";
        assert_eq!(
            detect(vec![failed(rejected), failed(rejected)], false),
            (Ok(Detected::Pooled("plain")), 2)
        );
        assert_eq!(
            detect(vec![Attempt::Unmarked], false),
            (Ok(Detected::Pooled("plain")), 1)
        );
        assert_eq!(
            detect(vec![failed(TEMPORARY[0]), Attempt::Unmarked], false),
            (Ok(Detected::Pooled("plain")), 2)
        );
        assert_eq!(
            detect(vec![Attempt::Marked("marked")], false),
            (Ok(Detected::Direct("marked")), 0)
        );
    }
}
