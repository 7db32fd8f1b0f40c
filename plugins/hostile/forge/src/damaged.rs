//! Files that are no plugin: cut short, of another kind or version, nested or grown beyond reason.

use anyhow::{Context, Result};
use wasm_encoder::{
    CodeSection, Component, ComponentSectionId, CustomSection, Function, FunctionSection, InstanceSection, Instruction,
    MemorySection, MemoryType, Module, ModuleArg, ModuleSection, TypeSection, ValType,
};

use crate::guest::{Contract, module};

/// A guest that does nothing, for what is damaged around it.
const HARMLESS: &str = r#"
  (memory (export "memory") 1)
  (func (export "remit:plugin/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
    (call $answer (i32.const 1)))
"#;

/// All of them, by name. `good` is a component that a compiler made.
pub(crate) fn all(contract: &Contract, good: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let cut = |at: usize| good.get(..at).map(<[u8]>::to_vec).context("the good one is too short");
    let patched = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        *bytes.get_mut(at).context("the good one is too short")? = byte;
        anyhow::Ok(bytes)
    };
    let files = [
        ("empty", Vec::new()),
        ("cut-in-its-header", cut(6)?),
        ("cut-after-its-header", cut(8)?),
        ("cut-in-the-middle", cut(good.len() / 2)?),
        ("cut-by-a-byte", cut(good.len() - 1)?),
        ("longer-than-it-says", [good, b"\0asm\x01\0\0\0"].concat()),
        ("text", b"(component)".to_vec()),
        ("module", module_of_nothing()),
        ("newer-layer", patched(4, 0x0e)?),
        ("unknown-layer", patched(6, 2)?),
        ("newer-contract", newer(contract)?),
        ("newer-import", foreign("remit:data", "sql@9.0.0")?),
        ("unknown-import", foreign("evil:machine", "shell@0.1.0")?),
        ("web-import", foreign("wasi:http", "outgoing-handler@0.2.0")?),
        ("unversioned-import", foreign("remit:data", "sql")?),
        ("other-world", other_world()?),
        ("other-types", other_types()?),
        ("nothing-exported", Component::new().finish()),
        ("components-in-components", nested(100_000)),
        ("blocks-in-blocks", of_module(&blocks(200_000))),
        ("types-that-double", doubling(64)?),
        ("instances-by-the-thousand", instances(5_000)),
        ("functions-by-the-hundred-thousand", of_module(&functions(200_000))),
        ("memory-of-64-bits", wide_memory(contract, "(memory i64 1)")?),
        ("memory-that-is-shared", wide_memory(contract, "(memory 1 2 shared)")?),
        ("memories-by-the-dozen", memories(contract, 12)?),
    ];
    Ok(files.map(|(name, bytes)| (name.to_owned(), bytes)).into())
}

fn module_of_nothing() -> Vec<u8> {
    Module::new().finish()
}

/// The harmless guest, for a contract whose version nobody has seen yet.
fn newer(contract: &Contract) -> Result<Vec<u8>> {
    // The names of the interfaces are texts of known length in the component: nothing else changes.
    let mut bytes = contract.guest("newer-contract", HARMLESS)?;
    let (old, new) = (b"remit:plugin/tools@0.1.0", b"remit:plugin/tools@0.9.0");
    let places: Vec<usize> =
        bytes.windows(old.len()).enumerate().filter(|(_, it)| *it == old).map(|(at, _)| at).collect();
    for at in places {
        bytes.get_mut(at..at + new.len()).context("beyond the file")?.copy_from_slice(new);
    }
    Ok(bytes)
}

