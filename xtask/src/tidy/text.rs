//! What a file may hold: its length, its first line, and words that must not stay.
//!
//! Words are looked for as text: one in a string counts like one in a comment.

use super::{Fault, File, Tree};

/// The most lines of a source file.
const MAX_LINES: usize = 500;
/// Marks of unfinished work. They are put together here so that this file does not hold them.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
/// What Rust sources must not hold either.
const UNFINISHED_CODE: [&str; 3] = [concat!("to", "do!"), concat!("unimpl", "emented!"), concat!("#[ig", "nore")];
/// Where a file must not lie: paths of whoever's machine.
const MACHINE: [&str; 3] = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/home", "/")];

pub(super) fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.ends_with(".lock")) {
        for (number, line) in (1..).zip(file.text.lines()) {
            faults.extend(words(file, line).map(|message| Fault::new(file, number, message)));
        }
    }
    for file in tree.ending("rs") {
        if !file.text.starts_with("//!") {
            faults.push(Fault::new(file, 1, "the first line must be `//!`: what the module is, and what it lacks"));
        }
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            faults.push(Fault::new(file, MAX_LINES, format!("{lines} lines: {MAX_LINES} are the most, part it")));
        }
    }
    faults
}

fn words(file: &File, line: &str) -> Option<String> {
    let has_word = |word: &&&str| {
        let before = |at: usize| line.get(..at).and_then(|text| text.chars().next_back());
        let after = |at: usize| line.get(at + word.len()..).and_then(|text| text.chars().next());
        let part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        line.match_indices(**word).any(|(at, _)| !part(before(at)) && !part(after(at)))
    };
    if let Some(word) = UNFINISHED.iter().find(has_word) {
        return Some(format!("`{word}`: finish it, or open an issue"));
    }
    let unfinished = UNFINISHED_CODE.iter().find(|word| file.path.ends_with(".rs") && line.contains(**word));
    if let Some(word) = unfinished {
        return Some(format!("`{word}` must not stay"));
    }
    // A path within another one (`x/…`) or within a URL is nobody's machine.
    let begins = |at: usize| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|letter| {
            !letter.is_alphanumeric() && !matches!(letter, '/' | '.' | '-' | '_' | '}' | '*' | '>')
        })
    };
    let path = MACHINE.iter().find(|path| line.match_indices(**path).any(|(at, _)| begins(at)))?;
    Some(format!("`{path}` is a path of somebody's machine"))
}

#[cfg(test)]
mod tests {
    use super::{MACHINE, Tree, UNFINISHED, UNFINISHED_CODE, faults};

    fn check(path: &str, text: &str, expect: &[&str]) {
        let found: Vec<String> = faults(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{path}: {text}");
    }

    #[test]
    fn modules_say_what_they_are() {
        check("a.rs", "//! A.\n", &[]);
        check("a.rs", "\n//! A.\n", &["a.rs:1: the first line must be `//!`: what the module is, and what it lacks"]);
        check("a.md", "text", &[]);
    }

    #[test]
    fn files_end_at_five_hundred_lines() {
        let lines = |count: usize| format!("//! A.\n{}", "x\n".repeat(count - 1));
        check("a.rs", &lines(500), &[]);
        check("a.rs", &lines(501), &["a.rs:500: 501 lines: 500 are the most, part it"]);
        check("a.md", &lines(501), &[]);
    }

    #[test]
    fn unfinished_work_is_found() {
        for word in UNFINISHED {
            check("a.md", &format!("x\n{word}: later"), &[&format!("a.md:2: `{word}`: finish it, or open an issue")]);
            check("a.md", &format!("{word}S and MY{word}"), &[]);
        }
        for word in UNFINISHED_CODE {
            check("a.rs", &format!("//! A.\n{word}"), &[&format!("a.rs:2: `{word}` must not stay")]);
            check("a.md", word, &[]);
        }
    }

    #[test]
    fn paths_of_machines_are_found() {
        for path in MACHINE {
            let found = format!("a.toml:1: `{path}` is a path of somebody's machine");
            check("a.toml", &format!("path = \"{path}x\""), &[&found]);
            check("a.toml", &format!("https://x.example{path}x"), &[]);
        }
    }
}
