//! Conditional requests: `If-None-Match` saves a download, `If-Match` prevents a lost update.

use serde_json::json;

use crate::support::api::{TestApi, each_api};

#[test]
fn a_client_that_has_the_current_post_gets_304() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let etag = alice.get(&path).header("ETag").to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "strong: {etag}");

        let ask = |tags: &str| alice.call("GET", &path).header("If-None-Match", tags).send();
        for tags in [
            etag.clone(),
            format!("W/{etag}"),
            "*".to_owned(),
            format!("\"x\", {etag}"),
        ] {
            let answer = ask(&tags);
            assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{tags}");
            assert_eq!(answer.header("ETag"), etag);
            assert_eq!(answer.header("Cache-Control"), "private, no-cache");
        }
        for tags in ["\"x\"", "", "garbage", etag.trim_matches('"')] {
            assert_eq!(ask(tags).status, 200, "{tags}");
        }

        assert_eq!(alice.put(&path, &json!({ "title": "c" })).status, 200);
        assert_eq!(ask(&etag).status, 200, "it has changed");
    });
}

#[test]
fn an_update_of_a_stale_version_is_rejected() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let old = alice.get(&path).header("ETag").to_owned();
        let put = |tags: &str, title: &str| {
            alice
                .call("PUT", &path)
                .header("If-Match", tags)
                .json(&json!({ "title": title }))
                .send()
        };

        let first = put(&old, "first");
        assert_eq!(first.status, 200);
        let new = first.header("ETag").to_owned();
        assert_ne!(new, old);
        put(&old, "second").problem(412, "stale");
        let delete = alice.call("DELETE", &path).header("If-Match", &old).send();
        delete.problem(412, "stale");
        assert_eq!(alice.get(&path).json()["title"], "first");

        let deleted = alice.call("DELETE", &path).header("If-Match", &new).send();
        assert_eq!(deleted.status, 204);
    });
}

#[test]
fn only_a_strong_etag_of_the_same_post_allows_a_change() {
    let api = TestApi::start();
    let alice = api.alice();
    let path = format!("/v1/posts/{}", alice.write("a", "b"));
    let other = alice
        .get(&format!("/v1/posts/{}", alice.write("a", "b")))
        .header("ETag")
        .to_owned();
    let etag = || alice.get(&path).header("ETag").to_owned();
    let put = |tags: &str| {
        alice
            .call("PUT", &path)
            .header("If-Match", tags)
            .json(&json!({ "title": "c" }))
            .send()
    };

    let weak = format!("W/{}", etag());
    let unquoted = etag().trim_matches('"').to_owned();
    for tags in [
        "\"x\"",
        "",
        "garbage",
        "W/*",
        &other,
        &weak,
        &unquoted,
        "\"1-0\", \"1-1\"",
    ] {
        put(tags).problem(412, "stale");
    }
    assert_eq!(put(&etag()).status, 200);
    assert_eq!(put(&format!("\"x\", {}", etag())).status, 200);
    assert_eq!(
        put(&format!("\"1-1\",{}, {other}", etag())).status,
        200,
        "any one of several is enough"
    );
    assert_eq!(put("*").status, 200);
}

#[test]
fn of_concurrent_changes_to_one_version_one_succeeds() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let etag = alice.get(&path).header("ETag").to_owned();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let put = |number: usize| {
                let title = json!({ "title": format!("change {number}") });
                alice
                    .call("PUT", &path)
                    .header("If-Match", &etag)
                    .json(&title)
                    .send()
                    .status
            };
            let running: Vec<_> = (0..8).map(|number| scope.spawn(move || put(number))).collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("it ends"))
                .collect()
        });
        assert_eq!(
            statuses.iter().filter(|&&status| status == 200).count(),
            1,
            "{statuses:?}"
        );
        assert_eq!(
            statuses.iter().filter(|&&status| status == 412).count(),
            7,
            "{statuses:?}"
        );
    });
}

#[test]
fn a_new_display_name_of_the_author_changes_the_etag() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let before = alice.get(&path);
        let renamed = api.named(0, "Alice Other", 30);
        assert_eq!(renamed.post("/v1/users/me", &json!({})).status, 200);
        let after = alice
            .call("GET", &path)
            .header("If-None-Match", before.header("ETag"))
            .send();
        assert_eq!(
            (after.status, after.json()["author"]["display_name"].as_str()),
            (200, Some("Alice Other"))
        );
        assert_ne!(after.header("ETag"), before.header("ETag"));
        let put = alice
            .call("PUT", &path)
            .header("If-Match", before.header("ETag"))
            .json(&json!({"title": "c"}))
            .send();
        put.problem(412, "stale");
    });
}

