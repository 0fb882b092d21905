//! One file per command. Each command calls the library and prints the result.

pub(crate) mod bench;
mod by_time;
pub(crate) mod cat;
pub(crate) mod paper;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod salvage;
pub(crate) mod stat;
mod stat_watch;
pub(crate) mod tail;
pub(crate) mod verify;
pub(crate) mod write;
