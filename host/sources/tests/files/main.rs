//! What every folder of files promises, asked through the ports alone: of the host's disk, of two servers
//! that speak as S3 does, and of Google Drive's stand-in and its mock.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::indexing_slicing, reason = "tests")]

mod contract;
mod ground;
mod hostile;
mod local;
mod scope;
mod stores;
