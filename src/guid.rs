//! The one parser of GUIDs that come from outside: settings, tokens, and the responses of other servers.

use uuid::Uuid;

/// A GUID as Entra ID writes it: 36 characters with hyphens. `Uuid` alone also reads `urn:uuid:…`, braces, and forms without
/// hyphens, which would give one tenant or application several names.
pub(crate) fn parse(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_with_hyphens_is_read() {
        let guid = "11111111-2222-4333-8444-55555555555a";
        assert_eq!(parse(guid).map(|id| id.to_string()).as_deref(), Some(guid));
        assert_eq!(parse(&guid.to_uppercase()), parse(guid));
        for other in [
            "",
            "11111111222243338444555555555555",
            "{11111111-2222-4333-8444-555555555555}",
            "urn:uuid:11111111-2222-4333-8444-555555555555",
            " 11111111-2222-4333-8444-55555555555",
            "11111111-2222-4333-8444-55555555555g",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
