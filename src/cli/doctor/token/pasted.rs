//! Finds the access token in what people paste: the token alone, in quotes, with line breaks, after a header name and scheme, in
//! the response of a token endpoint or of az, in the fragment of a URL, in a curl command, or among request headers.

use zeroize::Zeroizing;

use crate::cli::error_report::WrongUsage;

/// Names of the token in responses and URLs, the access token first.
const NAMES: [&str; 3] = ["access_token", "accessToken", "id_token"];

/// The token in `text`; empty if there is none. Other text is returned unchanged: the validation explains it.
///
/// # Errors
/// If `text` contains an error instead of a token, or several tokens. `name` names the input in messages.
pub(super) fn token_in(text: &str, name: &str) -> Result<Zeroizing<String>, WrongUsage> {
    // With a space at the end, "Bearer" alone also has the prefix.
    let text = Zeroizing::new(format!("{} ", text.trim()));
    let mut alone = text.as_str();
    for prefix in ["authorization:", "bearer "] {
        if alone
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        {
            alone = alone.get(prefix.len()..).unwrap_or_default().trim_start();
        }
    }
    let answer = serde_json::from_str::<serde_json::Value>(alone).ok();
    let member = |name: &str| answer.as_ref().and_then(|answer| answer.get(name)?.as_str());
    if let Some(error) = member("error") {
        let error: String = error
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
            .take(60)
            .collect();
        return Err(WrongUsage(format!(
            "{name} contains an error of the token endpoint, {error}, and no token"
        )));
    }
    let within = NAMES.into_iter().find_map(member);
    if within.is_none() && answer.as_ref().is_some_and(serde_json::Value::is_object) {
        return Err(WrongUsage(format!(
            "{name} contains JSON without access_token, accessToken or id_token"
        )));
    }
    let token = match within {
        Some(token) => token,
        None => match in_url(alone).or_else(|| in_header(&text)) {
            Some(token) => token,
            None => the_only(alone, name)?,
        },
    };
    // Terminals and e-mails insert line breaks.
    let joined: String = token.trim().trim_matches(['"', '\'']).split_whitespace().collect();
    Ok(Zeroizing::new(joined))
}

/// `#access_token=…&` or `?access_token=…`, as in the URL of a redirect.
fn in_url(text: &str) -> Option<&str> {
    let after = |name: &str| {
        let (before, rest) = text.split_once(&format!("{name}="))?;
        before
            .is_empty()
            .then_some(rest)
            .or_else(|| before.ends_with(['#', '?', '&']).then_some(rest))
    };
    let rest = NAMES.into_iter().find_map(after)?;
    rest.split(['&', '#', '"', '\'']).next().map(str::trim)
}

/// The first `Authorization: Bearer …` in other text, such as a curl command or a list of headers.
fn in_header(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let at = lower.find("authorization")?;
    let scheme = lower.get(at..)?.find("bearer")?;
    let rest = text.get(at + scheme + "bearer".len()..)?.trim_start();
    rest.split(|c: char| c.is_whitespace() || "\"',;\\".contains(c))
        .next()
        .filter(|token| !token.is_empty())
}

/// The only JWT in the text, or the text itself.
fn the_only<'t>(text: &'t str, name: &str) -> Result<&'t str, WrongUsage> {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_token = |word: &&str| word.starts_with("eyJ") && word.matches('.').count() == 2;
    let tokens: Vec<&str> = text.split(|c| !is_of_token(c)).filter(is_token).collect();
    match *tokens {
        [_, _, ..] => Err(WrongUsage(format!("{name} contains several tokens: pass only one"))),
        // In other text: cookies, a log line, a shell variable.
        [token]
            if text
                .split_whitespace()
                .any(|word| !word.contains(token) && word.len() < token.len())
                && !is_broken(text, token) =>
        {
            Ok(token)
        }
        [token] if is_in_one_word(text, token) => Ok(token),
        _ => Ok(text),
    }
}

