//! Words: how a text is cut into them, which of them mean the same, and which mean nothing.

use std::collections::BTreeMap;

/// Words of a message that stand for a thing that tools are named after. Both sides are stems.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("account", &["customer"]),
    ("availability", &["inventory"]),
    ("available", &["inventory"]),
    ("bought", &["order"]),
    ("bug", &["ticket"]),
    ("buyer", &["customer"]),
    ("client", &["customer"]),
    ("coupon", &["promotion"]),
    ("deal", &["promotion"]),
    ("discount", &["promotion"]),
    ("error", &["ticket", "documentation"]),
    ("fail", &["ticket", "documentation"]),
    ("holiday", &["pto"]),
    ("issue", &["ticket"]),
    ("lead", &["customer"]),
    ("leave", &["pto"]),
    ("lifetime", &["ltv"]),
    ("machine", &["equipment"]),
    ("offer", &["promotion"]),
    ("outfit", &["product", "style"]),
    ("press", &["equipment"]),
    ("problem", &["ticket"]),
    ("prospect", &["customer"]),
    ("purchase", &["order"]),
    ("qualify", &["customer", "promotion"]),
    ("referral", &["customer"]),
    ("spent", &["ltv"]),
    ("stock", &["inventory"]),
    ("vacation", &["pto"]),
    ("value", &["ltv"]),
    ("worth", &["ltv"]),
];

/// Words that say nothing about which tool is meant, or what to look for.
const EMPTY: &[&str] = &[
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "ask", "asking", "at", "be", "been", "but",
    "by", "can", "check", "could", "current", "did", "do", "does", "find", "for", "from", "get", "give", "had", "has",
    "have", "he", "help", "her", "him", "his", "how", "i", "if", "in", "is", "it", "its", "list", "look", "looking",
    "me", "my", "need", "needs", "new", "of", "on", "or", "our", "out", "please", "search", "see", "she", "should",
    "show", "some", "specific", "tell", "that", "the", "their", "them", "there", "they", "this", "to", "up", "us",
    "use", "want", "wants", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with",
    "would", "you", "your",
];

/// The words of a text, in lower case, in order.
pub(super) fn of(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// Whether a word says nothing.
pub(super) fn empty(word: &str) -> bool {
    EMPTY.contains(&word)
}

/// A word without its ending, so that `customers` is `customer`.
pub(super) fn stem(word: &str) -> String {
    let long = |rest: &str, least: usize| rest.chars().count() >= least;
    if let Some(rest) = word.strip_suffix("ies").filter(|rest| long(rest, 3)) {
        return format!("{rest}y");
    }
    let kept = ["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    let word = word.strip_suffix('s').filter(|rest| !kept && long(rest, 3)).unwrap_or(word);
    let bare = word.strip_suffix("ing").or_else(|| word.strip_suffix("ed"));
    bare.filter(|rest| long(rest, 4)).unwrap_or(word).to_owned()
}

/// How a message came to mean a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meant {
    /// Through a word that stands for it.
    Implied,
    /// It is named.
    Named,
}

/// The things that a message means, by stem.
pub(super) fn concepts(text: &str) -> BTreeMap<String, Meant> {
    let mut concepts = BTreeMap::new();
    for word in of(text).iter().filter(|word| !empty(word)) {
        let stem = stem(word);
        for implied in SYNONYMS.iter().filter(|(word, _)| *word == stem).flat_map(|(_, things)| *things) {
            concepts.entry((*implied).to_owned()).or_insert(Meant::Implied);
        }
        concepts.insert(stem, Meant::Named);
    }
    concepts
}
