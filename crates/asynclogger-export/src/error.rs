//! What an export can fail with.

use std::{error, fmt, io};

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings contradict each other, or two sources have the same output.
    Settings,
    /// The description of messages cannot be used.
    Descriptor,
    /// A log cannot be read any further.
    Source,
    /// A file stands where a file of the export belongs, and is none of an earlier export. It is not replaced.
    Exists,
    /// The output cannot be written.
    Output,
}

/// An error of an export: the operation that failed, its file, and the cause.
///
/// `{}` shows all of them.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    doing: String,
    cause: Option<Box<dyn error::Error + Send + Sync>>,
}

impl Error {
    #[cold]
    pub(crate) fn new(kind: ErrorKind, doing: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, doing: doing.into(), cause: None }))
    }

    #[cold]
    pub(crate) fn because(
        kind: ErrorKind,
        doing: impl Into<String>,
        cause: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Error {
        Error(Box::new(Inner { kind, doing: doing.into(), cause: Some(cause.into()) }))
    }

    /// An error of writing `name`.
    #[cold]
    pub(crate) fn output(
        name: &str,
        cause: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Error {
        Error::because(ErrorKind::Output, format!("{name}: cannot be written"), cause)
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the reader of a pipe has gone, to which the export was written.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let mut cause = error::Error::source(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<io::Error>();
            if io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.doing)?;
        match &self.0.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}
