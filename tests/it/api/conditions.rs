//! Conditional requests: `If-None-Match` saves an answer, `If-Match` saves a lost update.

use serde_json::json;

use crate::support::api::{TestApi, each_api};

#[test]
fn who_has_the_post_already_gets_a_304() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let etag = alice.get(&path).header("ETag").to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "strong: {etag}");

        let ask = |tags: &str| alice.call("GET", &path).header("If-None-Match", tags).send();
        for tags in [etag.clone(), format!("W/{etag}"), "*".to_owned(), format!("\"x\", {etag}")] {
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
fn an_update_of_an_older_state_is_refused() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let old = alice.get(&path).header("ETag").to_owned();
        let put = |tags: &str, title: &str| {
            alice.call("PUT", &path).header("If-Match", tags).json(&json!({ "title": title })).send()
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
fn only_a_strong_tag_of_this_very_post_lets_a_change_through() {
    let api = TestApi::start();
    let alice = api.alice();
    let path = format!("/v1/posts/{}", alice.write("a", "b"));
    let other = alice.get(&format!("/v1/posts/{}", alice.write("a", "b"))).header("ETag").to_owned();
    let etag = || alice.get(&path).header("ETag").to_owned();
    let put = |tags: &str| alice.call("PUT", &path).header("If-Match", tags).json(&json!({ "title": "c" })).send();

    let weak = format!("W/{}", etag());
    let unquoted = etag().trim_matches('"').to_owned();
    for tags in ["\"x\"", "", "garbage", "W/*", &other, &weak, &unquoted, "\"1-0\", \"1-1\""] {
        put(tags).problem(412, "stale");
    }
    assert_eq!(put(&etag()).status, 200);
    assert_eq!(put(&format!("\"x\", {}", etag())).status, 200);
    assert_eq!(put(&format!("\"1-1\",{}, {other}", etag())).status, 200, "any one of several is enough");
    assert_eq!(put("*").status, 200);
}

#[test]
fn of_two_changes_to_the_same_state_one_wins() {
    each_api(|api| {
        let alice = api.alice();
        let path = format!("/v1/posts/{}", alice.write("a", "b"));
        let etag = alice.get(&path).header("ETag").to_owned();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let put = |number: usize| {
                let title = json!({ "title": format!("change {number}") });
                alice.call("PUT", &path).header("If-Match", &etag).json(&title).send().status
            };
            let running: Vec<_> = (0..8).map(|number| scope.spawn(move || put(number))).collect();
            running.into_iter().map(|thread| thread.join().expect("it ends")).collect()
        });
        assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|&&status| status == 412).count(), 7, "{statuses:?}");
    });
}
