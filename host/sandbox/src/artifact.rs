//! A component that is compiled, before anything of it runs.

use remit_domain::library::Digest;
use wasmtime::component::{Component, InstancePre};

use crate::{
    Error,
    bindings::exports::remit::plugin::{resources, tools},
    capability::LINKED,
    engine::Sandbox,
    state::State,
};

const RESOURCES: &str = "remit:plugin/resources@0.1.0";

/// A component that links, with what it exports.
pub(crate) struct Artifact {
    /// `sha256:<hex>`.
    pub(crate) digest: String,
    pub(crate) pre: InstancePre<State>,
    pub(crate) tools: tools::GuestIndices,
    pub(crate) resources: Option<resources::GuestIndices>,
}

/// The SHA-256 of a component, in hex.
pub(crate) fn digest(wasm: &[u8]) -> String {
    Digest::of(wasm).hex().to_owned()
}

impl Artifact {
    /// Links a component whose digest is this. Whether the types of its exports fit shows when it is
    /// instantiated.
    ///
    /// Errors: [`Error::UnknownImport`] naming the interface and version; [`Error::NoTools`],
    /// [`Error::OtherVersion`]; [`Error::Misfit`] where its types differ from the contract's.
    pub(crate) fn link(sandbox: &Sandbox, digest: &str, component: &Component) -> Result<Self, Error> {
        check_imports(sandbox, component)?;
        let misfit = |error: wasmtime::Error| Error::Misfit(error.root_cause().to_string());
        let pre = sandbox.linker.instantiate_pre(component).map_err(misfit)?;
        let tools = tools::GuestIndices::new(&pre).map_err(|error| without_tools(sandbox, component, &error))?;
        // One that exports resources must export them whole.
        let resources = match component.get_export_index(None, RESOURCES) {
            Some(_) => Some(resources::GuestIndices::new(&pre).map_err(misfit)?),
            None => None,
        };
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

/// Why a component has no tools: it exports none, those of another version, or others than the contract's.
fn without_tools(sandbox: &Sandbox, component: &Component, error: &wasmtime::Error) -> Error {
    let exported = component.component_type();
    let mut tools = exported.exports(&sandbox.engine).map(|(name, _)| name).filter(|name| name.starts_with(TOOLS));
    match tools.next() {
        None => Error::NoTools,
        Some(name) if name.ends_with("@0.1.0") => Error::Misfit(error.root_cause().to_string()),
        Some(name) => Error::OtherVersion(name.to_owned()),
    }
}

const TOOLS: &str = "remit:plugin/tools@";

/// The packages of WASI 0.2 that the linker has.
fn is_linked_wasi(name: &str) -> bool {
    const PACKAGES: [&str; 6] =
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
    PACKAGES.iter().any(|package| name.starts_with(package)) && name.contains("@0.2.")
}
