//! Which tools a message asks for.

use std::collections::BTreeMap;

use remit_domain::model::ToolOffer;
use serde_json::{Map, Value};

use super::{
    arguments::{self, Filled},
    facts::Facts,
    words::{self, Meant},
};

/// A tool to call.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its name.
    pub(super) tool: String,
    /// Its arguments.
    pub(super) arguments: Map<String, Value>,
}

/// The most tools that one round calls.
const MOST: usize = 3;
/// What a tool must reach to be meant.
const ENOUGH: u32 = 4;

/// Words in a tool's name by which it only looks.
const LOOKS: &[&str] = &[
    "analysis",
    "analyze",
    "calculate",
    "catalog",
    "check",
    "compare",
    "count",
    "describe",
    "estimate",
    "fetch",
    "find",
    "get",
    "list",
    "lookup",
    "query",
    "read",
    "recommendations",
    "recommend",
    "search",
    "show",
    "summarize",
    "track",
    "verify",
    "view",
];

/// Words in a tool's name by which it may change something.
const CHANGES: &[&str] = &[
    "add",
    "adjust",
    "approve",
    "assign",
    "cancel",
    "close",
    "create",
    "delete",
    "escalate",
    "execute",
    "generate",
    "notify",
    "outreach",
    "post",
    "process",
    "publish",
    "refund",
    "remove",
    "reset",
    "run",
    "schedule",
    "scheduling",
    "send",
    "set",
    "update",
    "upload",
    "workflow",
    "write",
];

/// Words of a message that ask about a change, or forbid it, rather than wanting it.
const DOUBTS: &[&str] = &[
    "avoid", "don", "dont", "how", "if", "never", "no", "not", "should", "stop", "unless", "whether", "why", "without",
    "would",
];

/// The first round: the change that the message orders and nothing else; or the tools that it means
/// and has the arguments for, with the searches that may bring the ids that others lack.
pub(super) fn first(said: &str, facts: &Facts, offered: &[ToolOffer]) -> Vec<Wanted> {
    let candidates = candidates(said, facts, offered);
    let (ready, lacking): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|it| it.filled.missing.is_empty());
    let (ready, changes): (Vec<_>, Vec<_>) = ready.into_iter().partition(|it| it.looks);
    if let Some(change) = changes.into_iter().next() {
        return vec![change.into_wanted()];
    }
    let mut wanted: Vec<Wanted> = ready.into_iter().map(Candidate::into_wanted).collect();
    for noun in lacking.iter().flat_map(|it| &it.filled.missing).filter_map(|name| arguments::id_of(name)) {
        if facts.names_someone() && !wanted.iter().any(|it| words::of(&it.tool).contains(&"search".to_owned())) {
            wanted.extend(offered.iter().find_map(|tool| search_for(&noun, tool, said, facts)));
        }
    }
    wanted.truncate(MOST);
    wanted
}

/// A further round: the tools that the message means and that only now have what they need.
pub(super) fn follow_up(said: &str, facts: &Facts, offered: &[ToolOffer], earlier: &[&str]) -> Vec<Wanted> {
    let unlearned = Facts::of(said, &[], &[]);
    let lacked = candidates(said, &unlearned, offered);
    let lacked = |name: &str| lacked.iter().any(|it| it.tool.name == name && !it.filled.missing.is_empty());
    let now = candidates(said, facts, offered).into_iter().filter(|it| it.filled.missing.is_empty());
    let new = now.filter(|it| it.looks && lacked(&it.tool.name) && !earlier.contains(&it.tool.name.as_str()));
    new.map(Candidate::into_wanted).take(MOST).collect()
}

struct Candidate<'a> {
    tool: &'a ToolOffer,
    score: u32,
    looks: bool,
    filled: Filled,
}

impl Candidate<'_> {
    fn into_wanted(self) -> Wanted {
        Wanted { tool: self.tool.name.clone(), arguments: self.filled.arguments }
    }
}

/// The tools that a message means, the likeliest first.
fn candidates<'a>(said: &str, facts: &Facts, offered: &'a [ToolOffer]) -> Vec<Candidate<'a>> {
    let mut concepts = words::concepts(said);
    if facts.names_someone() {
        concepts.entry("customer".to_owned()).or_insert(Meant::Implied);
    }
    let mut candidates: Vec<Candidate<'_>> =
        offered.iter().filter_map(|tool| candidate(tool, said, facts, &concepts)).collect();
    candidates.sort_by_key(|it| std::cmp::Reverse(it.score));
    candidates
}

