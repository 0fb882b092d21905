//! How archived segments are compressed, and the description of one that a callback gets.

use std::{ops::RangeInclusive, path::PathBuf, time::SystemTime};

use crate::{Error, ErrorKind, LogId};

/// Levels from the fastest to the smallest.
const ZSTD_LEVELS: RangeInclusive<i32> = 1..=22;

/// How archived segments are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Archived segments stay as they were written. The default.
    #[default]
    Off,
    /// Zstandard, after the rotation and not on the thread that writes; `.zst` is added to the name of the
    /// file. Needs the feature `zstd`. Made by [`Compression::zstd`].
    #[cfg_attr(docsrs, doc(cfg(feature = "zstd")))]
    #[non_exhaustive]
    Zstd {
        /// From 1, the fastest, to 22, the smallest; 3 is Zstandard's own default.
        level: i32,
    },
}

impl Compression {
    /// [`Compression::Zstd`] at a level from 1, the fastest, to 22, the smallest.
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "zstd")))]
    pub const fn zstd(level: i32) -> Compression {
        Compression::Zstd { level }
    }

    /// Checks the limits.
    pub(crate) fn validate(self) -> Result<(), Error> {
        let Compression::Zstd { level } = self else {
            return Ok(());
        };
        if !ZSTD_LEVELS.contains(&level) {
            let (least, most) = (ZSTD_LEVELS.start(), ZSTD_LEVELS.end());
            let what = format!("the level of Zstd is {level}; levels are {least} to {most}");
            return Err(Error::new(ErrorKind::InvalidConfig, what));
        }
        if cfg!(not(feature = "zstd")) {
            let what = "Compression::Zstd needs the feature `zstd`";
            return Err(Error::new(ErrorKind::MissingFeature, what));
        }
        Ok(())
    }
}

/// An archived segment: complete, durable under its final name, and never written again.
///
/// [`Config::on_archived`](crate::Config::on_archived) is given one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Archived {
    /// Where the file is.
    pub path: PathBuf,
    /// The log that the segment belongs to. `log_id` and `segment` together name the file for ever: they are
    /// the key for an upload that may be repeated.
    pub log_id: LogId,
    /// The number of the segment in the log: 1, 2, 3 and so on, without gaps.
    pub segment: u64,
    /// Records in the file.
    pub records: u64,
    /// Bytes of these records.
    pub payload_bytes: u64,
    /// Length of the file as it is stored, compressed or not, in bytes.
    pub file_bytes: u64,
    /// When the first block with records was written, by the wall clock; `None` if there are no records.
    pub first_time: Option<SystemTime>,
    /// When the last block with records was written, by the wall clock; `None` if there are no records.
    pub last_time: Option<SystemTime>,
    /// Whether the file is compressed.
    pub compressed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn levels_have_limits() {
        let validate = |level| {
            Config::new("a.log").compression(Compression::Zstd { level }).validate().map(|_| ())
        };
        if cfg!(feature = "zstd") {
            for level in [1, 3, 22] {
                validate(level).expect("valid");
            }
        }
        for level in [i32::MIN, -1, 0, 23] {
            assert_eq!(validate(level).expect_err("a bad level").kind(), ErrorKind::InvalidConfig);
        }
    }

    #[test]
    #[cfg(not(feature = "zstd"))]
    fn what_is_not_built_in_is_refused_by_its_name() {
        let config = Config::new("a.log").compression(Compression::Zstd { level: 3 });
        let error = config.validate().expect_err("not built in");
        assert_eq!(error.kind(), ErrorKind::MissingFeature);
        assert!(error.to_string().contains("feature `zstd`"), "{error}");
    }
}
