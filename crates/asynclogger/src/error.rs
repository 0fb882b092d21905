//! One opaque error: what was being done, to which file, where in it, and why it failed.

use std::{
    borrow::Cow,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The kinds of [`Error`], for programs that have to tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting of [`Config`](crate::Config) is missing, absurd or contradicts another.
    InvalidConfig,
    /// Another logger, here or in another process, writes this log.
    InUse,
    /// The path names a directory, a link, a device or a pipe: nothing a log can be.
    NotAFile,
    /// The file is not a log of ours, nor one of the original's.
    NotALog,
    /// The file is a log of a version that this library does not know.
    UnsupportedVersion,
    /// It takes a feature of this crate that was not compiled in; the text names it.
    MissingFeature,
    /// Direct I/O was required and the file system does not do it.
    DirectIo,
    /// An engine was demanded that the system refuses, or that this build does not have.
    Engine,
    /// The operating system refused an operation; see [`Error::io_error`].
    Io,
    /// The time given was over before the operation was. Nothing is lost by that; it can be repeated.
    Timeout,
    /// The logger is closed.
    Closed,
    /// There is no such thing here.
    NotFound,
    /// Somebody renamed, deleted, replaced or truncated the active file. The log goes on in a new one.
    Moved,
    /// The logger was made by the parent of this process: a forked child cannot use it.
    Forked,
    /// So many errors were not told: [`Config::on_error`](crate::Config::on_error) did not return meanwhile.
    Untold,
    /// The logger's own thread panicked, was caught, and went on: a bug to report.
    Panic,
}

/// An error of any operation except a log call (those have the smaller [`LogError`]).
///
/// One word wide and cheap to clone: one failed attempt may be reported to many callers.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    path: Option<PathBuf>,
    offset: Option<u64>,
    source: Option<io::Error>,
}

impl Error {
    #[cold]
    #[inline(never)]
    pub(crate) fn new(kind: ErrorKind, doing: impl Into<Cow<'static, str>>) -> Error {
        let doing = doing.into();
        Error(Arc::new(Inner { kind, doing, path: None, offset: None, source: None }))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn io(doing: impl Into<Cow<'static, str>>, source: impl Into<io::Error>) -> Error {
        Error::with_source(ErrorKind::Io, doing, source)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn with_source(
        kind: ErrorKind,
        doing: impl Into<Cow<'static, str>>,
        source: impl Into<io::Error>,
    ) -> Error {
        let (doing, source) = (doing.into(), Some(source.into()));
        Error(Arc::new(Inner { kind, doing, path: None, offset: None, source }))
    }

    #[cold]
    pub(crate) fn at_path(self, path: &Path) -> Error {
        self.map(|inner| inner.path = Some(path.to_path_buf()))
    }

    #[cold]
    pub(crate) fn at_offset(self, offset: u64) -> Error {
        self.map(|inner| inner.offset = Some(offset))
    }

    /// Context is only added where an error is made, so it is not shared yet.
    fn map(mut self, change: impl FnOnce(&mut Inner)) -> Error {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
        }
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file or directory concerned, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The offset in that file, in bytes, if there is one.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The operating system's error, if there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        self.0.source.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { doing, path, offset, source, .. } = &*self.0;
        if let Some(path) = path {
            write!(f, "{}: ", path.display())?;
        }
        f.write_str(doing)?;
        if let Some(offset) = offset {
            write!(f, " at offset {offset}")?;
        }
        match source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, doing, path, offset, source } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("doing", doing)
            .field("path", path)
            .field("offset", offset)
            .field("source", source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = error.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
        io::Error::new(kind, error)
    }
}

/// Why a record was not accepted. Each refusal is counted under its reason in
/// [`Stats::dropped`](crate::Stats::dropped).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogError {
    /// No buffer was free (and the overflow policy did not allow to wait, or not any longer).
    Full,
    /// Every shard was claimed by another writer at that moment; only with more threads than shards.
    Busy,
    /// The record is longer than a shard can hold.
    TooLarge {
        /// Length of the record, in bytes.
        len: usize,
        /// The longest record this logger takes, in bytes.
        max: usize,
    },
    /// The record has no bytes: the format has no empty records.
    Empty,
    /// The logger is closed, or belongs to the parent of this process.
    Closed,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Full => f.write_str("no buffer is free"),
            LogError::Busy => f.write_str("every shard is claimed by another writer"),
            LogError::TooLarge { len, max } => {
                write!(f, "a record of {len} bytes is longer than the longest possible, {max}")
            }
            LogError::Empty => f.write_str("a record cannot be empty"),
            LogError::Closed => f.write_str("the logger is closed"),
        }
    }
}

impl std::error::Error for LogError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_path_offset_and_cause() {
        let error = Error::io("cannot write", io::Error::from_raw_os_error(28))
            .at_path(Path::new("/logs/app.log"))
            .at_offset(4096);
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.offset(), Some(4096));
        let text = error.to_string();
        assert!(text.starts_with("/logs/app.log: cannot write at offset 4096: No space"), "{text}");
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
