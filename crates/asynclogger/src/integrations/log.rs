//! The facade [`log`](https://docs.rs/log): what `info!("..")` and its like say becomes a record of a log.
//!
//! ```
//! # fn main() -> Result<(), asynclogger::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("app.log");
//! use asynclogger::{Config, Logger, Timestamps};
//! use log::LevelFilter;
//!
//! let logger = Logger::new(Config::new(path).timestamps(Timestamps::On))?;
//! let _guard = asynclogger::log::init(logger, LevelFilter::Info)?;
//! log::info!(user = 4711; "logged in");
//! # Ok(())
//! # }
//! ```
//!
//! The time of a record is not in its bytes but beside them, with [`Config::timestamps`](crate::Config::timestamps).
//! Filters by module, as in `RUST_LOG`, are the business of the crate `env_filter`: its `FilteredLog` goes around a
//! [`Facade`]. A record that the log refuses is dropped and counted, as with any call; nothing is logged about it.

use ::log::{
    Level, LevelFilter, Log, Metadata, Record, SetLoggerError,
    kv::{self, VisitSource, VisitValue},
};
use std::{io::Write, time::Duration};

use super::{Destination, FlushGuard, json, scratch::with_scratch};
use crate::{Error, ErrorKind};

/// The longest time that `log::logger().flush()` waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// The form of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `INFO app::db: the message user=4711 path="/a b"`: values that are no plain words are in quotes, as in JSON.
    #[default]
    Text,
    /// One object: `{"level":"INFO","target":"app::db","message":"the message","fields":{"user":4711}}`, without
    /// `fields` if there are none.
    Json,
}

/// A [`Log`] whose records go to a [`Destination`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Facade {
    destination: Destination,
    level: LevelFilter,
    format: Format,
}

impl Facade {
    /// Records of all levels, as text.
    pub fn new(destination: impl Into<Destination>) -> Facade {
        let destination = destination.into();
        Facade { destination, level: LevelFilter::Trace, format: Format::Text }
    }

    /// Sets the least important level that is logged.
    pub fn level(self, level: LevelFilter) -> Facade {
        Facade { level, ..self }
    }

    /// Sets the form of the records.
    pub fn format(self, format: Format) -> Facade {
        Facade { format, ..self }
    }

    /// Makes this the program's logger, and tells `log` the level, which is then checked before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if the program has a logger already.
    pub fn install(self) -> Result<FlushGuard, Error> {
        let (destination, level) = (self.destination.clone(), self.level);
        let in_use = |_: SetLoggerError| {
            Error::new(ErrorKind::InUse, "this program has installed another logger for `log`")
        };
        ::log::set_boxed_logger(Box::new(self)).map_err(in_use)?;
        ::log::set_max_level(level);
        Ok(FlushGuard::new(destination))
    }
}

/// Installs a [`Facade`] for the program: records up to `level`, as text. The guard flushes when it is dropped, so keep it
/// in a variable of `main`.
///
/// # Errors
/// [`ErrorKind::InUse`] if the program has a logger already.
pub fn init(destination: impl Into<Destination>, level: LevelFilter) -> Result<FlushGuard, Error> {
    Facade::new(destination).level(level).install()
}

impl Log for Facade {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        with_scratch(|out| {
            match self.format {
                Format::Text => text(out, record),
                Format::Json => object(out, record),
            }
            let value = self.destination.field().and_then(|field| {
                let key = kv::Key::from_str(field);
                record.key_values().get(key)
            });
            let event = value.as_ref().and_then(kv::Value::to_borrowed_str);
            self.destination.log(record.target(), event, out);
        });
    }

    /// Makes all records durable that were logged before this call; waits ten seconds at most.
    fn flush(&self) {
        let _ = self.destination.flush_for(PATIENCE);
    }
}

fn text(out: &mut Vec<u8>, record: &Record<'_>) {
    // Writing to memory does not fail.
    let _ = write!(out, "{} {}: {}", level(record.level()), record.target(), record.args());
    let _ = record.key_values().visit(&mut Fields { out, is_text: true });
}

fn object(out: &mut Vec<u8>, record: &Record<'_>) {
    out.push(b'{');
    json::member(out, "level", level(record.level()));
    json::member(out, "target", record.target());
    json::name(out, "message");
    json::displayed(out, record.args());
    let source = record.key_values();
    if source.count() > 0 {
        json::name(out, "fields");
        out.push(b'{');
        let _ = source.visit(&mut Fields { out, is_text: false });
        out.push(b'}');
    }
    out.push(b'}');
}

fn level(level: Level) -> &'static str {
    level.as_str()
}

/// Writes key-values: ` key=value` or `"key":value`.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    is_text: bool,
}

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        if self.is_text {
            let _ = write!(self.out, " {key}=");
        } else {
            json::name(self.out, key.as_str());
        }
        value.visit(Value { out: self.out, is_text: self.is_text })
    }
}

struct Value<'a> {
    out: &'a mut Vec<u8>,
    is_text: bool,
}

impl<'v> VisitValue<'v> for Value<'_> {
    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        json::displayed(self.out, value);
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        json::plain(self.out, "null");
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        json::plain(self.out, value);
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        json::plain(self.out, value);
        Ok(())
    }

    fn visit_u128(&mut self, value: u128) -> Result<(), kv::Error> {
        json::plain(self.out, value);
        Ok(())
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), kv::Error> {
        json::plain(self.out, value);
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        json::float(self.out, value);
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        json::plain(self.out, value);
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        let is_word = !value.is_empty()
            && value
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\'));
        if self.is_text && is_word {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            json::string(self.out, value);
        }
        Ok(())
    }

    fn visit_char(&mut self, value: char) -> Result<(), kv::Error> {
        self.visit_str(value.encode_utf8(&mut [0; 4]))
    }
}
