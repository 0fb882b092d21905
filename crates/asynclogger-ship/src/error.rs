//! One opaque error: what failed, and what a caller can do about the failure.

use std::{error, fmt, io, path::Path};

use asynclogger_store::{Error as StoreError, ErrorKind as StoreKind};

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, the URL or the environment makes no sense.
    Settings,
    /// Another shipper ships this directory to this destination.
    InUse,
    /// A file or the directory could not be read or written.
    Local,
    /// The file is not the one that was listed: the archivist has compressed, or retention has deleted the segment.
    Gone,
    /// Another object stands at the key of the segment, or what stands there is not what was sent.
    Conflict,
    /// The store refuses the credentials, or what they ask for.
    Denied,
    /// The store cannot be reached, or has an error of its own.
    Unavailable,
    /// The shipper was told to stop.
    Stopped,
    /// Something else; the text tells more.
    Other,
}

/// An error of shipping; the text names the file or the object, and never a credential.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error { kind, text: text.into() }
    }

    pub(crate) fn settings(text: impl Into<String>) -> Error {
        Error::new(ErrorKind::Settings, text)
    }

    pub(crate) fn stopped() -> Error {
        Error::new(ErrorKind::Stopped, "the shipper was told to stop")
    }

    /// For `map_err`: what was done to which file.
    pub(crate) fn local(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |cause| {
            let text = format!("cannot {doing} {}: {cause}", path.display());
            Error::new(ErrorKind::Local, text)
        }
    }

    /// For `map_err`: bytes of a file or of an object could not be read.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |cause| match cause.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>()) {
            Some(error) => Error::from(error.clone()),
            None => Error::local("read", path)(cause),
        }
    }

    pub(crate) fn of_log(cause: &asynclogger::Error) -> Error {
        Error::new(ErrorKind::Local, cause.to_string())
    }

    /// What a caller can do about the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same attempt can succeed later.
    pub(crate) fn is_of_the_store(&self) -> bool {
        matches!(self.kind, ErrorKind::Denied | ErrorKind::Unavailable)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        let kind = match error.kind() {
            StoreKind::Invalid => ErrorKind::Settings,
            StoreKind::Denied => ErrorKind::Denied,
            StoreKind::Conflict => ErrorKind::Conflict,
            // A bucket that is not there now, and whatever a server answers in a bad hour, can be different later.
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for Error {}
