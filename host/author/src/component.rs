//! What a component says in its bytes: that it is one, what it imports and exports.
//!
//! It judges nothing: a host decides which imports it links.

use std::path::Path;

use anyhow::{Context, Result, bail};
use wasmparser::{Encoding, Parser, Payload};

/// What a component's outermost layer names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// What it imports, in order.
    pub imports: Vec<String>,
    /// What it exports, in order.
    pub exports: Vec<String>,
}

impl Names {
    /// Whether it exports an interface, in whatever version.
    pub fn exports(&self, interface: &str) -> bool {
        self.exports.iter().any(|name| name.split('@').next() == Some(interface))
    }
}

/// Reads a component's names. Errors: the bytes are no component, or broken.
pub fn names(bytes: &[u8]) -> Result<Names> {
    let mut names = Names::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.context("not a WebAssembly file, or a broken one")? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                bail!("a core module, not a component: build it for {}", crate::command::WASM)
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.imports.push(import.context("a broken import")?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    names.exports.push(export.context("a broken export")?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Puts a built component where it belongs, so that a host that watches the folder never reads half of it.
pub(crate) fn install(artifact: &Path, file: &Path) -> Result<()> {
    let bytes = std::fs::read(artifact).with_context(|| format!("cannot read {}", artifact.display()))?;
    names(&bytes).with_context(|| format!("{} is no component", artifact.display()))?;
    if std::fs::read(file).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let part = file.with_extension("part");
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    std::fs::write(&part, &bytes).with_context(|| format!("cannot write {}", part.display()))?;
    std::fs::rename(&part, file).with_context(|| format!("cannot write {}", file.display()))
}
