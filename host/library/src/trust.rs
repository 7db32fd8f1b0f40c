//! Whose components a tenant takes in.

use remit_domain::{
    Error,
    library::Digest,
    signature::{self, PublicKey, Signature},
    tenant::Context,
};

/// Who signed an upload, and whether that is enough for this tenant.
pub(crate) fn signer(context: &Context, digest: &Digest, signature: Option<&str>) -> Result<Option<PublicKey>, Error> {
    let signer = signature.map(|text| {
        let signature: Signature = text.parse()?;
        signature.verify(&digest.to_bytes())?;
        Ok(signature.key())
    });
    let signer = signer.transpose().map_err(|error: signature::Error| Error::Untrusted(error.to_string()))?;
    trusted(context, signer.map(|signer| signer.to_string()).as_deref())?;
    Ok(signer)
}

/// Whether a tenant takes what this key signed.
pub(crate) fn trusted(context: &Context, signer: Option<&str>) -> Result<(), Error> {
    let known = |signer: &str| context.trusted_keys.iter().any(|key| key.to_string() == signer);
    match signer {
        _ if context.trusted_keys.is_empty() => Ok(()),
        Some(signer) if known(signer) => Ok(()),
        Some(signer) => Err(Error::Untrusted(format!("{signer} signed it, whom this tenant does not trust"))),
        None => Err(Error::Untrusted("it is not signed".to_owned())),
    }
}
