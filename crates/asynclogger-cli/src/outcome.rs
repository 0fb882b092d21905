//! How a command ends. Exit codes are decided in `main` alone.

use std::{fmt::Display, io};

use asynclogger::{Error, ErrorKind};

use crate::errors::in_options;

/// What a command found out, from best to worst; everything but `Fine` was said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// Nothing is wrong.
    Fine,
    /// Something is damaged, dropped or lost.
    No,
    /// One of the inputs could not be read at all; the others were.
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

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense.
    Usage(String),
    /// The system refused something.
    Io(String),
    /// Nobody reads our output any more. That is how `| head` ends, not an error.
    BrokenPipe,
}

impl Failure {
    /// An error of the operating system on something else than standard output.
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
            _ => Failure::Io(format!("{error:#}")),
        }
    }
}

/// A bare `io::Error` comes from one place only: writing to standard output.
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
