//! One opaque error: the failed operation, its file, the offset in the file, and the cause.

use std::{
    borrow::Cow,
    fmt, io,
    panic::{RefUnwindSafe, UnwindSafe},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The kinds of [`Error`], for programs that handle some errors differently from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting of [`Config`](crate::Config) is missing, outside its limits, or contradicts another one.
    InvalidConfig,
    /// Another logger, here or in another process, writes this log.
    InUse,
    /// The path names a directory, a link, a device or a pipe. A log is a regular file.
    NotAFile,
    /// The file is neither a log of this library nor a file of the original logger.
    NotALog,
    /// The file is a log in a version of the format that this library does not know.
    UnsupportedVersion,
    /// A setting or a file needs a feature of this crate that was not compiled in; the text names the feature.
    MissingFeature,
    /// Direct I/O was required, and the file system does not support it.
    DirectIo,
    /// The system refuses the engine that was demanded, or this build does not have it.
    Engine,
    /// There is no room for the memory of [`Config::crash_safe`](crate::Config::crash_safe), or the memory that a dead
    /// process left cannot be used; the text names the remedy.
    CrashMap,
    /// The operating system refused an operation; see [`Error::io_error`].
    Io,
    /// The operation did not finish within its time limit. Nothing is lost; the caller can repeat the
    /// operation.
    Timeout,
    /// The call would wait for itself, because it was made inside a log call (by an encoder, or by a signal
    /// handler that interrupted a log call) or on a thread of the library (by a callback). The call did
    /// nothing.
    WouldDeadlock,
    /// The manager or the event is closed or is being closed; no event can be opened.
    Closed,
    /// The event or the position that the call names does not exist.
    NotFound,
    /// Another program renamed, deleted, replaced or truncated the active file. The log continues in a new
    /// file.
    Moved,
    /// The logger was made by the parent of this process; a forked child cannot use it.
    Forked,
    /// Errors were counted but not reported, because [`Config::on_error`](crate::Config::on_error) had not
    /// returned. The text of the error has their number.
    Untold,
    /// A thread of the logger panicked; the panic was caught, and the thread continues. This is a bug to
    /// report.
    Panic,
}

/// An error of any operation except a log call. A log call returns the smaller [`LogError`].
///
/// Most failures of a logger happen on its own thread, long after the call that offered the record, and
/// several callers can wait for the same failed attempt. So an error has to be complete by itself: it names
/// the operation, the file, the offset and the cause. A bare `io::Error` says "No space left on device" and
/// not which of a thousand files was full; a public enum with a variant and fields for each failure would
/// break its users with each new field. `Error` keeps its fields private behind [`kind`](Error::kind) and the
/// other accessors, and can always get more of them.
///
/// An `Error` is one word wide and cheap to clone, so one failed attempt can be reported to many callers.
///
/// `{}` shows the operation that failed, and [`source`](std::error::Error::source) returns the cause. `{:#}`
/// shows the chain of causes as well, each once, for programs that do not walk along the sources.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    path: Option<PathBuf>,
    offset: Option<u64>,
    cause: Option<Cause>,
}

enum Cause {
    System(io::Error),
    /// The error of the last attempt of an operation that consists of several attempts.
    Attempt(Error),
}

impl Error {
    #[cold]
    #[inline(never)]
    pub(crate) fn new(kind: ErrorKind, doing: impl Into<Cow<'static, str>>) -> Error {
        let doing = doing.into();
        Error(Arc::new(Inner { kind, doing, path: None, offset: None, cause: None }))
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
        Error::new(kind, doing).because(Cause::System(source.into()))
    }

    /// Adds the error of an attempt as the cause.
    #[cold]
    pub(crate) fn caused_by(self, attempt: Error) -> Error {
        self.because(Cause::Attempt(attempt))
    }

    fn because(self, cause: Cause) -> Error {
        self.map(|inner| inner.cause = Some(cause))
    }

    #[cold]
    pub(crate) fn at_path(self, path: &Path) -> Error {
        self.map(|inner| inner.path = Some(path.to_path_buf()))
    }

    #[cold]
    pub(crate) fn at_offset(self, offset: u64) -> Error {
        self.map(|inner| inner.offset = Some(offset))
    }

    /// Changes an error that is not shared yet: context is only added where the error is made.
    fn map(mut self, change: impl FnOnce(&mut Inner)) -> Error {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
        }
        self
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file or directory concerned, if the error has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The offset in the file of [`path`](Error::path), in bytes, if the error has one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The error of the operating system, if the error has one.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match self.0.cause.as_ref()? {
            Cause::System(error) => Some(error),
            Cause::Attempt(error) => error.io_error(),
        }
    }
}

