//! Stable codes of error enums, for clients and logs.

/// Makes `code()` and `CODES` from one list: the match must name every variant, so the list of codes is complete.
macro_rules! stable_codes {
    ($($variant:pat => $code:literal,)*) => {
        /// Every code that [`Self::code`] may give.
        pub const CODES: &'static [&'static str] = &[$($code),*];

        /// The stable reason, for clients and logs.
        pub fn code(self) -> &'static str {
            match self {
                $($variant => $code,)*
            }
        }
    };
}
