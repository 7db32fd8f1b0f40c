//! Components at random: whole ones, and guests of the contract whose code is random. The same numbers
//! each time, so that what is found once is found again.

use anyhow::{Context, Result};
use arbitrary::Unstructured;
use wasm_smith::{Component, Config, Module};

use crate::guest::{Contract, module};

const EACH: u64 = 60;

/// What a guest must export; the code behind it is random.
const SHAPE: &str = r#"
  (memory (export "memory") 1)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable)
"#;

/// All of them, by name.
pub(crate) fn all(contract: &Contract) -> Result<Vec<(String, Vec<u8>)>> {
    let shape = wat::parse_str(module("random", SHAPE))?;
    let mut made = Vec::new();
    for seed in 0..EACH {
        made.push((format!("component-{seed:02}"), component(seed).context("no component came of a seed")?));
        let module = guest(seed, &shape).context("no guest came of a seed")?;
        made.push((format!("guest-{seed:02}"), contract.component(&module)?));
    }
    Ok(made)
}

fn component(seed: u64) -> Result<Vec<u8>> {
    let bytes = noise(seed, 4 << 10);
    Ok(Component::new(Config::default(), &mut Unstructured::new(&bytes))?.to_bytes())
}

fn guest(seed: u64, shape: &[u8]) -> Result<Vec<u8>> {
    let bytes = noise(seed ^ 0x5eed, 16 << 10);
    let config = Config {
        exports: Some(shape.to_vec()),
        max_imports: 0,
        max_memories: 3,
        max_tables: 4,
        memory64_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        ..Config::default()
    };
    Ok(Module::new(config, &mut Unstructured::new(&bytes))?.to_bytes())
}

/// SplitMix64.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    std::iter::repeat_with(next).flat_map(u64::to_le_bytes).take(length).collect()
}
