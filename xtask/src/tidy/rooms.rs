//! ARCHITECTURE.md and the workspace name the same crates.
//!
//! It reads the tables' rows and believes nothing else of that page.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{Fault, File, Tree};

const PAGE: &str = "ARCHITECTURE.md";
/// Rows of the table that are no members of the root workspace.
const NO_MEMBERS: [&str; 2] = ["plugins", "wit"];

pub(super) fn faults(tree: &Tree) -> Vec<Fault> {
    let Some(page) = tree.get(PAGE) else { return vec![Fault::at(PAGE, 1, "the page is missing")] };
    let Some(manifest) = tree.get("Cargo.toml") else { return vec![Fault::at("Cargo.toml", 1, "the file is missing")] };
    let members = members(manifest);
    let rows = rows(page);
    let named: BTreeSet<&str> = rows.iter().map(|(_, room)| *room).collect();
    let missing = members.iter().filter(|member| !named.contains(member.as_str()));
    let missing = missing.map(|member| Fault::new(page, 1, format!("no table has a row for the crate `{member}`")));
    let gone = rows.iter().filter(|(_, room)| !members.contains(*room) && !NO_MEMBERS.contains(room));
    let gone = gone.map(|(line, room)| Fault::new(page, *line, format!("`{room}` is no member of the workspace")));
    missing.chain(gone).collect()
}

fn members(manifest: &File) -> BTreeSet<String> {
    let table: Table = manifest.text.parse().unwrap_or_default();
    let members = table.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
    members.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The rows of the table of crates: those whose second cell is a path and nothing else.
fn rows(page: &File) -> Vec<(usize, &str)> {
    let mut rows = Vec::new();
    let mut within = false;
    for (number, line) in (1..).zip(page.text.lines()) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", first, second, ..] if *first == "floor" && *second == "crate" => within = true,
            ["", _, cell, _, ..] if within => {
                let path = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
                rows.extend(path.map(|path| (number, path)));
            }
            _ => within = false,
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::{Tree, faults};

    const MANIFEST: &str = "[workspace]\nmembers = [\"host/domain\", \"tests\"]\n";
    const HEAD: &str = "| floor | crate | what it is |\n|---|---|---|\n";

    fn check(page: &str, expect: &[&str]) {
        let page = format!("{HEAD}{page}");
        let tree = Tree::of(&[("ARCHITECTURE.md", &page), ("Cargo.toml", MANIFEST)]);
        let found: Vec<String> = faults(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{page}");
    }

    #[test]
    fn page_and_workspace_agree() {
        check("| ground | `host/domain` | x |\n| | `tests` | x |\n| | `wit` | x |\n\n| a | `b` | c |\n", &[]);
        check(
            "| ground | `host/domain` | x |\n| | `host/gone` | x |\n",
            &[
                "ARCHITECTURE.md:1: no table has a row for the crate `tests`",
                "ARCHITECTURE.md:4: `host/gone` is no member of the workspace",
            ],
        );
    }

    #[test]
    fn a_missing_page_is_a_fault() {
        let found = faults(&Tree::of(&[("Cargo.toml", MANIFEST)]));
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["ARCHITECTURE.md:1: the page is missing"]
        );
    }
}
