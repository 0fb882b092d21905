//! The facade [`tracing`](https://docs.rs/tracing): events become records of a log.
//!
//! Two ways. A [`Logger`](crate::Logger) or an [`EventLogger`](crate::EventLogger) is a
//! [`MakeWriter`](tracing_subscriber::fmt::MakeWriter): the lines of `tracing_subscriber::fmt`, text or JSON, become records:
//!
//! ```
//! # fn main() -> Result<(), asynclogger::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("app.log");
//! use asynclogger::{Config, Logger, Timestamps};
//!
//! let logger = Logger::new(Config::new(path).timestamps(Timestamps::On))?;
//! tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(logger.clone()).init();
//! tracing::info!(user = 4711, "logged in");
//! logger.close()?; // Or `close_at_exit`, early in `main`.
//! # Ok(())
//! # }
//! ```
//!
//! Or a [`JsonLayer`] encodes events and their spans itself, and can give each to the log of an event
//! ([`Destination::by_target`], [`Destination::by_field`]):
//!
//! ```
//! # fn main() -> Result<(), asynclogger::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("app.log");
//! use asynclogger::{Config, Logger, Timestamps};
//! use tracing_subscriber::filter::LevelFilter;
//!
//! let logger = Logger::new(Config::new(path).timestamps(Timestamps::On))?;
//! let _guard = asynclogger::tracing::init(logger, LevelFilter::INFO)?;
//! tracing::info!(user = 4711, "logged in");
//! # Ok(())
//! # }
//! ```
//!
//! The time of a record is not in its bytes but beside them, with [`Config::timestamps`](crate::Config::timestamps).
//! Filters as in `RUST_LOG` are the business of `tracing_subscriber::EnvFilter`. A record that the log refuses is dropped
//! and counted, as with any call; nothing is logged about it.

mod fields;
mod layer;
mod make_writer;

use tracing_core::{Dispatch, dispatcher};
use tracing_subscriber::{Registry, filter::LevelFilter, layer::SubscriberExt};

pub use self::{layer::JsonLayer, make_writer::LineWriter};
use super::{Destination, FlushGuard};
use crate::{Error, ErrorKind};

/// Installs a [`JsonLayer`] for the program, for events up to `level`. The guard flushes when it is dropped, so keep it in
/// a variable of `main`.
///
/// # Errors
/// [`ErrorKind::InUse`] if the program has a subscriber already.
pub fn init(destination: impl Into<Destination>, level: LevelFilter) -> Result<FlushGuard, Error> {
    let destination = destination.into();
    let subscriber = Registry::default().with(JsonLayer::new(destination.clone())).with(level);
    let in_use = |_| {
        Error::new(ErrorKind::InUse, "this program has installed another subscriber for `tracing`")
    };
    dispatcher::set_global_default(Dispatch::new(subscriber)).map_err(in_use)?;
    Ok(FlushGuard::new(destination))
}
