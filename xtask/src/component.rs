//! What a component says about itself in its bytes: that it is one, and what it imports.
//!
//! It judges nothing: the host decides which imports it links.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};

/// The names of a component's imports, in order.
///
/// Errors: when the bytes are no component, or broken.
pub(crate) fn imports(bytes: &[u8]) -> Result<Vec<String>> {
    let mut imports = Vec::new();
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
                    imports.push(import.context("a broken import")?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{digest, imports};

    /// An empty component, and one that imports an empty instance named `a:b/c`.
    const EMPTY: &[u8] = &[0, b'a', b's', b'm', 0x0d, 0, 1, 0];
    const IMPORTING: &[u8] =
        &[0, b'a', b's', b'm', 0x0d, 0, 1, 0, 7, 3, 1, 0x42, 0, 10, 10, 1, 0, 5, b'a', b':', b'b', b'/', b'c', 5, 0];

    #[test]
    fn reads_imports() -> anyhow::Result<()> {
        assert_eq!(imports(EMPTY)?, Vec::<String>::new());
        assert_eq!(imports(IMPORTING)?, ["a:b/c"]);
        Ok(())
    }

    #[test]
    fn refuses_what_is_no_component() {
        let message = |bytes: &[u8]| imports(bytes).err().map(|error| error.to_string());
        let module = message(&[0, b'a', b's', b'm', 1, 0, 0, 0]);
        assert_eq!(module.as_deref(), Some("a core module, not a component: build it for wasm32-wasip2"));
        assert_eq!(message(b"text").as_deref(), Some("not a WebAssembly file, or a broken one"));
    }

    #[test]
    fn digests_as_sha256sum_does() {
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
