//! A component that is compiled, before anything of it runs.

use remit_domain::library::Digest;
use wasmtime::component::{Component, InstancePre};

use crate::{
    Error,
    bindings::exports::remit::plugin::{nodes, resources, tools},
    capability::LINKED,
    engine::Sandbox,
    state::State,
};

const TOOLS: &str = "remit:plugin/tools@0.1.0";
const RESOURCES: &str = "remit:plugin/resources@0.1.0";
const NODES: &str = "remit:plugin/nodes@0.1.0";

/// A component that links, with what it exports.
pub(crate) struct Artifact {
    /// `sha256:<hex>`.
    pub(crate) digest: String,
    pub(crate) pre: InstancePre<State>,
    /// It has these, or `nodes`, or both.
    pub(crate) tools: Option<tools::GuestIndices>,
    pub(crate) resources: Option<resources::GuestIndices>,
    pub(crate) nodes: Option<nodes::GuestIndices>,
}

/// The SHA-256 of a component, in hex.
pub(crate) fn digest(wasm: &[u8]) -> String {
    Digest::of(wasm).hex().to_owned()
}

impl Artifact {
    /// Links a component whose digest is this. Whether the types of its exports fit shows when it is
    /// instantiated.
    ///
    /// Errors: [`Error::UnknownImport`] naming the interface and version; [`Error::Nothing`],
    /// [`Error::OtherVersion`]; [`Error::Misfit`] where its types differ from the contract's.
    pub(crate) fn link(sandbox: &Sandbox, digest: &str, component: &Component) -> Result<Self, Error> {
        check_imports(sandbox, component)?;
        let misfit = |error: wasmtime::Error| Error::Misfit(error.root_cause().to_string());
        let pre = sandbox.linker.instantiate_pre(component).map_err(misfit)?;
        // What it exports it must export whole.
        let exports = |name: &str| component.get_export_index(None, name).is_some();
        let tools = exports(TOOLS).then(|| tools::GuestIndices::new(&pre).map_err(misfit)).transpose()?;
        let resources = exports(RESOURCES).then(|| resources::GuestIndices::new(&pre).map_err(misfit)).transpose()?;
        let nodes = exports(NODES).then(|| nodes::GuestIndices::new(&pre).map_err(misfit)).transpose()?;
        if tools.is_none() && nodes.is_none() {
            return Err(nothing(sandbox, component));
        }
        Ok(Self { digest: format!("sha256:{digest}"), pre, tools, resources, nodes })
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

/// Why a component can't be called: it exports neither tools nor nodes, or those of another version.
fn nothing(sandbox: &Sandbox, component: &Component) -> Error {
    let exported = component.component_type();
    let ours = |name: &&str| name.starts_with("remit:plugin/tools@") || name.starts_with("remit:plugin/nodes@");
    let other = exported.exports(&sandbox.engine).map(|(name, _)| name).find(ours);
    other.map_or(Error::Nothing, |name| Error::OtherVersion(name.to_owned()))
}

/// The packages of WASI 0.2 that the linker has.
fn is_linked_wasi(name: &str) -> bool {
    const PACKAGES: [&str; 6] =
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
    PACKAGES.iter().any(|package| name.starts_with(package)) && name.contains("@0.2.")
}