fn candidate<'a>(
    tool: &'a ToolOffer,
    said: &str,
    facts: &Facts,
    concepts: &BTreeMap<String, Meant>,
) -> Option<Candidate<'a>> {
    let named = Named::of(&tool.name);
    let filled = arguments::fill(&tool.parameters, said, facts, &named.nouns);
    let mut score = named.score(concepts) + described(&tool.description, &named, concepts);
    // A tool that takes one of a few choices is meant by naming the choice: a playbook to be read.
    let chosen = filled.arguments.values().filter_map(Value::as_str);
    let properties = tool.parameters.get("properties").and_then(Value::as_object);
    let lone = properties.is_some_and(|all| all.len() == 1);
    if lone && filled.missing.is_empty() && chosen.into_iter().any(|it| names_choice(it, tool, concepts)) {
        score = score.max(ENOUGH);
    }
    if !named.looks && !clearly_asked(tool, &named, &filled, said, concepts) {
        return None;
    }
    (score >= ENOUGH).then_some(Candidate { tool, score, looks: named.looks, filled })
}

/// Whether a value stands in the tool's schema as a choice and its last word is named in the message.
fn names_choice(value: &str, tool: &ToolOffer, concepts: &BTreeMap<String, Meant>) -> bool {
    let choices = tool.parameters.pointer("/properties").and_then(Value::as_object).into_iter().flatten();
    let mut choices = choices.filter_map(|(_, property)| property.get("enum")?.as_array()).flatten();
    let last = words::of(value).last().map(|word| words::stem(word));
    choices.any(|choice| choice == value) && last.is_some_and(|last| concepts.get(&last) == Some(&Meant::Named))
}

/// Whether the message orders a change: it has the verb as the tool has it, names the thing and
/// which one, leaves nothing open, and voices no doubt.
fn clearly_asked(
    tool: &ToolOffer,
    named: &Named,
    filled: &Filled,
    said: &str,
    concepts: &BTreeMap<String, Meant>,
) -> bool {
    let said = words::of(said);
    let verb = words::of(&tool.name).into_iter().any(|word| CHANGES.contains(&word.as_str()) && said.contains(&word));
    let thing = named.nouns.last().is_some_and(|noun| concepts.get(noun) == Some(&Meant::Named));
    let which = filled.arguments.keys().any(|name| arguments::id_of(name).is_some());
    let doubt = said.iter().any(|word| DOUBTS.contains(&word.as_str()));
    verb && thing && which && filled.missing.is_empty() && !doubt
}

/// A tool's name, taken apart.
struct Named {
    looks: bool,
    nouns: Vec<String>,
}

impl Named {
    fn of(name: &str) -> Self {
        let words = words::of(name);
        let is = |list: &[&str], word: &String| list.contains(&word.as_str());
        let looks = words.iter().any(|word| is(LOOKS, word)) && !words.iter().any(|word| is(CHANGES, word));
        let nouns: Vec<&String> = words.iter().filter(|word| !is(LOOKS, word) && !is(CHANGES, word)).collect();
        let nouns = if nouns.is_empty() { words.iter().collect() } else { nouns };
        Self { looks, nouns: nouns.into_iter().map(|word| words::stem(word)).collect() }
    }

    /// The last noun is what the tool is about; the others only narrow it.
    fn score(&self, concepts: &BTreeMap<String, Meant>) -> u32 {
        let Some((about, others)) = self.nouns.split_last() else { return 0 };
        let about = match concepts.get(about) {
            Some(Meant::Named) => 5,
            Some(Meant::Implied) => 4,
            None => 0,
        };
        let others = others.iter().filter(|noun| concepts.contains_key(*noun)).count();
        about + u32::try_from(others).unwrap_or(u32::MAX).min(2)
    }
}

/// Up to two points for words of the description that the message names.
fn described(description: &str, named: &Named, concepts: &BTreeMap<String, Meant>) -> u32 {
    let mut stems: Vec<String> = words::of(description).iter().map(|word| words::stem(word)).collect();
    stems.sort();
    stems.dedup();
    let hits = stems.iter().filter(|stem| !named.nouns.contains(stem) && concepts.get(*stem) == Some(&Meant::Named));
    u32::try_from(hits.count()).unwrap_or(u32::MAX).min(2)
}

/// The call of a search that may find the thing.
fn search_for(noun: &str, tool: &ToolOffer, said: &str, facts: &Facts) -> Option<Wanted> {
    let named = Named::of(&tool.name);
    if !named.looks || named.nouns.last().map(String::as_str) != Some(noun) {
        return None;
    }
    let Filled { arguments, missing } = arguments::fill(&tool.parameters, said, facts, &named.nouns);
    (missing.is_empty() && !arguments.is_empty()).then(|| Wanted { tool: tool.name.clone(), arguments })
}
