//! One opaque error: what was being done, to which file, where in it, and why it failed.

use std::{
    borrow::Cow,
    fmt, io,
    panic::{RefUnwindSafe, UnwindSafe},
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
    /// A setting or a file needs a feature of this crate that was not compiled in; the text names the feature.
    MissingFeature,
    /// Direct I/O was required and the file system does not do it.
    DirectIo,
    /// An engine was demanded that the system refuses, or that this build does not have.
    Engine,
    /// The operating system refused an operation; see [`Error::io_error`].
    Io,
    /// The time given was over before the operation was. Nothing is lost by that; it can be repeated.
    Timeout,
    /// The call would wait for itself: it was made inside a log call (by an encoder, or a signal handler that
    /// interrupted one), or on a logger's own thread (by a callback). Nothing was done.
    WouldDeadlock,
    /// The manager or the event is closed, or is being closed: no event can be opened.
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
///
/// `{}` shows what failed, and [`source`](std::error::Error::source) has the cause; `{:#}` shows the causes, too,
/// each once: what a program prints that does not walk along the sources.
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
    /// Why something greater did not succeed: the last of the attempts it consisted of.
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

    /// With the error of an attempt as the cause.
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

    /// Context is only added where an error is made, so it is not shared yet.
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

    /// The file or directory concerned, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The offset in that file, in bytes, if there is one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The operating system's error, if there is one.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match self.0.cause.as_ref()? {
            Cause::System(error) => Some(error),
            Cause::Attempt(error) => error.io_error(),
        }
    }
}

// Nothing of an error is changed once a second one can see it, so a panic leaves none half done. (The standard
// library's error, which may hold anything, does not promise that by itself; those in here are the system's.)
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
            // Also where the last attempt failed by itself: the caller's time was over first.
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
    /// No buffer was free (and the overflow policy did not allow to wait, or not any longer).
    Full,
    /// Every shard was claimed by another writer at that moment; only with more threads than shards.
    Busy,
    /// The record is longer than a shard can hold.
    #[non_exhaustive]
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
    use std::error::Error as _;

    use super::*;

    fn no_space() -> Error {
        Error::io("cannot write", io::Error::from_raw_os_error(28))
            .at_path(Path::new("/logs/app.log"))
            .at_offset(4096)
    }

    /// As anyhow and the like show an error: each of the chain by itself.
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
        // Wrapped by the standard library's error it is still there once.
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
