//! Why a component could not be taken in.

/// Why a component could not be taken in. A call's failures are `remit_domain::Error`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine could not be made: this machine lacks something it needs.
    #[error("the engine could not be made")]
    Engine(#[source] wasmtime::Error),
    /// A file could not be read or written.
    #[error("{what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// Why it failed.
        #[source]
        cause: std::io::Error,
    },
    /// The bytes are not a component.
    #[error("not a component: {0}")]
    NotAComponent(String),
    /// The component imports something that this host does not offer.
    #[error("it imports `{0}`, which this host does not offer")]
    UnknownImport(String),
    /// The component exports nothing that this host can call.
    #[error("it exports no `remit:plugin/tools@0.1.0`: build it for a world of wit/")]
    NoTools,
    /// Its types differ from the contract's.
    #[error("it does not fit the contract: {0}")]
    Misfit(String),
    /// Describing itself failed.
    #[error("it did not describe itself: {0}")]
    Undescribed(String),
    /// It described something that is not allowed.
    #[error("its description is not valid: {0}")]
    BadDescription(String),
    /// The compiled code could not be kept or is not ours.
    #[error("the code cache failed: {0}")]
    Cache(String),
}
