//! Stable codes of error enums, for clients and logs.

/// Generates `code()` and `CODES` from one list. The match names every variant, so the list is complete.
macro_rules! stable_codes {
    ($($variant:pat => $code:literal,)*) => {
        /// Every code that [`Self::code`] can return.
        pub const CODES: &'static [&'static str] = &[$($code),*];

        /// The stable code, for clients and logs.
        pub fn code(self) -> &'static str {
            match self {
                $($variant => $code,)*
            }
        }
    };
}
