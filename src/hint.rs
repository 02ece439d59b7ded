//! Hints: what an operator can do about an error.

use std::{borrow::Cow, error::Error};

/// An error that may know what to do about it.
pub trait Hint: Error {
    /// What to do, as an instruction in lower case without a full stop; `None` if nothing helps.
    fn hint(&self) -> Option<Cow<'_, str>>;
}
