//! Composes names, titles and posts from the words in [`super::topics`].

use super::{
    rng::SampleRng,
    topics::{self, TOPICS, Topic},
};

pub(super) fn name(rng: &mut SampleRng) -> String {
    format!("{} {}", rng.pick(&topics::FIRST_NAMES), rng.pick(&topics::LAST_NAMES))
}

/// The title and content of a post, about the same subject.
pub(super) fn post(rng: &mut SampleRng) -> (String, String) {
    let index = usize::try_from(rng.below(TOPICS.len() as u64)).unwrap_or(0);
    let topic = TOPICS.get(index).unwrap_or(&topics::SOFTWARE);
    let words = Words::about(topic, rng);
    let title = words.fill(rng.pick(topic.titles));
    let middle = 2 + usize::try_from(rng.below(3)).unwrap_or(0);
    let facts = rng.some(topic.facts, middle * 2);
    let thoughts = rng.some(&topics::THOUGHTS, middle);
    let mut paragraphs = vec![format!(
        "{} {}",
        words.fill(rng.pick(topic.openings)),
        words.fill(rng.pick(&topics::AIMS))
    )];
    for (pair, thought) in facts.chunks(2).zip(thoughts) {
        let mut sentences: Vec<String> = pair.iter().map(|sentence| words.fill(sentence)).collect();
        sentences.push(words.fill(thought));
        paragraphs.push(sentences.join(" "));
    }
    paragraphs.push(words.fill(rng.pick(&topics::CLOSINGS)));
    (title, paragraphs.join("\n\n"))
}

/// The words that replace a post's placeholders, the same throughout the post.
struct Words {
    subject: &'static str,
    tool: &'static str,
    place: &'static str,
    month: &'static str,
    friend: &'static str,
    few: &'static str,
}

impl Words {
    fn about(topic: &Topic, rng: &mut SampleRng) -> Self {
        Self {
            subject: rng.pick(topic.subjects),
            tool: rng.pick(topic.tools),
            place: rng.pick(topic.places),
            month: rng.pick(&topics::MONTHS),
            friend: rng.pick(&topics::FIRST_NAMES),
            few: rng.pick(&topics::FEW),
        }
    }

    /// Replaces the placeholders, and capitalises the first letter.
    fn fill(&self, template: &str) -> String {
        let filled = template
            .replace("{subject}", self.subject)
            .replace("{tool}", self.tool)
            .replace("{place}", self.place)
            .replace("{month}", self.month)
            .replace("{friend}", self.friend)
            .replace("{few}", self.few);
        let mut letters = filled.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default()
    }
}
