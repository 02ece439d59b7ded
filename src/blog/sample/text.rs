//! Puts names, titles and posts together from the words in [`super::topics`].

use super::{
    rng::Dice,
    topics::{self, TOPICS, Topic},
};

/// A person's name.
pub(super) fn name(dice: &mut Dice) -> String {
    format!("{} {}", dice.pick(&topics::FIRST_NAMES), dice.pick(&topics::LAST_NAMES))
}

/// Title and content of a post. Both are about the same subject.
pub(super) fn post(dice: &mut Dice) -> (String, String) {
    let index = usize::try_from(dice.below(TOPICS.len() as u64)).unwrap_or(0);
    let topic = TOPICS.get(index).unwrap_or(&topics::SOFTWARE);
    let words = Words::about(topic, dice);
    let title = words.fill(dice.pick(topic.titles));
    let middle = 2 + usize::try_from(dice.below(3)).unwrap_or(0);
    let told = dice.some(topic.told, middle * 2);
    let thoughts = dice.some(&topics::THOUGHTS, middle);
    let mut paragraphs = vec![format!(
        "{} {}",
        words.fill(dice.pick(topic.openings)),
        words.fill(dice.pick(&topics::AIMS))
    )];
    for (pair, thought) in told.chunks(2).zip(thoughts) {
        let mut sentences: Vec<String> = pair.iter().map(|sentence| words.fill(sentence)).collect();
        sentences.push(words.fill(thought));
        paragraphs.push(sentences.join(" "));
    }
    paragraphs.push(words.fill(dice.pick(&topics::CLOSINGS)));
    (title, paragraphs.join("\n\n"))
}

/// What the gaps of a post are filled with, the same throughout.
struct Words {
    subject: &'static str,
    tool: &'static str,
    place: &'static str,
    month: &'static str,
    friend: &'static str,
    few: &'static str,
}

impl Words {
    fn about(topic: &Topic, dice: &mut Dice) -> Self {
        Self {
            subject: dice.pick(topic.subjects),
            tool: dice.pick(topic.tools),
            place: dice.pick(topic.places),
            month: dice.pick(&topics::MONTHS),
            friend: dice.pick(&topics::FIRST_NAMES),
            few: dice.pick(&topics::FEW),
        }
    }

    /// Fills the gaps, and begins the sentence with a capital letter.
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