/// A component that imports one function of an interface and exports nothing.
fn foreign(package: &str, interface: &str) -> Result<Vec<u8>> {
    let (name, version) =
        interface.split_once('@').map_or((interface, String::new()), |(name, version)| (name, format!("@{version}")));
    let wit = format!(
        "package test:forged;\nworld foreign {{ import {package}/{name}{version}; }}\n\
         package {package}{version} {{ interface {name} {{ reach: func() -> u32; }} }}"
    );
    let text = format!(r#"(module (import "{package}/{interface}" "reach" (func (result i32))))"#);
    Contract::of_text(&wit)?.component(&wat::parse_str(text)?)
}

/// A program, as `wasi:cli` has them.
fn other_world() -> Result<Vec<u8>> {
    let wit = "package test:forged;\nworld program { export wasi:cli/run@0.2.0; }\n\
               package wasi:cli@0.2.0 { interface run { run: func() -> result; } }";
    let text = r#"(module (func (export "wasi:cli/run@0.2.0#run") (result i32) (i32.const 0)))"#;
    Contract::of_text(wit)?.component(&wat::parse_str(text)?)
}

/// The right names of exports, with other types.
fn other_types() -> Result<Vec<u8>> {
    let wit = "package test:forged;\nworld liar { export remit:plugin/tools@0.1.0; }\n\
               package remit:plugin@0.1.0 { interface tools { describe: func() -> u32; call: func(tool: u32) -> u32; } }";
    let text = r#"(module
        (func (export "remit:plugin/tools@0.1.0#describe") (result i32) (i32.const 0))
        (func (export "remit:plugin/tools@0.1.0#call") (param i32) (result i32) (i32.const 0)))"#;
    Contract::of_text(wit)?.component(&wat::parse_str(text)?)
}

/// A component in a component, so many times over.
fn nested(levels: usize) -> Vec<u8> {
    // From the inside out would copy the file at every level: the sizes are found first, then written.
    let header = Component::new().finish();
    let mut sizes = vec![header.len()];
    for _ in 1..levels {
        let inner = sizes.last().copied().unwrap_or_default();
        sizes.push(header.len() + 1 + leb128(inner).len() + inner);
    }
    let mut bytes = header.clone();
    for inner in sizes.iter().rev().skip(1) {
        bytes.push(ComponentSectionId::Component.into());
        bytes.extend(leb128(*inner));
        bytes.extend(&header);
    }
    bytes
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Each type is two of the one before.
fn doubling(levels: usize) -> Result<Vec<u8>> {
    let types: String = (1..levels).map(|at| format!("(type (tuple {} {}))", at - 1, at - 1)).collect();
    Ok(wat::parse_str(format!("(component (type (tuple u8 u8)){types})"))?)
}

fn instances(count: u32) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&ModuleSection(&Module::new()));
    let mut instances = InstanceSection::new();
    for _ in 0..count {
        instances.instantiate(0, Vec::<(&str, ModuleArg)>::new());
    }
    component.section(&instances);
    component.finish()
}

/// A component that consists of one core module.
fn of_module(module: &Module) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&ModuleSection(module));
    component.section(&CustomSection { name: "note".into(), data: b"nothing of the contract"[..].into() });
    component.finish()
}

/// One function of blocks in blocks.
fn blocks(levels: usize) -> Module {
    let mut function = Function::new([]);
    for _ in 0..levels {
        function.instruction(&Instruction::Block(wasm_encoder::BlockType::Empty));
    }
    for _ in 0..=levels {
        function.instruction(&Instruction::End);
    }
    with_functions(1, |code| {
        code.function(&function);
    })
}

fn functions(count: u32) -> Module {
    with_functions(count, |code| {
        for _ in 0..count {
            let mut function = Function::new([]);
            function.instruction(&Instruction::End);
            code.function(&function);
        }
    })
}

fn with_functions(count: u32, fill: impl FnOnce(&mut CodeSection)) -> Module {
    let mut types = TypeSection::new();
    types.ty().function([], Vec::<ValType>::new());
    let mut functions = FunctionSection::new();
    for _ in 0..count {
        functions.function(0);
    }
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut code = CodeSection::new();
    fill(&mut code);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&code);
    module
}

/// The harmless guest with a memory of a kind that the engine leaves out, beside its own.
fn wide_memory(contract: &Contract, memory: &str) -> Result<Vec<u8>> {
    let text = format!("{HARMLESS}  {memory}\n");
    contract.component(&wat::parse_str(module("damaged", &text))?)
}

fn memories(contract: &Contract, count: usize) -> Result<Vec<u8>> {
    let text = format!("{HARMLESS}{}", "  (memory 1)\n".repeat(count));
    contract.component(&wat::parse_str(module("damaged", &text))?)
}
