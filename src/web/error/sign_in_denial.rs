//! Sign-ins that Entra ID rejects because of the user's account, password, device or second factor. These pages address
//! the user: the site works, and its operator has nothing to fix. `entra::aadsts` has the texts for operators.

use crate::entra::aadsts::{EntraError, ErrorCategory};

/// What the user can do about a rejected sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInDenial {
    /// Be assigned to the application.
    NotAssigned,
    /// Meet the demands of Conditional Access.
    Blocked,
    /// Complete the additional step.
    AnotherFactor,
    /// Enter or renew the password.
    Password,
    /// Have the account unlocked or enabled.
    Account,
    /// Use an account of this organisation.
    WrongAccount,
    /// Sign in again.
    Interrupted,
}

/// Codes by what the user can do (Microsoft Learn, "Microsoft Entra authentication and authorization error codes").
const CODES: [(SignInDenial, &[u32]); 7] = [
    (SignInDenial::NotAssigned, &[50_105]),
    (
        SignInDenial::Blocked,
        &[
            50_005, 50_097, 50_127, 50_129, 50_131, 50_155, 53_000, 53_001, 53_002, 53_003, 53_008, 53_009, 53_010,
            53_011, 54_000, 135_011, 530_003, 530_021, 530_023, 530_032, 530_035,
        ],
    ),
    (
        SignInDenial::AnotherFactor,
        &[
            50_072, 50_074, 50_076, 50_078, 50_079, 50_087, 50_088, 50_158, 50_203, 53_004, 500_121, 500_133, 135_010,
            530_034,
        ],
    ),
    (
        SignInDenial::Password,
        &[
            50_055, 50_056, 50_064, 50_125, 50_126, 50_133, 50_142, 50_144, 50_173, 120_000, 120_002, 120_003, 120_004,
            120_005, 120_012, 120_013,
        ],
    ),
    (SignInDenial::Account, &[50_053, 50_057, 80_012, 500_571]),
    (
        SignInDenial::WrongAccount,
        &[
            16_003, 50_020, 50_034, 50_177, 50_178, 51_004, 90_072, 500_200, 500_202, 500_207, 500_208, 500_209,
        ],
    ),
    (
        SignInDenial::Interrupted,
        &[
            16_000, 16_001, 16_002, 50_058, 50_085, 50_089, 50_132, 50_140, 50_143, 50_180, 50_196, 50_199, 70_043,
            70_044, 70_046, 700_082, 700_084, 501_481,
        ],
    ),
];

/// Whether Entra ID rejected the user and not this site, so that the page addresses the user and the operator has
/// nothing to repair.
pub fn is_about_the_user(error: &EntraError) -> bool {
    SignInDenial::from_error(error).is_some()
}

impl SignInDenial {
    /// `None` when the cause is the site, its registration or an outage.
    pub fn from_error(error: &EntraError) -> Option<Self> {
        if let Some(code) = error.code {
            let listed = CODES
                .iter()
                .find(|(_, codes)| codes.contains(&code))
                .map(|(denial, _)| *denial);
            // Microsoft adds codes to these families.
            let of_family = || match code {
                53_000..=53_999 | 530_000..=530_999 => Some(Self::Blocked),
                120_000..=120_999 => Some(Self::Password),
                _ => None,
            };
            if let Some(denial) = listed.or_else(of_family) {
                return Some(denial);
            }
        }
        (error.category() == ErrorCategory::SignInAgain).then_some(Self::Interrupted)
    }

    pub fn heading(self) -> &'static str {
        match self {
            Self::NotAssigned => "You do not have access to this site yet",
            Self::Blocked => "Your organisation does not allow this sign-in",
            Self::AnotherFactor => "Your sign-in needs one more step",
            Self::Password => "Your password was not accepted",
            Self::Account => "Your account cannot sign in",
            Self::WrongAccount => "This account does not belong to this organisation",
            Self::Interrupted => "Your sign-in was interrupted",
        }
    }

    pub fn happened(self) -> &'static str {
        match self {
            Self::NotAssigned => {
                "Microsoft Entra ID knows you, but your organisation lets only assigned people use this site, and you are not \
                 assigned to it."
            }
            Self::Blocked => {
                "A rule of your organisation (Conditional Access) blocked the sign-in, because of your location, device or \
                 browser, or because it detected a risk."
            }
            Self::AnotherFactor => {
                "Your organisation asks for multifactor authentication, and that step was not completed or is not set up yet."
            }
            Self::Password => "Microsoft Entra ID asks you to enter your password again, or to renew it.",
            Self::Account => {
                "Microsoft Entra ID says that your account is locked or disabled, or cannot sign in at this time."
            }
            Self::WrongAccount => {
                "You signed in with an account of another organisation, or with a personal one. This site accepts accounts of \
                 its own organisation and its guests."
            }
            Self::Interrupted => {
                "Microsoft Entra ID wants you to sign in once more. Your sign-in was too old, or was not finished."
            }
        }
    }

    pub fn advice(self) -> &'static str {
        match self {
            Self::NotAssigned => {
                "Ask an administrator of your organisation to assign you to this site, under Enterprise applications › this site \
                 › Users and groups. Then sign in again. If you have another account that is assigned, use that one."
            }
            Self::Blocked => {
                "Try again from a device and a network that your organisation manages. Your IT support can find the rule in \
                 the sign-in logs of Microsoft Entra ID, by the correlation ID in the details below."
            }
            Self::AnotherFactor => {
                "Sign in again and complete the step, or set it up when you are asked to. If that is not possible, ask your IT \
                 support."
            }
            Self::Password => {
                "Sign in again. If your password has expired, change it first, or ask your IT support to reset it."
            }
            Self::Account => {
                "Ask your IT support to unlock or enable your account. A locked account may work again after some minutes."
            }
            Self::WrongAccount => {
                "Use another account: the one that you have at this organisation. If you should have access as a guest, ask an \
                 administrator to invite you."
            }
            Self::Interrupted => "Sign in again.",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of(error: &str, code: u32) -> Option<SignInDenial> {
        SignInDenial::from_error(&EntraError::from_callback(error, &format!("AADSTS{code}: x")))
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut seen = HashSet::new();
        for code in CODES.iter().flat_map(|(_, codes)| *codes) {
            assert!(seen.insert(code), "{code}");
        }
    }

    #[test]
    fn errors_for_the_user_are_distinguished_from_errors_for_the_operator() {
        for (code, denial) in [
            (50_105, SignInDenial::NotAssigned),
            (53_003, SignInDenial::Blocked),
            (530_999, SignInDenial::Blocked),
            (50_076, SignInDenial::AnotherFactor),
            (50_055, SignInDenial::Password),
            (50_057, SignInDenial::Account),
            (50_020, SignInDenial::WrongAccount),
            (90_072, SignInDenial::WrongAccount),
            (700_082, SignInDenial::Interrupted),
        ] {
            assert_eq!(of("invalid_grant", code), Some(denial), "{code}");
        }
        for code in [700_027, 50_011, 700_016, 500_011, 90_002, 7_000_215, 650_057] {
            assert_eq!(of("invalid_client", code), None, "{code}");
        }
        assert_eq!(
            of("interaction_required", 1),
            Some(SignInDenial::Interrupted),
            "by the OAuth error"
        );
        assert_eq!(of("server_error", 1), None);
    }
}