/// Whether the text is one word with nothing but a name or signs around the token, as in `TOKEN=…` or `<…>`. What could belong
/// to the token itself is not taken off.
fn is_in_one_word(text: &str, token: &str) -> bool {
    text.trim().split_once(token).is_some_and(|(before, after)| {
        let is_sign = |c: char| !c.is_alphanumeric() && !c.is_whitespace() && !"._-/+".contains(c);
        (before.is_empty() || before.ends_with(|c| is_sign(c) || c == '+'))
            && !before.contains(char::is_whitespace)
            && after.chars().all(is_sign)
    })
}

/// Whether the token continues on the next line.
fn is_broken(text: &str, token: &str) -> bool {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    text.split_once(token).is_some_and(|(before, after)| {
        let next = after.trim_start_matches(['\r', '\n', ' ']);
        before.trim().is_empty()
            && after.starts_with(['\r', '\n'])
            && next.trim().chars().all(|c| is_of_token(c) || c.is_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";

    #[test]
    fn the_token_is_found_in_whatever_people_paste() {
        for pasted in [
            TOKEN.to_owned(),
            format!("  \"{TOKEN}\"\n"),
            format!("Bearer {TOKEN}"),
            format!("Authorization: Bearer {TOKEN}"),
            format!("{}\n{}", &TOKEN[..30], &TOKEN[30..]),
            format!("{}\r\n{}", &TOKEN[..50], &TOKEN[50..]),
            format!("{{\"token_type\":\"Bearer\",\"access_token\":\"{TOKEN}\",\"id_token\":\"x\"}}"),
            format!("{{\"accessToken\":\"{TOKEN}\",\"tenant\":\"t\"}}"),
            format!("https://app.example/#access_token={TOKEN}&token_type=Bearer&expires_in=3599"),
            format!("access_token={TOKEN}&token_type=Bearer"),
            format!("#state=1&access_token={TOKEN}"),
            format!("curl -s https://api.example/v1/posts -H 'Authorization: Bearer {TOKEN}' -H 'Accept: */*'"),
            format!("curl --header \"authorization: bearer {TOKEN}\" \\\n  https://api.example"),
            format!("Invoke-RestMethod -Headers @{{ Authorization = \"Bearer {TOKEN}\" }} https://api.example"),
            format!("GET /v1/posts HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {TOKEN}\r\nAccept: */*"),
            format!(":method: GET\nauthorization: Bearer {TOKEN}\ncookie: a={TOKEN}"),
            format!("export TOKEN={TOKEN}"),
            format!("TOKEN={TOKEN}\n"),
            format!("<{TOKEN}>"),
            format!("Bearer+{TOKEN}"),
            format!("\u{200b}{TOKEN}\u{feff}"),
            format!("`{TOKEN}`,"),
        ] {
            assert_eq!(
                *token_in(&pasted, "standard input").expect("a token"),
                TOKEN,
                "{pasted}"
            );
        }
    }

    #[test]
    fn no_token_and_several_are_told_apart() {
        for (pasted, message) in [
            (format!("{TOKEN} {TOKEN}x"), "contains several tokens: pass only one"),
            (
                "{\"error\":\"invalid_grant\"}".to_owned(),
                "contains an error of the token endpoint, invalid_grant, and no token",
            ),
            (
                "{\"a\":1}".to_owned(),
                "contains JSON without access_token, accessToken or id_token",
            ),
        ] {
            assert_eq!(
                token_in(&pasted, "it").expect_err("no token").to_string(),
                format!("it {message}")
            );
        }
        for pasted in ["", " ", "Bearer", "Authorization: Bearer "] {
            assert_eq!(*token_in(pasted, "it").expect("nothing"), "", "{pasted}");
        }
    }

    #[test]
    fn nothing_is_taken_off_that_may_belong_to_the_token() {
        for damaged in [
            format!("{TOKEN}+x"),
            format!("{TOKEN}/"),
            format!("x{TOKEN}"),
            format!("a.{TOKEN}"),
        ] {
            assert_eq!(*token_in(&damaged, "it").expect("a text"), damaged);
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(authorization|bearer|access_token=|eyJ|[.:#& \"'\\\\\nüa-z]){0,20}") {
            let _ = token_in(&text, "it");
        }
    }
}
