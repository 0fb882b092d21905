//! Object stores as asynclogger's tools need them: S3, Google Cloud Storage, Azure Blob Storage, a directory.
//!
//! An object store is not a file system: a request takes milliseconds and can fail at any time, an upload is visible as a
//! whole or not at all, and an object can be replaced while it is read. This crate has one answer to each of these, on top
//! of the crate `object_store`, behind calls that block: [`Store`] lists, asks, reads, writes and deletes; [`Upload`] is
//! a writer whose bytes go out in parts while they come in; [`ObjectBytes`] reads an object as if it were a file, and
//! gives an error, never a mix, if the object is replaced meanwhile.
//!
//! ```
//! use asynclogger_store::{Metadata, Store};
//!
//! # fn main() -> Result<(), asynclogger_store::Error> {
//! let store = Store::open("memory://example/logs")?;
//! let mut upload = store.upload("today/1.log", Metadata::new())?;
//! upload.push(b"some bytes")?;
//! assert_eq!(upload.finish()?.bytes, 10);
//! let keys: Result<Vec<_>, _> = store.list("today")?.map(|entry| entry.map(|entry| entry.key)).collect();
//! assert_eq!(keys?, ["today/1.log"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Credentials
//!
//! They come from the environment, by the names that the vendors' own tools use (`AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT`; `GOOGLE_SERVICE_ACCOUNT`,
//! `GOOGLE_APPLICATION_CREDENTIALS`; `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`), from the files that these
//! name, or from the machine's own identity. A URL with a user, a password or a query is refused. No error, and no `Debug`
//! of this crate, shows them.
//!
//! # TLS
//!
//! A plain `http` endpoint is refused unless the environment allows it: `AWS_ALLOW_HTTP=true`, `GOOGLE_ALLOW_HTTP=true`,
//! `AZURE_ALLOW_HTTP=true`. The cryptography is `ring`; the first store of a process makes that the process' default
//! provider of `rustls`, unless there is one. Certificates are checked against the system's.
//!
//! # Retries and threads
//!
//! A request is tried up to five times within [`RETRY_TIMEOUT`], with exponential delays and jitter; then the call fails
//! with [`ErrorKind::Unavailable`], so that the caller's own queue decides. All stores of a process share two threads,
//! which start with the first store. A call blocks its thread; do not call from a task of an async runtime.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod backend;
mod error;
mod listing;
mod location;
mod object_bytes;
mod read_ahead;
mod runtime;
mod store;
mod upload;

pub use self::{
    backend::RETRY_TIMEOUT,
    error::{Error, ErrorKind},
    listing::{Entries, Entry},
    location::{Location, Scheme},
    object_bytes::ObjectBytes,
    store::{Metadata, Object, Store},
    upload::{Upload, Written},
};
