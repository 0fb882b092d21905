//! Salvaging the logs of dead processes without opening them for writing.

use std::path::Path;

use crate::{
    CrashSafe, Error, Salvage,
    write::{Wanted, salvage as salvage_wanted},
};

/// Writes what dead processes have left in memory ([`Config::crash_safe`](crate::Config::crash_safe)), for all logs
/// whose memory is in this place. Each log is looked for at the path at which it was written.
///
/// [`Logger::new`](crate::Logger::new) does the same for its own log, so only a log that nobody opens again needs a call.
/// Logs of live processes are not touched.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// use asynclogger::{CrashSafe, salvage};
///
/// let done = salvage(&CrashSafe::in_dir(directory.path()))?;
/// assert_eq!((done.records(), done.left_alone.len()), (0, 0));
/// # Ok::<(), asynclogger::Error>(())
/// ```
///
/// # Errors
/// The place cannot be read. A log that cannot be written now is no error of the call: it is reported in
/// [`Salvage::left_alone`], with the reason; what is left of it stays, and the call can be repeated.
pub fn salvage(place: &CrashSafe) -> Result<Salvage, Error> {
    Salvager::new(place.clone()).run()
}

/// [`salvage`] for some of the logs, or as a trial.
#[derive(Clone, Debug)]
#[must_use]
pub struct Salvager {
    place: CrashSafe,
    wanted: Wanted,
    is_trial: bool,
}

impl Salvager {
    /// All logs whose memory is in this place.
    pub fn new(place: CrashSafe) -> Salvager {
        Salvager { place, wanted: Wanted::All, is_trial: false }
    }

    /// Only the log at this path. If the log was moved, the path is the new one, and what is written goes there: a
    /// segment shows by its id which log it belongs to.
    pub fn log(mut self, path: impl AsRef<Path>) -> Salvager {
        self.wanted = Wanted::log(path.as_ref());
        self
    }

    /// Only the logs in this directory, also those that were moved to it.
    pub fn directory(mut self, path: impl AsRef<Path>) -> Salvager {
        self.wanted = Wanted::directory(path.as_ref());
        self
    }

    /// Writes nothing and changes nothing: [`run`](Salvager::run) returns what it would do.
    pub fn dry_run(mut self, dry_run: bool) -> Salvager {
        self.is_trial = dry_run;
        self
    }

    /// Writes what is left, log by log.
    ///
    /// # Errors
    /// The same as [`salvage`].
    pub fn run(&self) -> Result<Salvage, Error> {
        salvage_wanted(&self.place, &self.wanted, self.is_trial)
    }
}
