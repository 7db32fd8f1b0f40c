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
    /// It met a limit of uploads or of a call.
    #[error("{limit} allows {allowed} {unit}, and it {wants}")]
    Limit {
        /// Which, as `host.yaml` names it.
        limit: &'static str,
        /// Its value.
        allowed: u64,
        /// The unit of the value.
        unit: &'static str,
        /// What it has or takes, such as `has 9000000`.
        wants: String,
    },
    /// The compiler gave up on it.
    #[error("it can't be compiled: {0}")]
    Uncompilable(String),
    /// As many are compiled, or run, as the tenant may have.
    #[error(transparent)]
    Busy(remit_domain::Error),
    /// The component imports something that this host does not offer.
    #[error("it imports `{0}`, which this host does not offer")]
    UnknownImport(String),
    /// The component exports nothing that this host can call.
    #[error(
        "it exports neither `remit:plugin/tools@0.1.0` nor `remit:plugin/nodes@0.1.0`: build it for a world of wit/"
    )]
    Nothing,
    /// It is built for another version of the contract.
    #[error("it exports `{0}`, and this host calls version 0.1.0")]
    OtherVersion(String),
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

impl From<Error> for remit_domain::Error {
    /// What an uploader is told. What they did not cause is internal.
    fn from(error: Error) -> Self {
        let limit = match &error {
            Error::Limit { limit, allowed, unit, .. } => Some((*limit, *allowed, *unit)),
            _ => None,
        };
        match error {
            Error::Busy(busy) => busy,
            Error::Engine(_) | Error::Io { .. } | Error::Cache(_) => Self::Internal(error.into()),
            Error::Limit { .. }
            | Error::NotAComponent(_)
            | Error::Uncompilable(_)
            | Error::UnknownImport(_)
            | Error::Nothing
            | Error::OtherVersion(_)
            | Error::Misfit(_)
            | Error::Undescribed(_)
            | Error::BadDescription(_) => Self::Unfit { reason: plain(&error.to_string()), limit },
        }
    }
}

/// A text that holds a component's own names, fit for one line: no control characters, and not long.
fn plain(text: &str) -> String {
    const MOST: usize = 1_000;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uploader_is_told_what_is_wrong_with_the_upload_and_nothing_else() {
        let limit = Error::Limit { limit: "bodyBytes", allowed: 10, unit: "bytes", wants: "has 11".to_owned() };
        let told = remit_domain::Error::from(limit);
        assert_eq!(told.to_string(), "the component is not fit: bodyBytes allows 10 bytes, and it has 11");
        assert!(matches!(told, remit_domain::Error::Unfit { limit: Some(("bodyBytes", 10, "bytes")), .. }));
        let named = remit_domain::Error::from(Error::UnknownImport(format!("a\nb{}", "x".repeat(5_000))));
        assert!(!named.to_string().contains('\n') && named.to_string().len() < 1_100, "{named}");
        let cause = std::io::Error::other("/var/secret");
        let internal = remit_domain::Error::from(Error::Io { what: "cannot write /var/secret".to_owned(), cause });
        assert_eq!((internal.code(), internal.to_string()), ("internal", "internal error".to_owned()));
    }
}
