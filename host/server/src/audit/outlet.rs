//! Where checkpoints go: a file, an address, or both. What does not arrive is kept and sent again.

use std::{
    collections::VecDeque,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use remit_sources::guard::Delivery;

/// The most checkpoints that wait. A later one speaks for all rows that an earlier one speaks for.
const MAX_WAITING: usize = 1_000;

/// One place.
pub(super) struct Outlet {
    to: To,
    waiting: VecDeque<String>,
    /// The last row that was spoken for, and when.
    pub(super) last: Option<(i64, Instant)>,
}

enum To {
    File(PathBuf),
    Address(Box<Delivery>),
}

impl Outlet {
    pub(super) fn file(path: PathBuf) -> Self {
        Self { to: To::File(path), waiting: VecDeque::new(), last: None }
    }

    pub(super) fn address(delivery: Delivery) -> Self {
        Self { to: To::Address(Box::new(delivery)), waiting: VecDeque::new(), last: None }
    }

    /// Puts a checkpoint behind those that wait.
    pub(super) fn add(&mut self, line: String) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(line);
    }

    /// Whether something could not be sent yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, in order, up to the first that does not arrive.
    pub(super) async fn flush(&mut self) {
        let to = match &self.to {
            To::File(_) => "file",
            To::Address(_) => "url",
        };
        while let Some(line) = self.waiting.front() {
            let sent = match &self.to {
                To::File(path) => append(path.clone(), line.clone()).await,
                To::Address(delivery) => delivery.post(line.clone()).await.map_err(anyhow::Error::from),
            };
            let outcome = if sent.is_ok() { "ok" } else { "failed" };
            metrics::counter!("remit_audit_checkpoints_total", "to" => to, "outcome" => outcome).increment(1);
            if let Err(error) = sent {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    to,
                    waiting = self.waiting.len(),
                    "a checkpoint of the audit log did not arrive"
                );
                return;
            }
            self.waiting.pop_front();
        }
    }
}

async fn append(path: PathBuf, line: String) -> anyhow::Result<()> {
    Ok(tokio::task::spawn_blocking(move || append_line(&path, &line)).await??)
}

/// Appends a line with one write. One that was cut off before gets its end first, so that it takes no
/// other with it.
fn append_line(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let begin = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{begin}{line}\n").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn what_does_not_arrive_waits_for_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("share/checkpoints");
        let mut outlet = Outlet::file(path.clone());
        outlet.add("one".to_owned());
        outlet.flush().await;
        outlet.add("two".to_owned());
        outlet.flush().await;
        assert!(outlet.is_behind(), "the share is not there");
        std::fs::create_dir(folder.path().join("share")).unwrap();
        std::fs::write(&path, "earlier\ncut o").unwrap();
        outlet.flush().await;
        assert!(!outlet.is_behind());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "earlier\ncut o\none\ntwo\n");
        for line in 0..=MAX_WAITING {
            outlet.add(line.to_string());
        }
        assert_eq!((outlet.waiting.len(), outlet.waiting.front().map(String::as_str)), (MAX_WAITING, Some("1")));
    }
}
