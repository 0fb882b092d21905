//! The outcome of a command. Only `main` decides on exit codes.

use std::{fmt::Display, io};

use asynclogger::{Error, ErrorKind};

use crate::errors::in_options;

/// The findings of a command, from best to worst. All but `Fine` were reported on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// Nothing is wrong.
    Fine,
    /// Something is damaged, dropped or lost.
    No,
    /// At least one of the inputs could not be read at all; the others were read.
    Unread,
}

impl Answer {
    pub(crate) fn fine_if(good: bool) -> Answer {
        if good { Answer::Fine } else { Answer::No }
    }

    /// The worse of the two.
    pub(crate) fn and(self, other: Answer) -> Answer {
        self.max(other)
    }
}

/// The reason why a command could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request makes no sense.
    Usage(String),
    /// The system refused an operation.
    Io(String),
    /// The reader of standard output has gone. That is the way in which `| head` ends, not an error.
    BrokenPipe,
}

impl Failure {
    /// An error of the operating system on anything but standard output.
    pub(crate) fn io(what: impl Display, error: impl Into<io::Error>) -> Failure {
        Failure::Io(format!("{what}: {}", error.into()))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error.kind() {
            ErrorKind::InvalidConfig | ErrorKind::MissingFeature => {
                Failure::Usage(in_options(&format!("{error:#}")))
            }
            ErrorKind::CrashMap => Failure::Io(in_options(&format!("{error:#}"))),
            _ => Failure::Io(format!("{error:#}")),
        }
    }
}

/// A bare `io::Error` comes only from writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::Io(format!("standard output: {error}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::from(io::Error::from(error))
    }
}
