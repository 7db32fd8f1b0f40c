//! A new plugin, from the template that this program holds.
//!
//! The template's placeholder is `plugin-name`, in names of files as in their text.

use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::embedded;

const PLACEHOLDER: &str = "plugin-name";
const MAX_NAME: usize = 64;
/// Folders of a workspace that are no plugins, and crate names that Rust keeps for itself.
const RESERVED: [&str; 16] = [
    "alloc",
    "build",
    "core",
    "dist",
    "examples",
    "hostile",
    "proc-macro",
    "remit-sdk",
    "sdk",
    "src",
    "std",
    "target",
    "template",
    "test",
    "vendor",
    "wit",
];
/// Where a plugin of its own keeps the SDK: so deep that the SDK finds `wit/` as in the checkout.
const SDK: &str = "vendor/sdk";
const IGNORED: &str = "/target\n/dist\n*.key\n";

/// Makes a plugin that needs nothing but Rust: its own workspace, with the SDK and the contract in it.
///
/// Errors: the name is none; the folder holds something; it would lie in another workspace.
pub fn standalone(folder: &Path, name: &str, node: bool) -> Result<()> {
    check(name)?;
    if let Some(outer) = folder.parent().filter(|outer| outer.join("Cargo.toml").is_file()) {
        bail!(
            "{} is a Cargo project already, and a plugin is one of its own: choose another folder",
            if outer.as_os_str().is_empty() { Path::new(".") } else { outer }.display()
        );
    }
    make(folder, name, |part| {
        embedded::write("sdk", &part.join(SDK))?;
        embedded::write("wit", &part.join("wit"))?;
        for file in ["Cargo.lock", "clippy.toml", "rustfmt.toml"] {
            embedded::put(&part.join(file), embedded::file(&format!("workspace/{file}"))?)?;
        }
        embedded::put(&part.join(".gitignore"), IGNORED)?;
        fill_template(part, name, node)?;
        let manifest = part.join("Cargo.toml");
        let own = std::fs::read_to_string(&manifest).context("the template has no manifest")?;
        embedded::put(&manifest, &format!("{own}\n{}", workspace(embedded::file("workspace/Cargo.toml")?)?))
    })
}

/// Makes a plugin in a workspace of plugins that has the SDK.
///
/// Errors: the name is none; there is something of that name.
pub fn member(workspace: &Path, name: &str, node: bool) -> Result<()> {
    check(name)?;
    make(&workspace.join(name), name, |part| fill_template(part, name, node))
}

/// Says what comes next.
pub(crate) fn say(folder: &Path, name: &str, node: bool) {
    println!("{} is made. Next:", folder.display());
    println!("  cd {}", folder.display());
    println!("  cargo test                # its functions, against fakes");
    println!("  remit plugin build        # a component: dist/{name}.wasm");
    if !node {
        println!("  remit plugin test . --tool find_customers --arguments '{{\"name\":\"ada\"}}'");
        println!("  remit plugin upload . --tenant TENANT --activate");
    }
}

/// Makes a folder that appears whole or not at all, so that a failure leaves no half plugin for cargo to find.
fn make(folder: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if folder.exists() {
        bail!("{} exists already", folder.display());
    }
    let beside = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(beside).with_context(|| format!("cannot create {}", beside.display()))?;
    let part = beside.join(format!(".new-{name}-{}", std::process::id()));
    let made = fill(&part)
        .and_then(|()| std::fs::rename(&part, folder).with_context(|| format!("cannot create {}", folder.display())));
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&part);
    }
    made
}

fn fill_template(folder: &Path, name: &str, node: bool) -> Result<()> {
    let kind = if node { "template/nodes" } else { "template/tools" };
    embedded::tree(kind).try_for_each(|(path, text)| embedded::put(&folder.join(fill(path, name)), &fill(text, name)))
}

/// The workspace's tables for a plugin that is a workspace of its own.
fn workspace(manifest: &str) -> Result<String> {
    let mut table: Table = manifest.parse().context("the plugins' manifest is not TOML")?;
    let workspace = table.get_mut("workspace").and_then(Value::as_table_mut).context("there is no workspace")?;
    workspace.insert("members".to_owned(), Value::Array(vec![SDK.into()]));
    workspace.remove("exclude");
    let sdk = workspace.get_mut("dependencies").and_then(|all| all.get_mut("remit-sdk"));
    let sdk = sdk.and_then(Value::as_table_mut).context("the workspace does not know the SDK")?;
    sdk.insert("path".to_owned(), SDK.into());
    Ok(table.to_string())
}

fn check(name: &str) -> Result<()> {
    let words_fit = name.split('-').all(|word| {
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    });
    if !words_fit || name.len() > MAX_NAME || !name.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        bail!(
            "{name:?} is not a plugin's name: up to {MAX_NAME} small letters, digits and single hyphens, \
             beginning with a letter"
        );
    }
    if RESERVED.contains(&name) {
        bail!("{name} is reserved: choose another name");
    }
    Ok(())
}

/// The text with the placeholder replaced, also where it is written as Rust's identifiers are.
fn fill(text: &str, name: &str) -> String {
    text.replace(PLACEHOLDER, name).replace(&PLACEHOLDER.replace('-', "_"), &name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::fs;

    use super::{check, member, standalone, workspace};

    #[test]
    fn a_plugin_of_its_own_has_all_it_needs() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("shop-desk");
        standalone(&folder, "shop-desk", false).unwrap();
        let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("shop-desk"));
        assert_eq!(manifest["workspace"]["members"], toml::Value::Array(vec!["vendor/sdk".into()]));
        assert_eq!(manifest["workspace"]["dependencies"]["remit-sdk"]["path"].as_str(), Some("vendor/sdk"));
        assert!(manifest.contains_key("profile"), "the profile that makes small components");
        for file in ["src/lib.rs", "sources.yaml", "Cargo.lock", "vendor/sdk/src/lib.rs", "wit/tools.wit", ".gitignore"]
        {
            assert!(folder.join(file).is_file(), "{file}");
        }
        for entry in fs::read_dir(root.path()).unwrap() {
            assert_eq!(entry.unwrap().file_name(), "shop-desk", "nothing else is left behind");
        }
        let again = standalone(&folder, "shop-desk", false).unwrap_err().to_string();
        assert!(again.ends_with("shop-desk exists already"), "{again}");
        let inside = standalone(&folder.join("inner"), "inner", false).unwrap_err().to_string();
        assert!(inside.contains("is a Cargo project already"), "{inside}");
    }

    #[test]
    fn a_member_is_the_template_under_another_name() {
        let root = tempfile::tempdir().unwrap();
        member(root.path(), "shop-desk", true).unwrap();
        let text = fs::read_to_string(root.path().join("shop-desk/src/lib.rs")).unwrap();
        assert!(text.contains("shop-desk") && text.contains("node_set!") && !text.contains("plugin-name"), "{text}");
        assert!(!root.path().join("shop-desk/vendor").exists());
    }

    #[test]
    fn a_workspace_without_the_sdk_is_said() {
        let error = workspace("[workspace]\nmembers = []\n").unwrap_err().to_string();
        assert_eq!(error, "the workspace does not know the SDK");
    }

    #[test]
    fn names_are_checked() {
        for name in ["a", "shop", "shop-desk2", "x1"] {
            assert!(check(name).is_ok(), "{name}");
        }
        let long = "a".repeat(65);
        for name in [
            "",
            "Shop",
            "1shop",
            "shop_desk",
            "shop--desk",
            "-shop",
            "shop-",
            "../shop",
            "a/b",
            "sdk",
            "core",
            "über",
            &long,
        ] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
