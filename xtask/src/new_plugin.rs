//! `cargo xtask new-plugin`: a folder in `plugins/`, copied from `plugins/template/`.
//!
//! The template's placeholder is `plugin-name`, in names of files as in their text. The template is no
//! member of the workspace, so that [`try_template`] is what keeps it working.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::command::{self, cargo, root};

const PLACEHOLDER: &str = "plugin-name";
const MAX_NAME: usize = 64;
/// Folders of `plugins/` that are no plugins, and crate names that Rust keeps for itself.
const RESERVED: [&str; 12] = [
    "alloc",
    "build",
    "core",
    "dist",
    "hostile",
    "proc-macro",
    "remit-sdk",
    "sdk",
    "std",
    "target",
    "template",
    "test",
];

/// Makes the plugin.
pub(crate) fn run(name: &str) -> Result<ExitCode> {
    create(&root().join("plugins"), name)?;
    println!("plugins/{name} is made. Next:");
    println!("  1. write its tools in plugins/{name}/src/");
    println!("  2. cargo xtask build-plugin {name}");
    println!("  3. name it in an agent's mcpServer in configs/contexts/");
    Ok(ExitCode::SUCCESS)
}

/// Makes a plugin in a workspace of its own under `target/`, and runs its lints and tests.
pub(crate) fn try_template() -> Result<()> {
    const NAME: &str = "from-template";
    let (plugins, trial) = (root().join("plugins"), root().join("target/template"));
    if trial.exists() {
        std::fs::remove_dir_all(&trial).with_context(|| format!("cannot remove {}", trial.display()))?;
    }
    copy(&plugins.join("template"), &trial.join(NAME), NAME)?;
    let manifest = trial.join("Cargo.toml");
    std::fs::write(&manifest, workspace_of(&std::fs::read_to_string(plugins.join("Cargo.toml"))?, NAME, &plugins)?)?;
    for file in ["Cargo.lock", "clippy.toml"] {
        std::fs::copy(plugins.join(file), trial.join(file)).with_context(|| format!("cannot copy plugins/{file}"))?;
    }
    let with = |arguments: &[&str]| {
        let mut command = cargo(arguments);
        command.current_dir(&trial).env("CARGO_TARGET_DIR", plugins.join("target"));
        command
    };
    command::run(&mut with(&["clippy", "--all-targets", "--", "-D", "warnings"]))?;
    command::run(&mut with(&["test"]))
}

/// The manifest of `plugins/` with one member and with its paths made absolute.
fn workspace_of(manifest: &str, member: &str, plugins: &Path) -> Result<String> {
    let mut table: Table = manifest.parse().context("plugins/Cargo.toml is not TOML")?;
    let workspace = table.get_mut("workspace").and_then(Value::as_table_mut).context("plugins/ is no workspace")?;
    workspace.insert("members".to_owned(), Value::Array(vec![member.into()]));
    workspace.remove("exclude");
    let dependencies = workspace.get_mut("dependencies").and_then(Value::as_table_mut).into_iter();
    for (_, dependency) in dependencies.flatten() {
        if let Some(path) = dependency.get_mut("path") {
            let absolute = plugins.join(path.as_str().unwrap_or_default());
            *path = absolute.to_string_lossy().into_owned().into();
        }
    }
    Ok(table.to_string())
}

fn create(plugins: &Path, name: &str) -> Result<()> {
    check(name)?;
    let folder = plugins.join(name);
    if folder.exists() {
        bail!("plugins/{name} exists already");
    }
    let template = plugins.join("template");
    if !template.is_dir() {
        bail!("the template plugins/template is missing");
    }
    // The folder gets its name last, so that a failure leaves no half plugin for cargo to find.
    let part = plugins.join("target").join(format!("new-{name}"));
    if part.exists() {
        std::fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    copy(&template, &part, name)?;
    std::fs::rename(&part, &folder).with_context(|| format!("cannot create {}", folder.display()))
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

fn copy(from: &Path, to: &Path, name: &str) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let file = entry.file_name().into_string().ok().context("a file of the template has an odd name")?;
        if ["target", "Cargo.lock"].contains(&file.as_str()) {
            continue;
        }
        let target = to.join(fill(&file, name));
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, name)?;
        } else {
            let text = std::fs::read_to_string(entry.path())
                .with_context(|| format!("{} is not text", entry.path().display()))?;
            std::fs::write(&target, fill(&text, name)).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

/// The text with the placeholder replaced, also where it is written as Rust's identifiers are.
fn fill(text: &str, name: &str) -> String {
    text.replace(PLACEHOLDER, name).replace(&PLACEHOLDER.replace('-', "_"), &name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use anyhow::Result;

    use super::{check, create, workspace_of};

    #[test]
    fn the_trial_workspace_has_one_member_and_finds_the_sdk() -> Result<()> {
        let manifest = "[workspace]\nmembers = [\"*\"]\nexclude = [\"target\"]\n\
                        [workspace.dependencies]\nremit-sdk = { path = \"sdk\" }\nserde = \"1\"\n";
        let made: toml::Table = workspace_of(manifest, "trial", std::path::Path::new("/x/plugins"))?.parse()?;
        let expected = "[workspace]\nmembers = [\"trial\"]\n\
                        [workspace.dependencies]\nremit-sdk = { path = \"/x/plugins/sdk\" }\nserde = \"1\"\n";
        assert_eq!(made, expected.parse()?);
        Ok(())
    }

    #[test]
    fn copies_the_template_under_the_new_name() -> Result<()> {
        let plugins = tempfile::tempdir()?;
        let template = plugins.path().join("template/src");
        fs::create_dir_all(&template)?;
        fs::write(plugins.path().join("template/Cargo.toml"), "name = \"plugin-name\"")?;
        fs::write(template.join("plugin_name.rs"), "use plugin_name::x; // plugin-name")?;
        create(plugins.path(), "shop-desk")?;
        let made = plugins.path().join("shop-desk");
        assert_eq!(fs::read_to_string(made.join("Cargo.toml"))?, "name = \"shop-desk\"");
        assert_eq!(fs::read_to_string(made.join("src/shop_desk.rs"))?, "use shop_desk::x; // shop-desk");
        let taken = create(plugins.path(), "shop-desk").err().map(|error| error.to_string());
        assert_eq!(taken.as_deref(), Some("plugins/shop-desk exists already"));
        Ok(())
    }

    #[test]
    fn a_missing_template_is_said() -> Result<()> {
        let plugins = tempfile::tempdir()?;
        let error = create(plugins.path(), "shop").err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("the template plugins/template is missing"));
        Ok(())
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
