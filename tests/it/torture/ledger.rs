//! What has been acknowledged, and how that compares with the posts in the database.

use std::collections::{BTreeMap, HashMap};

use crate::support::stored_posts::PostText;

/// The last acknowledged state of each post; `None` if it is deleted.
#[derive(Debug, Default)]
pub struct Ledger(pub BTreeMap<i64, Option<PostText>>);

/// What is wrong in the database.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Acknowledged posts, changes and deletions that the database does not have.
    pub lost: Vec<i64>,
    /// Posts in the database that were never acknowledged, such as the second one of a repeated request.
    pub doubled: Vec<i64>,
}

impl Ledger {
    /// Compares with all posts in the database.
    pub fn compare(&self, stored: &HashMap<i64, PostText>) -> Losses {
        let is_lost = |(id, expected): &(&i64, &Option<PostText>)| stored.get(id) != expected.as_ref();
        let lost = self.0.iter().filter(is_lost).map(|(id, _)| *id).collect();
        let mut doubled: Vec<_> = stored.keys().filter(|id| !self.0.contains_key(id)).copied().collect();
        doubled.sort_unstable();
        Losses { lost, doubled }
    }
}

#[test]
fn the_ledger_notices_lost_posts_changes_and_deletions_and_doubled_posts() {
    let text = |content: &str| PostText {
        title: "A title".to_owned(),
        content: content.to_owned(),
    };
    let ledger = Ledger(BTreeMap::from([
        (1, Some(text("kept"))),
        (2, Some(text("lost"))),
        (3, Some(text("changed"))),
        (4, None),
        (5, None),
    ]));
    let stored = HashMap::from([
        (1, text("kept")),
        (3, text("before the change")),
        (5, text("deleted, and back")),
        (6, text("kept")),
    ]);
    let losses = ledger.compare(&stored);
    assert_eq!((losses.lost, losses.doubled), (vec![2, 3, 5], vec![6]));
}