// No error is changed once it is shared, so a panic leaves none half changed. (The `io::Error` of the
// standard library can hold any value and therefore does not promise unwind safety; the ones in here hold
// only errors of the system.)
impl UnwindSafe for Error {}
impl RefUnwindSafe for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { doing, path, offset, cause, .. } = &*self.0;
        if let Some(path) = path {
            write!(f, "{}: ", path.display())?;
        }
        f.write_str(doing)?;
        if let Some(offset) = offset {
            write!(f, " at offset {offset}")?;
        }
        match cause {
            Some(Cause::System(error)) if f.alternate() => write!(f, ": {error}"),
            Some(Cause::Attempt(error)) if f.alternate() => write!(f, ": {error:#}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, doing, path, offset, .. } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("doing", doing)
            .field("path", path)
            .field("offset", offset)
            .field("source", &std::error::Error::source(self))
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.0.cause.as_ref()? {
            Cause::System(error) => Some(error),
            Cause::Attempt(error) => Some(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match (error.kind(), error.io_error()) {
            // The kind is `TimedOut` even if the last attempt failed with an error of its own: the caller's
            // time ran out first.
            (ErrorKind::Timeout, _) => io::ErrorKind::TimedOut,
            (_, Some(error)) => error.kind(),
            (ErrorKind::InvalidConfig | ErrorKind::NotAFile, None) => io::ErrorKind::InvalidInput,
            (ErrorKind::InUse, None) => io::ErrorKind::ResourceBusy,
            (ErrorKind::NotALog, None) => io::ErrorKind::InvalidData,
            (
                ErrorKind::UnsupportedVersion
                | ErrorKind::MissingFeature
                | ErrorKind::DirectIo
                | ErrorKind::Engine,
                None,
            ) => io::ErrorKind::Unsupported,
            (ErrorKind::NotFound, None) => io::ErrorKind::NotFound,
            (ErrorKind::WouldDeadlock, None) => io::ErrorKind::Deadlock,
            (
                ErrorKind::Io
                | ErrorKind::CrashMap
                | ErrorKind::Closed
                | ErrorKind::Moved
                | ErrorKind::Forked
                | ErrorKind::Untold
                | ErrorKind::Panic,
                None,
            ) => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Why a record was not accepted. Each refusal is counted under its reason in
/// [`Stats::dropped`](crate::Stats::dropped).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogError {
    /// No buffer was free, and the overflow policy did not allow the call to wait, or to wait longer.
    Full,
    /// Every shard was claimed by another writer at that moment. This happens only with more threads than
    /// shards.
    Busy,
    /// The record is longer than a shard can hold.
    #[non_exhaustive]
    TooLarge {
        /// Length of the record, in bytes.
        len: usize,
        /// The length of the longest record that this logger takes, in bytes.
        max: usize,
    },
    /// The record has no bytes; the file format has no empty records.
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
    use std::error::Error as _;

    use super::*;

    fn no_space() -> Error {
        Error::io("cannot write", io::Error::from_raw_os_error(28))
            .at_path(Path::new("/logs/app.log"))
            .at_offset(4096)
    }

    /// The texts of the chain, one by one, in the manner of `anyhow`.
    fn chain(error: &dyn std::error::Error) -> Vec<String> {
        let (mut texts, mut next) = (Vec::new(), Some(error));
        while let Some(error) = next {
            texts.push(error.to_string());
            next = error.source();
        }
        texts
    }

    #[test]
    fn an_error_names_path_and_offset_and_has_its_cause_as_source() {
        let error = no_space();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Io, Some(4096)));
        let system = io::Error::from_raw_os_error(28).to_string();
        assert_eq!(chain(&error), ["/logs/app.log: cannot write at offset 4096", &system]);
        assert_eq!(
            format!("{error:#}"),
            format!("/logs/app.log: cannot write at offset 4096: {system}")
        );
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        let bare = Error::new(ErrorKind::NotALog, "not a log");
        assert_eq!(
            (format!("{bare}"), format!("{bare:#}")),
            ("not a log".into(), "not a log".into())
        );
        assert!(bare.source().is_none());
    }

    #[test]
    fn the_error_of_an_attempt_is_in_the_chain_once() {
        let error = Error::new(ErrorKind::Io, "not closed yet").caused_by(no_space());
        let system = io::Error::from_raw_os_error(28).to_string();
        let all = ["not closed yet", "/logs/app.log: cannot write at offset 4096", &system];
        assert_eq!(chain(&error), all);
        assert_eq!(format!("{error:#}"), all.join(": "));
        assert_eq!(error.io_error().and_then(io::Error::raw_os_error), Some(28));
        // The cause appears once even when the standard library's error wraps the chain.
        assert_eq!(chain(&io::Error::from(error)), all);
    }

    #[test]
    fn kinds_of_the_standard_library_say_what_they_can() {
        let kind_of = |kind| io::Error::from(Error::new(kind, "it failed")).kind();
        assert_eq!(kind_of(ErrorKind::Timeout), io::ErrorKind::TimedOut);
        assert_eq!(kind_of(ErrorKind::InvalidConfig), io::ErrorKind::InvalidInput);
        assert_eq!(kind_of(ErrorKind::InUse), io::ErrorKind::ResourceBusy);
        assert_eq!(kind_of(ErrorKind::NotALog), io::ErrorKind::InvalidData);
        assert_eq!(kind_of(ErrorKind::MissingFeature), io::ErrorKind::Unsupported);
        assert_eq!(kind_of(ErrorKind::NotFound), io::ErrorKind::NotFound);
        assert_eq!(kind_of(ErrorKind::Forked), io::ErrorKind::Other);
        assert_eq!(io::Error::from(no_space()).kind(), io::ErrorKind::StorageFull);
        let late = Error::new(ErrorKind::Timeout, "not closed yet").caused_by(no_space());
        assert_eq!(io::Error::from(late).kind(), io::ErrorKind::TimedOut);
    }
}
