//! What an upload is made of, counted before anything compiles it: the figures of its tier, and how deep
//! it nests. It reads headers alone and keeps nothing, so that it costs one pass over the bytes.
//!
//! Deliberately absent: whether the component is valid. Validating builds types as large as their author
//! likes; the compiler's process does it, with the engine's own features and under its limits.

use remit_domain::limits::{Limit, Limits, Upload};
use wasmparser::{Parser, Payload};

use crate::Error;

/// The deepest nesting of components and modules. Compilers make two levels, composed components a few.
const MAX_NESTING: u64 = 16;

/// Checks that the bytes are a component within the figures of a tier, none of whose memories and tables
/// begins larger than a call's may become.
///
/// Errors: [`Error::NotAComponent`]; [`Error::Limit`], the first that is met.
pub(crate) fn scan(wasm: &[u8], tier: &Upload, limits: &Limits) -> Result<(), Error> {
    at_most("componentBytes", "bytes", count(wasm.len()), tier.component_bytes, "the component")?;
    if Parser::is_core_wasm(wasm) {
        return Err(Error::NotAComponent("it is a core module: make it a component (`wasm32-wasip2`)".to_owned()));
    }
    if !Parser::is_component(wasm) {
        return Err(Error::NotAComponent("it does not begin as one".to_owned()));
    }
    let (mut functions, mut modules, mut depth) = (0_u64, 0_u64, 0_u64);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(malformed)? {
            Payload::CodeSectionStart { count, .. } => {
                functions = functions.saturating_add(count.into());
                at_most("functions", "functions", functions, tier.functions, "all core modules")?;
            }
            Payload::CodeSectionEntry(body) => {
                at_most("bodyBytes", "bytes", count(body.range().len()), tier.body_bytes, "one function's body")?;
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let pages = memory.map_err(malformed)?.initial;
                    begins_within(Limit::Memory, limits, pages.saturating_mul(PAGE_BYTES), "one memory")?;
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    begins_within(Limit::TableElements, limits, table.map_err(malformed)?.ty.initial, "one table")?;
                }
            }
            Payload::ModuleSection { .. } => {
                modules = modules.saturating_add(1);
                at_most("coreModules", "modules", modules, tier.core_modules, "the component")?;
                depth = deeper(depth)?;
            }
            Payload::ComponentSection { .. } => depth = deeper(depth)?,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Of a memory whose pages have no size of their own, which the engine does not know.
const PAGE_BYTES: u64 = 64 << 10;

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn malformed(error: wasmparser::BinaryReaderError) -> Error {
    Error::NotAComponent(error.to_string())
}

fn begins_within(limit: Limit, limits: &Limits, found: u64, what: &str) -> Result<(), Error> {
    at_most(limit.key(), limit.unit(), found, limits.get(limit), what)
}

fn deeper(depth: u64) -> Result<u64, Error> {
    let depth = depth.saturating_add(1);
    if depth > MAX_NESTING {
        return Err(Error::NotAComponent(format!("components nest in it deeper than {MAX_NESTING} levels")));
    }
    Ok(depth)
}

fn at_most(limit: &'static str, unit: &'static str, found: u64, allowed: u64, what: &str) -> Result<(), Error> {
    if found <= allowed {
        return Ok(());
    }
    Err(Error::Limit { limit, allowed, unit, wants: format!("has {found} or more in {what}") })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIER: Upload =
        Upload { component_bytes: 4_000, body_bytes: 100, functions: 3, core_modules: 2, ..Upload::SMALL };

    fn limits() -> Limits {
        Limits::default().with(Limit::Memory, 3 << 16).with(Limit::TableElements, 9)
    }

    fn component(sections: &[Vec<u8>]) -> Vec<u8> {
        [b"\0asm\x0d\0\x01\0".to_vec(), sections.concat()].concat()
    }

    /// A section: an id, and the content's length in front of it.
    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [vec![id], leb(content.len()), content.to_vec()].concat()
    }

    fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = u8::try_from(value & 0x7f).unwrap_or_default();
            value >>= 7;
            bytes.push(if value > 0 { low | 0x80 } else { low });
            if value == 0 {
                return bytes;
            }
        }
    }

    /// A core module, as a section of a component, whose functions have bodies of these lengths.
    fn module(bodies: &[usize]) -> Vec<u8> {
        let body = |length: &usize| [leb(*length), vec![0; *length]].concat();
        let code = [leb(bodies.len()), bodies.iter().flat_map(body).collect()].concat();
        // The parser compares the two counts.
        let types = [leb(bodies.len()), vec![0; bodies.len()]].concat();
        section(1, &[b"\0asm\x01\0\0\0".to_vec(), section(3, &types), section(10, &code)].concat())
    }

    /// A core module, as a section of a component, of sections.
    fn of_sections(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let sections = sections.iter().flat_map(|(id, content)| section(*id, content)).collect();
        section(1, &[b"\0asm\x01\0\0\0".to_vec(), sections].concat())
    }

    fn nested(depth: usize) -> Vec<u8> {
        (0..depth).fold(component(&[]), |inner, _| component(&[section(4, &inner)]))
    }

    #[test]
    fn a_component_within_the_figures_passes() -> Result<(), Error> {
        scan(&component(&[]), &TIER, &limits())?;
        scan(&component(&[of_sections(&[(4, &[1, 0x70, 0, 9]), (5, &[1, 0, 3])])]), &TIER, &limits())?;
        scan(&component(&[module(&[100, 3]), module(&[2])]), &TIER, &limits())?;
        scan(&nested(16), &TIER, &limits())
    }

    #[test]
    fn each_figure_is_named_with_its_value() {
        for (wasm, said) in [
            (component(&[section(0, &[1; 4_000])]), "componentBytes allows 4000 bytes"),
            (component(&[module(&[101])]), "bodyBytes allows 100 bytes, and it has 101 or more in one function's body"),
            (component(&[module(&[2, 2]), module(&[2, 2])]), "functions allows 3 functions, and it has 4"),
            (component(&[module(&[]), module(&[]), module(&[])]), "coreModules allows 2 modules, and it has 3"),
            (
                component(&[of_sections(&[(5, &[1, 0, 4])])]),
                "memoryBytes allows 196608 bytes, and it has 262144 or more in one memory",
            ),
            (
                component(&[of_sections(&[(4, &[1, 0x70, 0, 10])])]),
                "tableElements allows 9 elements, and it has 10 or more in one table",
            ),
            (nested(17), "deeper than 16 levels"),
            (b"\0asm\x01\0\0\0".to_vec(), "a core module"),
            (b"".to_vec(), "does not begin as one"),
            (b"\x7fELF".to_vec(), "does not begin as one"),
            (b"\0asm\x0d\0\x01\0broken".to_vec(), "not a component"),
            (
                component(&[module(&[2])]).split_last().map(|(_, most)| most.to_vec()).unwrap_or_default(),
                "not a component",
            ),
        ] {
            let found = scan(&wasm, &TIER, &limits()).map_err(|error| error.to_string());
            assert!(found.as_ref().is_err_and(|error| error.contains(said)), "{said}: {found:?}");
        }
    }

    #[test]
    fn a_count_that_lies_is_refused_before_it_is_believed() {
        let code = [leb(4_000_000_000), vec![0]].concat();
        let lying = section(1, &[b"\0asm\x01\0\0\0".to_vec(), section(3, &code), section(10, &code)].concat());
        let found = scan(&component(&[lying]), &TIER, &limits()).map_err(|error| error.to_string());
        assert!(found.as_ref().is_err_and(|error| error.contains("has 4000000000 or more")), "{found:?}");
    }
}
