//! The command as a user meets it: what is typed, what comes out, how it ends.

mod support;

/// The numbers of `bench`, and that it finds every record again.
mod bench;
mod by_time;
/// What is printed of records.
mod cat;
/// Colours, where and when.
mod colors;
/// What a killed `write` leaves, and what becomes of it.
mod crash_safe;
/// Damaged, cut and foreign files, given to every command that reads.
mod damage;
/// A log for each event, and how it is found again.
mod events;
/// Files and directories that cannot be used.
mod files;
mod hostile;
mod ls;
/// A whole file out of a damaged one.
mod repair;
/// The page that shows what happened.
mod report;
/// A log that goes on in new files while it is written.
mod rotation;
/// Logs of several files, some of them compressed or missing.
mod segments;
/// A log that a service writes to: signals, locks, pauses, and whoever does not read standard error.
mod service;
/// Archived segments go to an object store.
#[cfg(feature = "ship")]
mod ship;
mod stat_watch;
/// The end of a log, and how it goes on.
pub(crate) mod tail;
/// What the command prints, word for word.
// The command of the default build; the features have commands of their own in the help.
#[cfg(not(any(feature = "export", feature = "ship")))]
mod transcripts;
/// Help, and what cannot be meant.
mod usage;
/// Standard input becomes a log, and comes back.
mod write;
