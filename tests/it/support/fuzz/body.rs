//! Request bodies: JSON or a form, valid, or with a broken structure, or with broken bytes.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::{Grammar, SampleRng};

pub fn body(dice: &mut SampleRng, grammar: &Grammar) -> Vec<u8> {
    let mut bytes = if grammar.content_type == "application/json" {
        json_text(dice).into_bytes()
    } else {
        form(dice, grammar)
    };
    match dice.below(20) {
        0 | 1 => dice.garble(&mut bytes),
        2 => bytes = in_another_encoding(dice, &bytes),
        3 => bytes.clear(),
        4 if dice.chance(20) => bytes.resize(2_000_000, b' '),
        _ => {}
    }
    bytes
}

fn form(dice: &mut SampleRng, grammar: &Grammar) -> Vec<u8> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    if dice.chance(70) {
        form.extend_pairs(&grammar.form_key);
    }
    for _ in 0..dice.below(8) {
        form.append_pair(dice.pick(grammar.parameters), &dice.text());
    }
    form.finish().into_bytes()
}

fn json_text(dice: &mut SampleRng) -> String {
    const ODD: &[&str] = &[
        "",
        "{",
        "[]",
        "nul",
        "{\"title\":\"a\",\"title\":\"b\",\"content\":\"c\"}",
        "{\"title\":\"\\ud800\",\"content\":\"x\"}",
        "{\"title\":\"a\",\"content\":1e999}",
        "{'title':'a'}",
        "{\"title\":\"a\",}",
        "\"\\u0000\"",
        "{\"\":{}}",
        "1 2",
        "{\"title\":\"a\",\"content\":\"b\"}{}",
        "{\"title\":\"a\nb\",\"content\":\"c\"}",
        "-",
        "0x1",
        "NaN",
    ];
    match dice.below(20) {
        0 => dice.pick(ODD).to_owned(),
        1 => "[".repeat(10_000),
        2 => format!("{}1{}", "{\"content\":".repeat(500), "}".repeat(500)),
        3..=6 => {
            let mut post = post(dice);
            mutate(dice, &mut post);
            post.to_string()
        }
        _ => post(dice).to_string(),
    }
}

fn post(dice: &mut SampleRng) -> Value {
    let title = if dice.chance(85) {
        format!("Post {}", dice.below(10))
    } else {
        dice.text()
    };
    let content = if dice.chance(85) {
        "Some words about nothing.".to_owned()
    } else {
        dice.text()
    };
    json!({ "title": title, "content": content })
}

fn mutate(dice: &mut SampleRng, value: &mut Value) {
    let Value::Object(fields) = value else { return };
    let name = (dice.pick(&["title", "content", "id", "author_id", "created_at", "__proto__", ""])).to_owned();
    match dice.below(4) {
        0 => {
            fields.remove(&name);
        }
        1 => {
            fields.insert(name, any(dice, 4));
        }
        2 => {
            fields.insert(dice.text(), any(dice, 2));
        }
        _ => *value = any(dice, 3),
    }
}

fn any(dice: &mut SampleRng, depth: usize) -> Value {
    match dice.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(dice.chance(50)),
        2 => json!(dice.below(1 << 50)),
        3 => json!(-1.5e300),
        4 | 5 => json!(dice.text()),
        6 => (0..dice.below(5)).map(|_| any(dice, depth - 1)).collect(),
        _ => Value::Object(
            (0..dice.below(5))
                .map(|_| (dice.text(), any(dice, depth - 1)))
                .collect(),
        ),
    }
}

fn in_another_encoding(dice: &mut SampleRng, utf8: &[u8]) -> Vec<u8> {
    match dice.below(4) {
        0 => [b"\xef\xbb\xbf", utf8].concat(),
        1 => utf8.iter().flat_map(|&byte| [byte, 0]).collect(),
        2 => [b"\xfe\xff".to_vec(), utf8.iter().flat_map(|&byte| [0, byte]).collect()].concat(),
        _ => utf8.iter().copied().chain(*b"\xe4\xf6\xfc").collect(),
    }
}
