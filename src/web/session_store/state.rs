//! The entries of a session.

use std::collections::HashMap;

/// JSON values by name, as the session middleware loads and saves them.
pub type State = HashMap<String, String>;
