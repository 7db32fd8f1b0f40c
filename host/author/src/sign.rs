//! Keys and signatures in files. What is signed, and how, stands in `remit_domain::signature`.

use std::{
    io::{ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use remit_domain::{
    library::Digest,
    signature::{SecretKey, Signature},
};
use secrecy::ExposeSecret as _;

use crate::component;

/// Makes a key pair: the secret half in a new file, the public one on the screen.
pub(crate) fn make_key(file: &Path) -> Result<()> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("this machine gives no random bytes")?;
    let key = SecretKey::from_seed(&seed);
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already, and a key is not overwritten", file.display())
        }
        opened => opened.with_context(|| format!("cannot create {}", file.display()))?,
    };
    writeln!(opened, "{}", key.to_text().expose_secret())
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}", key.public());
    eprintln!("The secret half is in {}. The line above is what a tenant's context may trust.", file.display());
    Ok(())
}

/// Signs a component; the signature is written beside it.
pub(crate) fn sign(component: &Path, key: &Path) -> Result<()> {
    let bytes = std::fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    component::names(&bytes).with_context(|| format!("{} is no component", component.display()))?;
    let key = read_key(key)?;
    let signature = key.sign(&Digest::of(&bytes).to_bytes());
    let beside = beside(component);
    std::fs::write(&beside, format!("{signature}\n")).with_context(|| format!("cannot write {}", beside.display()))?;
    println!("{signature}");
    eprintln!("{} is signed by {}: {}", component.display(), key.public(), beside.display());
    Ok(())
}

/// The signature beside a component, if there is one. Errors: it is none, or not of these bytes.
pub(crate) fn signature(component: &Path, digest: &Digest) -> Result<Option<Signature>> {
    let file = beside(component);
    let text = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let signature: Signature = text.parse().with_context(|| format!("{} holds no signature", file.display()))?;
    let fits = signature.verify(&digest.to_bytes());
    fits.with_context(|| format!("{} is of other bytes: sign again, or remove it", file.display()))?;
    Ok(Some(signature))
}

/// `<component>.sig`.
fn beside(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn read_key(file: &Path) -> Result<SecretKey> {
    let metadata = std::fs::metadata(file)
        .with_context(|| format!("there is no key {} (remit plugin key {})", file.display(), file.display()))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("{} can be read by others: run `chmod 600 {}`", file.display(), file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    SecretKey::from_text(&text).with_context(|| format!("{} holds no key", file.display()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{fs, os::unix::fs::PermissionsExt as _};

    use remit_domain::library::Digest;

    use super::{make_key, sign, signature};

    const EMPTY: &[u8] = &[0, b'a', b's', b'm', 0x0d, 0, 1, 0];

    #[test]
    fn a_signature_lies_beside_its_component_and_fits_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (component, key) = (folder.path().join("a.wasm"), folder.path().join("k"));
        fs::write(&component, EMPTY).unwrap();
        assert!(signature(&component, &Digest::of(EMPTY)).unwrap().is_none());
        make_key(&key).unwrap();
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make_key(&key).unwrap_err().to_string().contains("not overwritten"));
        sign(&component, &key).unwrap();
        assert!(signature(&component, &Digest::of(EMPTY)).unwrap().is_some());
        let stale = signature(&component, &Digest::of(b"other")).unwrap_err().to_string();
        assert!(stale.contains("sign again"), "{stale}");
        fs::write(folder.path().join("a.wasm.sig"), "nonsense").unwrap();
        assert!(signature(&component, &Digest::of(EMPTY)).is_err());
    }

    #[test]
    fn keys_that_others_can_read_and_files_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (component, key) = (folder.path().join("a.wasm"), folder.path().join("k"));
        fs::write(&component, EMPTY).unwrap();
        make_key(&key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(sign(&component, &key).unwrap_err().to_string().contains("can be read by others"));
        fs::write(&key, "ed25519-secret:AAAA").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(sign(&component, &key).unwrap_err().to_string().ends_with("holds no key"));
        assert!(sign(&component, &folder.path().join("gone")).unwrap_err().to_string().contains("there is no key"));
        fs::write(&component, "text").unwrap();
        assert!(sign(&component, &key).unwrap_err().to_string().ends_with("is no component"));
        assert!(!folder.path().join("a.wasm.sig").exists());
    }
}
