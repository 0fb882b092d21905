//! Where the records of a facade go.

use std::{fmt, sync::Arc, time::Duration};

use crate::{Error, EventLogger, Logger, LoggerManager};

/// Where the records of a facade go: to one log, or each to the log of an event.
///
/// Made from a [`Logger`] or an [`EventLogger`] by `into`, or from a [`LoggerManager`] with a rule that names the event.
#[derive(Clone)]
#[must_use]
pub struct Destination(To);

#[derive(Clone)]
enum To {
    Logger(Logger),
    Event(EventLogger),
    Target(LoggerManager, Arc<EventOfTarget>),
    Field(LoggerManager, &'static str, Arc<str>),
}

type EventOfTarget = dyn for<'a> Fn(&'a str) -> &'a str + Send + Sync;

impl From<Logger> for Destination {
    fn from(logger: Logger) -> Destination {
        Destination(To::Logger(logger))
    }
}

impl From<EventLogger> for Destination {
    fn from(event: EventLogger) -> Destination {
        Destination(To::Event(event))
    }
}

impl Destination {
    /// The log of the event that `event_of` gives for a record's target (usually the path of the module that logs). An
    /// event is opened at its first record. `event_of` runs in each log call, so it should be short.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), asynclogger::Error> {
    /// use asynclogger::{Config, Destination, LoggerManager, Timestamps};
    ///
    /// let config = Config::default().timestamps(Timestamps::On);
    /// let manager = LoggerManager::in_dir("logs", config)?;
    /// // One event for each crate.
    /// let _by_crate = Destination::by_target(manager, |target| target.split("::").next().unwrap_or(target));
    /// # Ok(())
    /// # }
    /// ```
    pub fn by_target(
        manager: LoggerManager,
        event_of: impl for<'a> Fn(&'a str) -> &'a str + Send + Sync + 'static,
    ) -> Destination {
        Destination(To::Target(manager, Arc::new(event_of)))
    }

    /// The log of the event that the record's field `field` names; `otherwise` names the event of records without that
    /// field. The value has to be a string. An event is opened at its first record, so the values have to be few.
    pub fn by_field(manager: LoggerManager, field: &'static str, otherwise: &str) -> Destination {
        Destination(To::Field(manager, field, otherwise.into()))
    }

    /// The field whose value names the event.
    pub(super) fn field(&self) -> Option<&'static str> {
        match &self.0 {
            To::Field(_, field, _) => Some(field),
            _ => None,
        }
    }

    /// Logs a record. `event` is the value of [`field`](Destination::field), if the record has the field.
    pub(super) fn log(&self, target: &str, event: Option<&str>, record: &[u8]) {
        match &self.0 {
            To::Logger(logger) => logger.log_bytes(record),
            To::Event(logger) => logger.log_bytes(record),
            To::Target(manager, event_of) => {
                manager.log_bytes_with_event(event_of(target), record);
            }
            To::Field(manager, _, otherwise) => {
                manager.log_bytes_with_event(event.unwrap_or(otherwise), record);
            }
        }
    }

    /// Makes all records durable that were logged before this call, in at most this time.
    ///
    /// # Errors
    /// Those of [`Logger::flush_for`].
    pub fn flush_for(&self, timeout: Duration) -> Result<(), Error> {
        match &self.0 {
            To::Logger(logger) => logger.flush_for(timeout),
            To::Event(logger) => logger.flush_for(timeout),
            To::Target(manager, _) | To::Field(manager, ..) => manager.flush_for(timeout),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match &self.0 {
            To::Logger(logger) => logger.path().display().to_string(),
            To::Event(logger) => logger.name().to_owned(),
            To::Target(manager, _) | To::Field(manager, ..) => {
                manager.directory().display().to_string()
            }
        };
        f.debug_tuple("Destination").field(&to).finish()
    }
}
