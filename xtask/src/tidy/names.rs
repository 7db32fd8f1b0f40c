//! Names that say nothing, as names of modules, files, folders and types.
//!
//! Names of functions and values are left to review.

use super::{Fault, File, Tree};

/// Words that no name may have.
const WORDS: [&str; 6] = ["helper", "helpers", "manager", "service", "util", "utils"];
/// Words that no name may be; within a longer one they can mean something (`base_url`).
const WHOLE: [&str; 2] = ["base", "common"];
/// Where `common` is the name of an interface of the contract.
const INTERFACE: &str = "host/sandbox/src/capability/";
/// What makes a type or a module.
const MAKERS: [&str; 6] = ["enum", "mod", "struct", "trait", "type", "union"];

pub(super) fn faults(tree: &Tree) -> Vec<Fault> {
    tree.ending("rs").flat_map(|file| paths(file).into_iter().chain(definitions(file))).collect()
}

fn paths(file: &File) -> Option<Fault> {
    let mut parts = file.path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let bad = parts.find(|part| is_banned(part) && !is_interface(file, part))?;
    Some(Fault::new(file, 1, format!("`{bad}` is no name for a file or folder: say what it is")))
}

fn definitions(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        if let Some((maker, name)) = definition(line)
            && is_banned(name)
            && !(maker == "mod" && is_interface(file, name))
        {
            faults.push(Fault::new(file, number, format!("`{maker} {name}`: a name must say what it is")));
        }
    }
    faults
}

/// What a line defines, if it does: `pub(crate) struct Name<T>` and the like.
fn definition(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let maker = if first == "pub" || first.starts_with("pub(") {
        // `pub(in path)` is two words.
        words.find(|word| !word.ends_with(')'))?
    } else {
        first
    };
    let name = words.next()?;
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(name.len());
    MAKERS.contains(&maker).then_some((maker, name.get(..end)?))
}

fn is_interface(file: &File, name: &str) -> bool {
    name == "common" && file.path.starts_with(INTERFACE)
}

fn is_banned(name: &str) -> bool {
    let whole = name.to_lowercase();
    WHOLE.contains(&whole.as_str()) || words(name).iter().any(|word| WORDS.contains(&word.as_str()))
}

/// The words of `snake_case`, `kebab-case` and `CamelCase`, in small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for letter in name.chars() {
        if matches!(letter, '_' | '-' | '.') || (letter.is_uppercase() && small) {
            words.push(String::new());
        }
        small = letter.is_lowercase();
        if let (Some(word), true) = (words.last_mut(), letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{Tree, faults};

    fn check(path: &str, text: &str, expect: &[&str]) {
        let found: Vec<String> = faults(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{path}: {text}");
    }

    #[test]
    fn names_of_files_and_folders() {
        check("host/x/src/database.rs", "", &[]);
        for (path, name) in [
            ("host/x/src/utils.rs", "utils"),
            ("host/x/src/pool_manager.rs", "pool_manager"),
            ("host/common/src/lib.rs", "common"),
            ("host/base.rs", "base"),
        ] {
            check(path, "", &[&format!("{path}:1: `{name}` is no name for a file or folder: say what it is")]);
        }
        check("host/sandbox/src/capability/common.rs", "pub(super) mod common;", &[]);
    }

    #[test]
    fn names_of_types_and_modules() {
        check("a.rs", "struct Database;\ntype BaseUrl = String;\n// a helper\nfn helper() {}\nuse x::Service;", &[]);
        check(
            "a.rs",
            "pub(in crate::x) struct PoolManager<T>(T);\nmod util {\npub trait Service {}\n    enum Base { A }\n",
            &[
                "a.rs:1: `struct PoolManager`: a name must say what it is",
                "a.rs:2: `mod util`: a name must say what it is",
                "a.rs:3: `trait Service`: a name must say what it is",
                "a.rs:4: `enum Base`: a name must say what it is",
            ],
        );
        check(
            "host/sandbox/src/capability/x.rs",
            "struct Common;",
            &["host/sandbox/src/capability/x.rs:1: `struct Common`: a name must say what it is"],
        );
    }
}
