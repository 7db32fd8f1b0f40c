//! What Drive tells of a file.

use remit_domain::data::files::{Entry, Kind, Path};
use serde::Deserialize;

/// What is asked of each file.
pub(super) const FIELDS: &str = "id,name,mimeType,size,modifiedTime,headRevisionId,md5Checksum";
/// What Drive calls a folder, and begins the types of its own documents with.
pub(super) const FOLDER: &str = "application/vnd.google-apps.folder";
const SHORTCUT: &str = "application/vnd.google-apps.shortcut";
const OWN: &str = "application/vnd.google-apps.";
/// What files are that are written here.
pub(super) const BYTES: &str = "application/octet-stream";

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    mime_type: String,
    /// A number, as text.
    size: Option<String>,
    modified_time: Option<String>,
    head_revision_id: Option<String>,
    md5_checksum: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    #[serde(default)]
    pub(super) files: Vec<Item>,
    pub(super) next_page_token: Option<String>,
}

impl Item {
    pub(super) fn kind(&self) -> Kind {
        if self.mime_type == FOLDER { Kind::Folder } else { Kind::File }
    }

    /// A shortcut is a link.
    pub(super) fn shown(&self) -> bool {
        self.mime_type != SHORTCUT
    }

    /// Whether it is one of Google's own documents.
    pub(super) fn is_document(&self) -> bool {
        self.kind() == Kind::File && self.mime_type.starts_with(OWN)
    }

    pub(super) fn size(&self) -> u64 {
        self.size.as_deref().and_then(|size| size.parse().ok()).unwrap_or_default()
    }

    /// Each revision of the bytes has its own name; where Drive tells none, their checksum is one.
    pub(super) fn etag(&self) -> Option<String> {
        self.head_revision_id.clone().or_else(|| self.md5_checksum.clone())
    }

    /// What entries are ordered by: the name, a folder's with a slash.
    pub(super) fn order(&self) -> String {
        match self.kind() {
            Kind::File => self.name.clone(),
            Kind::Folder => format!("{}/", self.name),
        }
    }

    pub(super) fn entry(&self, path: &Path) -> Entry {
        let kind = self.kind();
        Entry {
            path: path.to_string(),
            kind,
            size: if kind == Kind::File { self.size() } else { 0 },
            modified: self.modified_time.clone(),
            etag: self.etag().filter(|_| kind == Kind::File),
        }
    }
}
