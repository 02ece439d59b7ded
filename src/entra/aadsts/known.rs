//! The table of known codes, one entry per code (Microsoft Learn, "Microsoft Entra authentication and authorization error
//! codes"; the certificate's codes also from the source of Microsoft.Identity.Web).

use super::{ErrorCategory, KnownCode};

/// Every code that blogctl explains, in the order of what has to be done about it.
pub const KNOWN: &[KnownCode] = &[
    // The certificate. These six, and no other, are about the one that was used: another one may be accepted.
    KnownCode {
        code: 700_027,
        category: ErrorCategory::Certificate,
        cause: "the certificate that this site used is not registered for its application, or its key did not make the signature",
        hint: "The operator must upload the certificate in the Entra admin center under App registrations › the \
               site's registration › Certificates & secrets, and compare the thumbprint shown there with `blogctl cert thumbprint`.",
    },
    KnownCode {
        code: 700_024,
        category: ErrorCategory::Certificate,
        cause: "the client assertion is outside its period of validity",
        hint: "The operator must set the clock of the machine that runs this site (NTP): it disagrees with Entra ID's.",
    },
    KnownCode {
        code: 7_000_214,
        category: ErrorCategory::Certificate,
        cause: "the certificate that this site signed with has been revoked",
        hint: "The operator must make a new certificate, upload it under App registrations › Certificates & secrets, and \
               replace the old one with it.",
    },
    KnownCode {
        code: 7_000_277,
        category: ErrorCategory::Certificate,
        cause: "the certificate that this site signed with was revoked or barred for this application",
        hint: "The operator must make a new certificate, upload it under App registrations › Certificates & secrets, and \
               replace the old one with it.",
    },
    KnownCode {
        code: 1_000_502,
        category: ErrorCategory::Certificate,
        cause: "the certificate that this site signed with is not in its period of validity",
        hint: "The operator must make a new certificate (`blogctl cert new`), upload it under App registrations › \
               Certificates & secrets, and replace the old one with it.",
    },
    KnownCode {
        code: 7_000_274,
        category: ErrorCategory::Certificate,
        cause: "the certificate that this site signed with is expired, or its key did not make the signature",
        hint: "The operator must run `blogctl cert check`, and compare `blogctl cert thumbprint` with App registrations › \
               Certificates & secrets.",
    },
    // Registration and settings. Repeating the request changes nothing.
    KnownCode {
        code: 700_016,
        category: ErrorCategory::Configuration,
        cause: "the application is not known in this tenant",
        hint: "The operator must compare client.client_id and entra.tenant_id with App registrations › Overview.",
    },
    KnownCode {
        code: 7_000_218,
        category: ErrorCategory::Configuration,
        cause: "the request held no client assertion",
        hint: "The operator must check what changes this site's requests on the way, such as a proxy.",
    },
    KnownCode {
        code: 700_025,
        category: ErrorCategory::Configuration,
        cause: "the application is registered as a public client, which may not authenticate",
        hint: "The operator must register the redirect URI under App registrations › Authentication › Redirect URI \
               configuration › Web, not under mobile and desktop applications.",
    },
    KnownCode {
        code: 50_011,
        category: ErrorCategory::Configuration,
        cause: "the redirect URI is not registered",
        hint: "The operator must add exactly the address in client.redirect_uri (scheme, host, port and path) under App \
               registrations › Authentication › Redirect URI configuration › Web.",
    },
    KnownCode {
        code: 500_112,
        category: ErrorCategory::Configuration,
        cause: "the redirect URI sent with the authorization code differs from the one that the sign-in began with",
        hint: "The operator must give every replica of this site the same client.redirect_uri or client.public_url, and end a \
               roll-out that changes it before people sign in again.",
    },
    KnownCode {
        code: 500_113,
        category: ErrorCategory::Configuration,
        cause: "the site's registration has no redirect URI at all",
        hint: "The operator must add the address in client.redirect_uri under App registrations › Authentication › Redirect URI \
               configuration › Web.",
    },
    KnownCode {
        code: 9_002_327,
        category: ErrorCategory::Configuration,
        cause: "the redirect URI is registered for a single-page application, whose codes only a browser may redeem",
        hint: "The operator must remove the redirect URI from the platform Single-page application and add it to the platform Web, \
               under App registrations › Authentication › Redirect URI configuration.",
    },
    KnownCode {
        code: 7_000_112,
        category: ErrorCategory::Configuration,
        cause: "the application is disabled in this tenant",
        hint: "An administrator must enable it under Enterprise applications › the site › Properties › Enabled for users to sign \
               in, if it was not disabled on purpose. If sign-in works for the site, the API's entry is the disabled one.",
    },
    KnownCode {
        code: 50_194,
        category: ErrorCategory::Configuration,
        cause: "the application is registered for one tenant, and the request did not name it",
        hint: "The operator must set entra.tenant_id to the Directory (tenant) ID of the registration's Overview page.",
    },
    KnownCode {
        code: 90_009,
        category: ErrorCategory::Configuration,
        cause: "the site asks for a token for itself: site and API have the same registration",
        hint: "The operator must register the API on its own and set client.api_scope to its scope, or name the scope by client id: \
               CLIENT_ID/access_as_user.",
    },
    KnownCode {
        code: 650_052,
        category: ErrorCategory::Configuration,
        cause: "the tenant has no service principal of the API that the site asks a token for",
        hint: "An administrator must create it with `az ad sp create --id` and the API's client id, or by granting consent for all users.",
    },
    KnownCode {
        code: 650_056,
        category: ErrorCategory::Configuration,
        cause: "the site's registration is incomplete: it lists no permission, or consent has not been given in this tenant",
        hint: "The operator must add the API's scope under App registrations › the site's registration › API permissions, and have an \
               administrator grant consent there.",
    },
    KnownCode {
        code: 700_030,
        category: ErrorCategory::Configuration,
        cause: "the subject name of the certificate that this site used is not authorised for its application, or the certificate is \
                of another cloud",
        hint: "The operator must compare the subject that `blogctl cert check` shows with trustedCertificateSubjects in the Manifest \
               of the site's registration, or upload the certificate itself under Certificates & secrets; in its file, the site's \
               own certificate must stand before those of its issuers.",
    },
    KnownCode {
        code: 700_021,
        category: ErrorCategory::Configuration,
        cause: "the client assertion names another application than the request",
        hint: "The operator must check what changes this site's requests on the way, such as a proxy, or whose federated token the site \
               was given.",
    },
    KnownCode {
        code: 700_023,
        category: ErrorCategory::Configuration,
        cause: "the client assertion names another token endpoint as its audience",
        hint: "The operator must compare entra.tenant_id, entra.cloud and entra.authority_host with the endpoints under App \
               registrations › Overview › Endpoints.",
    },
    KnownCode {
        code: 7_002_138,
        category: ErrorCategory::Configuration,
        cause: "the subject of the federated token that this site authenticates with is registered with different upper and lower \
                case",
        hint: "The operator must delete the entry under Certificates & secrets › Federated credentials of the site's registration, and \
               add it again with `sub` of the token, letter by letter: upper and lower case count.",
    },
    KnownCode {
        code: 500_011,
        category: ErrorCategory::Configuration,
        cause: "the API that the site asks a token for is not known in this tenant",
        hint: "The operator must compare client.api_scope with the Application ID URI under Expose an API of the API's \
               registration, and have an administrator grant the permission once.",
    },
    KnownCode {
        code: 650_057,
        category: ErrorCategory::Configuration,
        cause: "the site's registration does not list the permission that it asks for",
        hint: "The operator must add the API's scope under App registrations › the site's registration › API permissions.",
    },
    KnownCode {
        code: 90_002,
        category: ErrorCategory::Configuration,
        cause: "the tenant does not exist in this cloud",
        hint: "The operator must compare entra.tenant_id and entra.cloud with the directory's Overview page.",
    },
    KnownCode {
        code: 70_011,
        category: ErrorCategory::Configuration,
        cause: "the scope that the site asks for is not valid",
        hint: "The operator must set client.api_scope to one scope of one API, such as api://…/access_as_user.",
    },
    KnownCode {
        code: 28_003,
        category: ErrorCategory::Configuration,
        cause: "the request names no scope",
        hint: "The operator must set client.api_scope to the scope that the API exposes.",
    },
    KnownCode {
        code: 700_022,
        category: ErrorCategory::Configuration,
        cause: "the request names scopes of more than one API",
        hint: "The operator must set client.api_scope to one scope of one API.",
    },
    KnownCode {
        code: 7_000_215,
        category: ErrorCategory::Configuration,
        cause: "a client secret was sent, and it is wrong",
        hint: "The operator must check what changes this site's requests on the way, such as a proxy: the site never sends a secret.",
    },
    KnownCode {
        code: 7_000_222,
        category: ErrorCategory::Configuration,
        cause: "a client secret was sent, and it has expired",
        hint: "The operator must check what changes this site's requests on the way, such as a proxy: the site never sends a secret.",
    },
    KnownCode {
        code: 700_211,
        category: ErrorCategory::Configuration,
        cause: "the issuer of the federated token that this site authenticates with is not registered for its application",
        hint: "The operator must compare `iss` of the token with Certificates & secrets › Federated credentials of the site's registration; for a cluster it is the OIDC issuer URL, with its slash at the end.",
    },
    KnownCode {
        code: 700_212,
        category: ErrorCategory::Configuration,
        cause: "the federated token that this site authenticates with is for another audience",
        hint: "The operator must have the token issued for api://AzureADTokenExchange, the audience under Certificates & secrets › Federated credentials.",
    },
    KnownCode {
        code: 700_213,
        category: ErrorCategory::Configuration,
        cause: "the subject of the federated token that this site authenticates with is not registered for its application",
        hint: "The operator must compare `sub` of the token with Certificates & secrets › Federated credentials of the site's registration: system:serviceaccount:NAMESPACE:NAME, or the object id of the managed identity.",
    },
    KnownCode {
        code: 70_021,
        category: ErrorCategory::Configuration,
        cause: "no federated credential of the application fits the token that this site authenticates with",
        hint: "The operator must compare issuer, subject and audience of the token with Certificates & secrets › Federated credentials.",
    },
    KnownCode {
        code: 50_105,
        category: ErrorCategory::Configuration,
        cause: "the user is not assigned to the application",
        hint: "An administrator must assign the user under Enterprise applications › Users and groups.",
    },
    KnownCode {
        code: 7_000_229,
        category: ErrorCategory::Configuration,
        cause: "the application is registered, but this tenant has no service principal of it",
        hint: "An administrator must create it with `az ad sp create --id` and the client id or by granting consent for all users under App \
               registrations › the site's registration › API permissions.",
    },
    KnownCode {
        code: 53_003,
        category: ErrorCategory::Configuration,
        cause: "a Conditional Access policy of the tenant blocks this sign-in",
        hint: "An administrator must find the sign-in in the sign-in logs of Microsoft Entra ID, which name the policy, and \
               change the policy or what it demands.",
    },
    // Consent.
    KnownCode {
        code: 65_001,
        category: ErrorCategory::Consent,
        cause: "the permissions that the application asks for have not been granted",
        hint: "Sign in again and accept what the site asks for. If your organisation does not let you, an administrator must grant consent for all users.",
    },
    KnownCode {
        code: 65_004,
        category: ErrorCategory::Consent,
        cause: "the sign-in was declined",
        hint: "If you declined by accident, sign in again and accept.",
    },
    KnownCode {
        code: 90_094,
        category: ErrorCategory::Consent,
        cause: "your organisation lets only administrators consent to what this site asks for",
        hint: "An administrator must grant consent once for all users; after that, sign in again. Send them the address below, or ask \
               them to look under Enterprise applications › the site › Permissions.",
    },
    KnownCode {
        code: 90_095,
        category: ErrorCategory::Consent,
        cause: "your request for consent waits for an administrator",
        hint: "An administrator must approve it under Enterprise applications › Admin consent requests, or grant consent for all users with \
               the address below; after that, sign in again.",
    },
    // Sign in again.
    KnownCode {
        code: 54_005,
        category: ErrorCategory::SignInAgain,
        cause: "the authorization code was used before",
        hint: "Sign in again; this happens when a sign-in page is loaded twice.",
    },
    KnownCode {
        code: 70_008,
        category: ErrorCategory::SignInAgain,
        cause: "the authorization code or refresh token has expired",
        hint: "Sign in again.",
    },
    KnownCode {
        code: 700_082,
        category: ErrorCategory::SignInAgain,
        cause: "the sign-in was inactive for too long",
        hint: "Sign in again.",
    },
    KnownCode {
        code: 70_043,
        category: ErrorCategory::SignInAgain,
        cause: "a policy of your organisation asks for a new sign-in",
        hint: "Sign in again.",
    },
    KnownCode {
        code: 50_058,
        category: ErrorCategory::SignInAgain,
        cause: "there is no signed-in user at Entra ID",
        hint: "Sign in again.",
    },
    KnownCode {
        code: 50_076,
        category: ErrorCategory::SignInAgain,
        cause: "your organisation asks for multifactor authentication",
        hint: "Sign in again and complete the additional step.",
    },
    KnownCode {
        code: 50_020,
        category: ErrorCategory::SignInAgain,
        cause: "the account belongs to another organisation or is a personal one, and is not in this tenant",
        hint: "Sign in with an account of this organisation: sign out at Entra ID first, or use a private window. If this account \
               should have access, an administrator must invite it under Users › Invite external user; with other tenants' own \
               accounts, the registration needs Accounts in any organizational directory.",
    },
    KnownCode {
        code: 90_072,
        category: ErrorCategory::SignInAgain,
        cause: "the account is not in this tenant, so the tenant's multifactor authentication cannot be met",
        hint: "Sign in with an account of this organisation: sign out at Entra ID first, or use a private window. If this account \
               should have access, an administrator must first invite it under Users › Invite external user.",
    },
    KnownCode {
        code: 50_034,
        category: ErrorCategory::SignInAgain,
        cause: "the account does not exist in this tenant",
        hint: "Sign in with an account of this organisation, and check its name for typing errors.",
    },
    KnownCode {
        code: 50_074,
        category: ErrorCategory::SignInAgain,
        cause: "your organisation asks for multifactor authentication, and the additional step was not completed",
        hint: "Sign in again and complete the additional step.",
    },
    KnownCode {
        code: 50_079,
        category: ErrorCategory::SignInAgain,
        cause: "your organisation asks for multifactor authentication, and it is not set up for this account yet",
        hint: "Sign in again and set the additional step up when asked.",
    },
    KnownCode {
        code: 50_173,
        category: ErrorCategory::SignInAgain,
        cause: "the sign-in ended, because the password was changed or an administrator revoked it",
        hint: "Sign in again.",
    },
    KnownCode {
        code: 501_481,
        category: ErrorCategory::SignInAgain,
        cause: "the code verifier does not belong to this sign-in",
        hint: "Sign in again.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::OPERATOR_MUST, *};

    #[test]
    fn each_code_occurs_once_with_a_cause_and_a_hint() {
        let mut seen = HashSet::new();
        for known in KNOWN {
            assert!(seen.insert(known.code), "{} occurs twice", known.code);
            assert!(known.cause.len() > 15 && known.hint.ends_with('.'), "{}", known.code);
            assert_ne!(known.category, ErrorCategory::Other, "{}", known.code);
        }
    }

    #[test]
    fn a_hint_for_others_than_the_visitor_names_them_first() {
        for known in KNOWN
            .iter()
            .filter(|k| matches!(k.category, ErrorCategory::Certificate | ErrorCategory::Configuration))
        {
            let hint = known.hint;
            let names_actor = hint.starts_with(OPERATOR_MUST) || hint.starts_with("An administrator must ");
            assert!(names_actor, "{}: {hint}", known.code);
        }
    }

    #[test]
    fn every_code_of_the_protocol_notes_has_its_category() {
        for (category, codes) in [
            (
                ErrorCategory::Certificate,
                &[700_027, 700_024, 7_000_214, 7_000_277, 1_000_502, 7_000_274][..],
            ),
            (
                ErrorCategory::Configuration,
                &[
                    700_016, 7_000_218, 700_025, 50_011, 500_011, 650_057, 90_002, 70_011, 28_003, 700_022, 7_000_215,
                    7_000_222, 7_002_138, 7_000_112, 700_030, 500_112,
                ],
            ),
            (ErrorCategory::Consent, &[65_001, 65_004, 90_094, 90_095]),
            (
                ErrorCategory::SignInAgain,
                &[54_005, 70_008, 700_082, 70_043, 50_020, 90_072],
            ),
        ] {
            for code in codes {
                let found = KNOWN
                    .iter()
                    .find(|known| known.code == *code)
                    .map(|known| known.category);
                assert_eq!(found, Some(category), "{code}");
            }
        }
    }

    #[test]
    fn exactly_six_codes_are_about_the_certificate() {
        let mut codes: Vec<_> = KNOWN
            .iter()
            .filter(|k| k.category == ErrorCategory::Certificate)
            .map(|k| k.code)
            .collect();
        codes.sort_unstable();
        assert_eq!(codes, [700_024, 700_027, 1_000_502, 7_000_214, 7_000_274, 7_000_277]);
    }
}