#[test]
fn modification_times_work_as_conditions() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let modified = alice.get(&path).header("Last-Modified").to_owned();
        assert!(modified.ends_with(" GMT"), "{modified}");
        let (past, future) = ("Thu, 01 Jan 2015 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");

        let ask = |time: &str| alice.call("GET", &path).header("If-Modified-Since", time).send();
        assert_eq!(
            (ask(&modified).status, ask(future).status, ask(past).status),
            (304, 304, 200)
        );
        assert_eq!(ask(&modified).header("Last-Modified"), modified);
        assert_eq!(ask("yesterday").status, 200, "no time, no condition");
        let both = alice
            .call("GET", &path)
            .header("If-Modified-Since", future)
            .header("If-None-Match", "\"x\"")
            .send();
        assert_eq!(both.status, 200, "the tag decides");

        let put = |name: &str, value: &str| {
            alice
                .call("PUT", &path)
                .header(name, value)
                .json(&json!({ "title": "c" }))
                .send()
        };
        put("If-Unmodified-Since", past).problem(412, "stale");
        assert_eq!(put("If-Unmodified-Since", &modified).status, 200);
        assert_eq!(
            put("If-Unmodified-Since", "yesterday").status,
            200,
            "no time, no condition"
        );
        let etag = alice.get(&path).header("ETag").to_owned();
        let both = alice
            .call("PUT", &path)
            .header("If-Unmodified-Since", past)
            .header("If-Match", &etag);
        assert_eq!(
            both.json(&json!({ "title": "d" })).send().status,
            200,
            "the tag decides"
        );
        alice
            .call("DELETE", &path)
            .header("If-Unmodified-Since", past)
            .send()
            .problem(412, "stale");
        assert_eq!(
            alice
                .call("DELETE", &path)
                .header("If-Unmodified-Since", future)
                .send()
                .status,
            204
        );
    });
}

#[test]
fn a_compressed_response_has_its_own_etag_which_conditions_accept() {
    let api = TestApi::start();
    let alice = api.alice();
    let long = format!("/v1/posts/{}", alice.write("a", &"many words ".repeat(200)));
    let short = format!("/v1/posts/{}", alice.write("a", "b"));
    let ask = |path: &str, coding: &str| alice.call("GET", path).header("Accept-Encoding", coding).send();
    let plain = alice.get(&long);
    assert_eq!(plain.header("Content-Encoding"), "");
    for coding in ["gzip", "br", "zstd"] {
        let own = alice.get(&long).header("ETag").trim_end_matches('"').to_owned();
        let answer = ask(&long, coding);
        assert_eq!((answer.status, answer.header("Content-Encoding")), (200, coding));
        assert_eq!(answer.header("ETag"), format!("{own};{coding}\""));
        assert!(answer.header("Vary").to_ascii_lowercase().contains("accept-encoding"));
        let tag = answer.header("ETag");
        let known = alice
            .call("GET", &long)
            .header("Accept-Encoding", coding)
            .header("If-None-Match", tag)
            .send();
        assert_eq!((known.status, known.header("ETag")), (304, tag));
        let put = |title: &str| {
            alice
                .call("PUT", &long)
                .header("If-Match", tag)
                .json(&json!({ "title": title }))
                .send()
        };
        assert_eq!(put("c").status, 200, "{coding}");
        put("d").problem(412, "stale");
    }
    for coding in ["gzip", "br, gzip", "identity", "*;q=0, identity"] {
        let answer = ask(&short, coding);
        assert_eq!(
            (answer.status, answer.header("Content-Encoding")),
            (200, ""),
            "too short for {coding}"
        );
        assert!(!answer.header("ETag").contains(';'));
    }
}

#[test]
fn a_write_with_a_matching_if_none_match_is_rejected() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let call = |method: &str, path: &str, header: &[(&str, &str)]| {
            let call = alice.call(method, path);
            let call = header.iter().fold(call, |call, (name, value)| call.header(name, value));
            if method == "PUT" {
                call.json(&json!({ "title": "c" })).send()
            } else {
                call.send()
            }
        };
        let own = alice.get(&path).header("ETag").to_owned();
        let weak = format!("W/{own}");
        let several = format!("\"x\", {own}");
        let compressed = format!("{};gzip\"", own.trim_end_matches('"'));
        for method in ["PUT", "DELETE"] {
            for value in ["*", &own, &weak, &several, &compressed] {
                call(method, &path, &[("If-None-Match", value)]).problem(412, "stale");
                // Even if `If-Match` names the right version.
                call(method, &path, &[("If-Match", &own), ("If-None-Match", value)]).problem(412, "stale");
            }
            call(method, &path, &[("If-Match", "*"), ("If-None-Match", "*")]).problem(412, "stale");
            call(method, "/v1/posts/999999", &[("If-None-Match", "*")]).problem(404, "post_not_found");
        }
        assert_eq!(alice.get(&path).header("ETag"), own, "nothing was written");
        // A missing right is reported first.
        let bob = api.bob().call("DELETE", &path).header("If-None-Match", "*").send();
        bob.problem(403, "not_author");

        call("PUT", &path, &[("If-Match", "\"x\""), ("If-None-Match", "\"y\"")]).problem(412, "stale");
        let put = call("PUT", &path, &[("If-Match", &own), ("If-None-Match", "\"y\"")]);
        assert_eq!(put.status, 200, "{put:?}");
        for other in [own.as_str(), "\"x\", \"1-1\"", "garbage"] {
            assert_eq!(call("PUT", &path, &[("If-None-Match", other)]).status, 200, "{other}");
        }
        assert_eq!(
            call("DELETE", &path, &[("If-None-Match", &own)]).status,
            204,
            "it is in another state"
        );
    });
}
