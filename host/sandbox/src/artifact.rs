//! A component's bytes, checked and compiled, before anything of it runs.

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre};

use crate::{
    Error,
    bindings::exports::remit::plugin::{resources, tools},
    capability::LINKED,
    engine::Sandbox,
    state::State,
};

/// A component that links, with what it exports.
pub(crate) struct Artifact {
    /// `sha256:<hex>`.
    pub(crate) digest: String,
    pub(crate) pre: InstancePre<State>,
    pub(crate) tools: tools::GuestIndices,
    pub(crate) resources: Option<resources::GuestIndices>,
}

impl Artifact {
    /// Compiles a component (or takes its code from the cache) and links it. Blocks for as long as
    /// compiling takes.
    ///
    /// Errors: [`Error::NotAComponent`]; [`Error::UnknownImport`] naming the interface and version;
    /// [`Error::NoTools`]; [`Error::Misfit`] where its types differ from the contract's.
    pub(crate) fn prepare(sandbox: &Sandbox, wasm: &[u8]) -> Result<Self, Error> {
        let digest: String = Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect();
        let component = sandbox.cache.load(&sandbox.engine, &digest, wasm)?;
        check_imports(sandbox, &component)?;
        let misfit = |error: wasmtime::Error| Error::Misfit(error.root_cause().to_string());
        let pre = sandbox.linker.instantiate_pre(&component).map_err(misfit)?;
        let tools = tools::GuestIndices::new(&pre).map_err(|_| Error::NoTools)?;
        let resources = resources::GuestIndices::new(&pre).ok();
        Ok(Self { digest: format!("sha256:{digest}"), pre, tools, resources })
    }
}

/// Names what a component wants and this host does not offer, before the linker says it less well.
fn check_imports(sandbox: &Sandbox, component: &Component) -> Result<(), Error> {
    for (name, _) in component.component_type().imports(&sandbox.engine) {
        let ours = name.starts_with("remit:");
        let offered = if ours { LINKED.contains(&name) } else { is_linked_wasi(name) };
        if !offered {
            return Err(Error::UnknownImport(name.to_owned()));
        }
    }
    Ok(())
}

/// The packages of WASI 0.2 that the linker has.
fn is_linked_wasi(name: &str) -> bool {
    const PACKAGES: [&str; 6] =
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
    PACKAGES.iter().any(|package| name.starts_with(package)) && name.contains("@0.2.")
}
