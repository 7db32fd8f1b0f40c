//! Core modules in text become components of the contract: what a guest exports and describes is put
//! around the text, which has its memory and its `call`.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// Where the description lies in a guest's first page; its texts follow it.
const DESCRIBED: u32 = 64;
/// The lengths of the records in memory, as the canonical ABI lays them out.
const DESCRIPTION: u32 = 48;
const TOOL: u32 = 60;

/// What every guest has. `$answer` makes an outcome of a number: `{"n":"0000000042"}`.
const FRAME: &str = r#"
  (func (export "remit:plugin/tools@0.1.0#describe") (result i32) (i32.const 64))
  (func $answer (param $n i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 2127))
    (loop $digit
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $digit (i32.gt_u (local.get $at) (i32.const 2117))))
    (i32.const 2048))
  (data (i32.const 2048) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\40\08\00\00\12\00\00\00")
  (data (i32.const 2112) "{\"n\":\"0000000000\"}")
"#;

/// A guest that does not say how it makes room for what it is given.
const REALLOC: &str = r#"
  (global $top (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
"#;

/// The contract, as `wit/` has it.
pub(crate) struct Contract {
    resolve: Resolve,
    world: WorldId,
}

impl Contract {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(folder).context("wit/ is not read")?;
        let world = resolve.select_world(&[package], Some("tools-only"))?;
        Ok(Self { resolve, world })
    }

    /// A world written out, with nothing of the contract.
    pub(crate) fn of_text(text: &str) -> Result<Self> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("world.wit", text)?;
        let world = resolve.select_world(&[package], None)?;
        Ok(Self { resolve, world })
    }

    /// A guest that describes itself as `hostile-<name>`, with one tool, called `<name>`.
    pub(crate) fn guest(&self, name: &str, text: &str) -> Result<Vec<u8>> {
        self.component(&wat::parse_str(module(name, text))?)
    }

    /// A core module as a component of this world. It is checked by nobody: it is to be hostile.
    pub(crate) fn component(&self, module: &[u8]) -> Result<Vec<u8>> {
        let mut module = module.to_vec();
        embed_component_metadata(&mut module, &self.resolve, self.world, StringEncoding::UTF8)?;
        ComponentEncoder::default().validate(false).module(&module)?.encode()
    }
}

/// The whole module around a guest's text. Imports come first in a module, so the text does.
pub(crate) fn module(name: &str, text: &str) -> String {
    let realloc = if text.contains("cabi_realloc") { "" } else { REALLOC };
    let description = described(name).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    });
    format!("(module\n{text}\n{FRAME}{realloc}  (data (i32.const {DESCRIBED}) \"{description}\"))")
}

/// The description as the canonical ABI wants it in memory.
fn described(name: &str) -> Vec<u8> {
    let own = format!("hostile-{name}");
    let texts = [own.as_str(), "0.1.0", name, "Attacks.", r#"{"type":"object"}"#];
    let mut at = DESCRIBED + DESCRIPTION + TOOL;
    let mut places = texts.iter().map(|text| {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let place = [at, length];
        at += length;
        place
    });
    let [name, version, tool, description, schema] = std::array::from_fn(|_| places.next().unwrap_or_default());
    let none = [0; 3];
    let record: Vec<u32> = [
        name.as_slice(),
        &version,
        &none,
        &none,
        &[DESCRIBED + DESCRIPTION, 1],
        // The tool: its name, no title, its texts, no output schema, four annotations, no needs.
        &tool,
        &none,
        &description,
        &schema,
        &none,
        &[0, 0, 0],
    ]
    .concat();
    let mut bytes: Vec<u8> = record.into_iter().flat_map(u32::to_le_bytes).collect();
    bytes.extend(texts.concat().into_bytes());
    bytes
}
