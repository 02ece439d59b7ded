//! Properties of all texts sent as access tokens, and of all claims.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::access_token::Fixture;
use crate::support::entra::API;

/// Any JSON, with limited depth.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        (0_i64..4_000_000_000).prop_map(Value::from),
        any::<u128>().prop_map(|number| Value::from(Uuid::from_u128(number).to_string())),
        Just(Value::from(API)),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes)),
        any_json().prop_map(|json| URL_SAFE_NO_PAD.encode(json.to_string())),
        "[A-Za-z0-9+/=_.-]{0,40}",
        Just(URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT","kid":"k"}"#)),
    ]
}

#[test]
fn no_random_text_is_accepted_as_a_token() {
    let fixture = Fixture::new();
    let text = prop_oneof![
        any::<String>(),
        prop::collection::vec(part(), 0..7).prop_map(|parts| parts.join(".")),
        (part(), 0_usize..3).prop_map(|(part, repeated)| part.repeat(repeated * 800)),
    ];
    TestRunner::default()
        .run(&text, |text| {
            prop_assert!(fixture.validator.validate(&text).is_err());
            prop_assert!(fixture.validator.check_unverified_claims(&text).is_err());
            Ok(())
        })
        .expect("it holds");
}

#[test]
fn a_good_token_with_one_character_changed_is_rejected() {
    let fixture = Fixture::new();
    let good = fixture.token(|_| ());
    fixture.validator.validate(&good).expect("a good token");
    let change = (
        0..good.len(),
        prop_oneof!["[A-Za-z0-9_-]", "[ -~]", any::<char>().prop_map(String::from)],
    );
    TestRunner::default()
        .run(&change, |(place, other)| {
            let changed = format!("{}{other}{}", &good[..place], &good[place + 1..]);
            prop_assume!(changed != good);
            prop_assert!(fixture.validator.validate(&changed).is_err(), "{changed}");
            Ok(())
        })
        .expect("it holds");
}

#[test]
fn a_claim_with_any_value_passes_only_if_it_is_right() {
    let fixture = Fixture::new();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT","kid":"k"}"#);
    let good = fixture.provider.access_claims();
    let names: Vec<String> = good.as_object().expect("an object").keys().cloned().collect();
    let change = (prop::sample::select(names), prop::option::of(any_json()));
    let right = |name: &str, value: &Value| match name {
        "iss" | "tid" | "scp" => *value == good[name],
        "oid" => value.as_str().is_some_and(|text| Uuid::parse_str(text).is_ok()),
        "aud" => *value == json!(API) || *value == json!([API]),
        "exp" => value
            .as_f64()
            .is_some_and(|time| time > good["iat"].as_f64().expect("a time") - 600.0),
        _ => true,
    };
    TestRunner::default()
        .run(&change, |(name, value)| {
            let mut claims = good.clone();
            let fields = claims.as_object_mut().expect("an object");
            match value {
                Some(value) => drop(fields.insert(name.clone(), value)),
                None => drop(fields.remove(&name)),
            }
            let token = format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
            let outcome = fixture.validator.check_unverified_claims(&token);
            prop_assert!(outcome.is_err() || right(&name, &claims[&name]), "{name}: {claims}");
            // The token has no valid signature.
            prop_assert!(fixture.validator.validate(&token).is_err());
            Ok(())
        })
        .expect("it holds");
}
