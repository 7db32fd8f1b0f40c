//! All services that the demo's tenant reaches, and the environment that leads a host to them.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use crate::running::Running;
use crate::tokens::TokenServer;
use crate::{salesforce, sheets, shopify, slack, zendesk};

/// Where the key of the demo's service account lies, below the state folder.
const KEY_FILE: &str = "demo/google-key.json";

/// The stand-ins of the demo.
#[derive(Debug)]
pub struct Services {
    /// `ecommerce`.
    pub shopify: Running,
    /// `crm`.
    pub salesforce: Running,
    /// `support`.
    pub zendesk: Running,
    /// `google_sheets`.
    pub sheets: Running,
    /// Where the tokens for `google_sheets` come from.
    pub tokens: TokenServer,
    /// The host's own workspace.
    pub slack: Running,
}

impl Services {
    /// Starts all of them on free ports of loopback.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> Result<Self> {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let tokens = TokenServer::start(anywhere).await?;
        Ok(Self {
            shopify: shopify::start(anywhere).await?,
            salesforce: salesforce::start(anywhere).await?,
            zendesk: zendesk::start(anywhere).await?,
            sheets: sheets::start(anywhere, tokens.issued.clone()).await?,
            slack: slack::start(anywhere).await?,
            tokens,
        })
    }

    /// The variables of TechStart's sources and workflows. Writes the service account's key into the state folder.
    ///
    /// # Errors
    /// When the key's file can't be written.
    pub fn environment(&self, state: &Path) -> Result<Vec<(String, String)>> {
        // A host may run in another folder than this process.
        let state = std::path::absolute(state)?;
        let key_file = state.join(KEY_FILE);
        if let Some(folder) = key_file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        std::fs::write(&key_file, self.tokens.key_file())
            .with_context(|| format!("cannot write {}", key_file.display()))?;
        let all = [
            ("TECHSTART_SHOPIFY_URI", self.shopify.url()),
            ("TECHSTART_SHOPIFY_TOKEN", shopify::TOKEN.to_owned()),
            ("TECHSTART_SFDC_URI", self.salesforce.url()),
            ("TECHSTART_SFDC_TOKEN", salesforce::TOKEN.to_owned()),
            ("TECHSTART_ZENDESK_URI", self.zendesk.url()),
            ("TECHSTART_ZENDESK_USER", zendesk::USER.to_owned()),
            ("TECHSTART_ZENDESK_TOKEN", zendesk::TOKEN.to_owned()),
            ("TECHSTART_GSHEETS_URI", self.sheets.url()),
            ("TECHSTART_GSHEETS_KEY_FILE", key_file.display().to_string()),
            ("ADMIN_URL", "https://admin.techstart.com".to_owned()),
        ];
        Ok(all.map(|(name, value)| (name.to_owned(), value)).into())
    }
}
