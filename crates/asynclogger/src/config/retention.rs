//! Which archived segments are kept, and which are deleted.

use std::time::Duration;

use crate::{Error, ErrorKind};

/// What happens when the file system is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Nothing is deleted: the write is tried until there is room, and the
    /// [`Overflow`](crate::Overflow) policy decides about new records. The default.
    #[default]
    Wait,
    /// The oldest archived segment of this log is deleted, and one more each time that this did not make
    /// room. Never the newest one; when it alone is left, this is `Wait`.
    DeleteOldest,
}

/// Which archived segments of a log are deleted, always the oldest first. Of several limits each counts.
/// By default there is none, and all are kept.
///
/// Only files whose start carries this log's id and full name, and that no logger writes, are ever deleted,
/// whatever their names are; never the active one, and never the newest archived one. "Oldest" is by the numbers of the segments, not by
/// names or times.
///
/// ```
/// use asynclogger::{Config, Retention};
/// use std::time::Duration;
///
/// let month = Duration::from_secs(30 * 24 * 3600);
/// let retention = Retention::new().keep(100).max_age(month).max_total(50 << 30);
/// let config = Config::new("/var/log/app/requests.log").retention(retention);
/// # config.validate().unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Retention {
    pub(crate) keep: Option<usize>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_total: Option<u64>,
    pub(crate) directory_total: Option<u64>,
    pub(crate) when_full: WhenFull,
}

impl Retention {
    /// No limit.
    pub fn new() -> Retention {
        Retention::default()
    }

    /// The most archived segments; at least 1.
    pub fn keep(mut self, count: usize) -> Retention {
        self.keep = Some(count);
        self
    }

    /// The longest that a segment is kept after its last record, by the wall clock; more than nothing.
    pub fn max_age(mut self, age: Duration) -> Retention {
        self.max_age = Some(age);
        self
    }

    /// The most bytes of all archived segments together, as they are on the disk, with space that was taken
    /// ahead and not given back; more than nothing. The newest one is kept even where it alone is longer.
    pub fn max_total(mut self, bytes: u64) -> Retention {
        self.max_total = Some(bytes);
        self
    }

    /// Of a [`LoggerManager`](crate::LoggerManager): the most bytes of all archived segments of all its events
    /// together, as they are on the disk, those of events that are not open too; more than nothing. The
    /// segment goes first that was over first, whichever event's it is; the newest of all is kept. A
    /// [`Logger`](crate::Logger) refuses it.
    ///
    /// Counted and deleted is only what is beyond doubt an event's: its archived segments carry the id of the
    /// log that is at the event's name, and that is the name of an event. So what is left of an event whose
    /// active file was removed stays, as does the log of a plain logger in the same directory, by whose
    /// lock file it is known.
    pub fn directory_total(mut self, bytes: u64) -> Retention {
        self.directory_total = Some(bytes);
        self
    }

    /// What happens when the file system is full. Default: [`WhenFull::Wait`].
    pub fn when_full(mut self, order: WhenFull) -> Retention {
        self.when_full = order;
        self
    }

    /// Checks every limit.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let invalid = |what: &'static str| Err(Error::new(ErrorKind::InvalidConfig, what));
        if self.keep == Some(0) {
            return invalid("Retention::keep is 0; the newest archived segment is always kept");
        }
        if self.max_age.is_some_and(|age| age.is_zero()) {
            return invalid("Retention::max_age is 0");
        }
        if self.max_total == Some(0) {
            return invalid("Retention::max_total is 0");
        }
        if self.directory_total == Some(0) {
            return invalid("Retention::directory_total is 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compression, Config, Rotation};

    #[test]
    fn limits_are_more_than_nothing() {
        let second = Duration::from_secs(1);
        let full = Retention::new().keep(1).max_age(second).max_total(1);
        let full = full.when_full(WhenFull::DeleteOldest);
        assert!(Config::new("a.log").retention(full).validate().is_ok());
        for (retention, word) in [
            (Retention::new().keep(0), "keep"),
            (Retention::new().max_age(Duration::ZERO), "max_age"),
            (Retention::new().max_total(0), "max_total"),
            (Retention::new().directory_total(0), "directory_total"),
        ] {
            let error = Config::new("a.log").retention(retention).validate().expect_err(word);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn the_total_holds_a_file() {
        let config = Config::new("a.log").rotation(Rotation::new().max_size(1 << 30));
        let config = config.retention(Retention::new().max_total((1 << 30) - 1));
        let error = config.clone().validate().expect_err("too little");
        assert!(error.to_string().contains("max_total"), "{error}");
        let config = config.retention(Retention::new().directory_total((1 << 30) - 1));
        let error = config.clone().validate().expect_err("too little");
        assert!(error.to_string().contains("directory_total"), "{error}");
        if cfg!(feature = "zstd") {
            let compressed = config.compression(Compression::Zstd { level: 3 });
            assert!(compressed.validate().is_ok(), "compressed files are shorter");
        }
    }
}
