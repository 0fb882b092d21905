//! Which archived segments are kept, and which are deleted.

use std::time::Duration;

use crate::{Error, ErrorKind};

/// What happens when the file system is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Nothing is deleted: the write is repeated until there is room, and the [`Overflow`](crate::Overflow)
    /// policy decides about new records. The default.
    #[default]
    Wait,
    /// The oldest archived segment of this log is deleted, then the next oldest, until there is room. The
    /// newest archived segment is never deleted; once it alone is left, the write waits as under `Wait`.
    DeleteOldest,
}

/// Which archived segments of a log are deleted, always the oldest first. Each limit applies by itself. By
/// default there is no limit, and all segments are kept.
///
/// A file is deleted only if its start carries the id and the full name of this log and no logger writes the
/// file; the name of the file does not matter. The active segment and the newest archived segment are never
/// deleted. The oldest segment is the one with the lowest number, not the one with the earliest name or time.
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

    /// The largest number of archived segments; at least 1.
    pub fn keep(mut self, count: usize) -> Retention {
        self.keep = Some(count);
        self
    }

    /// The longest time that a segment is kept after its last record, by the wall clock; more than 0.
    pub fn max_age(mut self, age: Duration) -> Retention {
        self.max_age = Some(age);
        self
    }

    /// The largest total size of all archived segments, in bytes on the disk, including space that was
    /// allocated ahead and not given back; more than 0. The newest segment is kept even if it alone is
    /// larger.
    pub fn max_total(mut self, bytes: u64) -> Retention {
        self.max_total = Some(bytes);
        self
    }

    /// The largest total size of all archived segments of all events of a
    /// [`LoggerManager`](crate::LoggerManager), in bytes on the disk, including events that are not open;
    /// more than 0. The segment that ended first is deleted first, whichever event it belongs to; the newest
    /// of all is kept. A [`Logger`](crate::Logger) refuses this setting.
    ///
    /// The manager counts and deletes a segment only if the segment certainly belongs to an event: the
    /// segment carries the id of the log whose active file has the name of that event. So the segments of an
    /// event whose active file was removed stay. The log of a plain logger in the same directory stays too;
    /// the manager knows it by its lock file.
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
