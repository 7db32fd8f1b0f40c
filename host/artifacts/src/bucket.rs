//! Components' bytes in a bucket of an S3-compatible object store, an object each, named by digest.
//!
//! An object appears whole or not at all, as the protocol promises; what is read is checked against its
//! name. Deliberately absent: making the bucket, and everything that lies in it under other names.

use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use object_store::{
    ClientOptions, ObjectStore as _, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use remit_domain::{
    Error,
    library::{Artifacts, Digest},
};
use secrecy::{ExposeSecret as _, SecretString};

const ENDING: &str = "wasm";
/// Larger than any upload may be: an object beyond it is none of the host's.
const MOST_BYTES: u64 = 512 << 20;
/// How long one request may take, and how long it is repeated: a change waits for it.
const REQUEST_TIME: Duration = Duration::from_secs(60);
const RETRY_TIME: Duration = Duration::from_secs(90);

/// Where a bucket is, and who is let in there.
#[derive(Debug, Clone)]
pub struct Access {
    /// Its name.
    pub bucket: String,
    /// What objects' names begin with; nothing is put elsewhere. May be empty.
    pub prefix: String,
    /// The store's address where it is not AWS: `https://objects.example.com`.
    pub endpoint: Option<String>,
    /// Such as `eu-central-1`.
    pub region: String,
    /// The public half of the key.
    pub access_key: SecretString,
    /// The secret half.
    pub secret_key: SecretString,
}

/// A bucket of components.
#[derive(Debug)]
pub struct Bucket {
    store: AmazonS3,
    prefix: Path,
}

impl Bucket {
    /// Prepares requests to a bucket; none is made.
    ///
    /// Errors: what in the access can't be used.
    pub fn open(access: &Access) -> Result<Self, Error> {
        // The client asks for the process's own TLS; where the program has chosen it already, that stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&access.bucket)
            .with_region(&access.region)
            .with_access_key_id(access.access_key.expose_secret())
            .with_secret_access_key(access.secret_key.expose_secret())
            .with_client_options(ClientOptions::new().with_timeout(REQUEST_TIME))
            .with_retry(RetryConfig { retry_timeout: RETRY_TIME, max_retries: 3, ..RetryConfig::default() });
        if let Some(endpoint) = &access.endpoint {
            // Plain http where the operator writes it: a store on the same machine or network.
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        let prefix = Path::parse(&access.prefix).map_err(|error| Error::Internal(error.into()))?;
        Ok(Self { store: builder.build().map_err(lost)?, prefix })
    }

    fn object(&self, digest: &Digest) -> Path {
        self.prefix.clone().join(format!("{}.{ENDING}", digest.hex()))
    }
}

#[async_trait]
impl Artifacts for Bucket {
    async fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        self.store.put(&self.object(digest), bytes.to_vec().into()).await.map(drop).map_err(lost)
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let found = match self.store.get(&self.object(digest)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(lost)?,
        };
        if found.meta.size > MOST_BYTES {
            tracing::error!(%digest, "a component's object is larger than any component: it is not used");
            return Ok(None);
        }
        let bytes = found.bytes().await.map_err(lost)?;
        if Digest::of(&bytes) == *digest {
            return Ok(Some(bytes.to_vec()));
        }
        tracing::error!(%digest, "a component's object was changed: it is not used");
        Ok(None)
    }

    async fn remove(&self, digest: &Digest) -> Result<(), Error> {
        match self.store.delete(&self.object(digest)).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }

    async fn all(&self) -> Result<Vec<Digest>, Error> {
        let objects: Vec<_> = self.store.list(Some(&self.prefix)).try_collect().await.map_err(lost)?;
        let digest = |path: &Path| {
            let name = path.prefix_match(&self.prefix)?.next()?;
            Digest::new(&format!("sha256:{}", name.as_ref().strip_suffix(ENDING)?.strip_suffix('.')?))
        };
        Ok(objects.iter().filter_map(|object| digest(&object.location)).collect())
    }
}

fn lost(error: object_store::Error) -> Error {
    Error::Internal(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_lie_below_their_prefix() -> Result<(), Box<dyn std::error::Error>> {
        let mut access = Access {
            bucket: "remit".to_owned(),
            prefix: "plugins/of/tenants".to_owned(),
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            region: "us-east-1".to_owned(),
            access_key: "k".into(),
            secret_key: "canary".into(),
        };
        let bucket = Bucket::open(&access)?;
        let digest = Digest::of(b"abc");
        assert_eq!(bucket.object(&digest).as_ref(), format!("plugins/of/tenants/{}.wasm", digest.hex()));
        assert!(!format!("{access:?} {bucket:?}").contains("canary"));
        access.prefix = "../elsewhere".to_owned();
        assert!(Bucket::open(&access).is_err());
        Ok(())
    }
}
