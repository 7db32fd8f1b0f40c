//! Released versions of the contract never change.
//!
//! Nothing is released yet: `wit/` stays changeable until the first release, and this rule finds nothing.
//! From then on each released version is a folder `wit/released/<package>@<version>/`, and
//! `wit/released/digests.sha256` holds a line for each of their files, as `sha256sum` writes them.

use std::collections::BTreeMap;

use remit_author::Digest;

use super::{Fault, Tree};

const RELEASED: &str = "wit/released/";
const DIGESTS: &str = "wit/released/digests.sha256";

pub(super) fn faults(tree: &Tree) -> Vec<Fault> {
    let digests = tree.get(DIGESTS);
    let lines = (1..).zip(digests.map(|file| file.text.lines()).into_iter().flatten());
    let mut listed: BTreeMap<&str, (usize, &str)> = lines
        .filter_map(|(number, line)| line.split_once("  ").map(|(digest, path)| (path, (number, digest))))
        .collect();
    let mut faults = Vec::new();
    for file in tree.ending("wit") {
        let Some(path) = file.path.strip_prefix(RELEASED) else { continue };
        match listed.remove(path) {
            Some((_, expected)) if expected == Digest::of(file.text.as_bytes()).hex() => {}
            Some(_) => faults.push(Fault::new(file, 1, "a released version is frozen: make a new one beside it")),
            None => faults.push(Fault::new(file, 1, format!("its digest is missing in {DIGESTS}"))),
        }
    }
    let gone = listed
        .into_iter()
        .map(|(path, (line, _))| Fault::at(DIGESTS, line, format!("`{path}` was released and is gone")));
    faults.extend(gone);
    faults
}

#[cfg(test)]
mod tests {
    use super::{DIGESTS, Digest, Tree, faults};

    const FILE: &str = "wit/released/data@0.1.0/sql.wit";

    fn check(files: &[(&str, &str)], expect: &[&str]) {
        let found: Vec<String> = faults(&Tree::of(files)).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn what_is_not_released_may_change() {
        check(&[("wit/tools.wit", "package a:b;")], &[]);
    }

    #[test]
    fn what_is_released_is_frozen() {
        let digests = format!("{}  data@0.1.0/sql.wit\n", Digest::of(b"package a:b;").hex());
        check(&[(FILE, "package a:b;"), (DIGESTS, &digests)], &[]);
        check(
            &[(FILE, "package a:c;"), (DIGESTS, &digests)],
            &["wit/released/data@0.1.0/sql.wit:1: a released version is frozen: make a new one beside it"],
        );
        check(
            &[(FILE, "package a:b;")],
            &["wit/released/data@0.1.0/sql.wit:1: its digest is missing in wit/released/digests.sha256"],
        );
        check(
            &[(DIGESTS, &digests)],
            &["wit/released/digests.sha256:1: `data@0.1.0/sql.wit` was released and is gone"],
        );
    }
}
