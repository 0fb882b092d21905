//! One file per command. Each command calls the library and prints the result.

#[cfg(target_os = "linux")]
pub(crate) mod bench;
mod by_time;
pub(crate) mod cat;
#[cfg(feature = "export")]
pub(crate) mod export;
mod lookout;
pub(crate) mod ls;
pub(crate) mod paper;
pub(crate) mod repair;
pub(crate) mod report;
#[cfg(target_os = "linux")]
pub(crate) mod salvage;
#[cfg(all(target_os = "linux", feature = "ship"))]
pub(crate) mod ship;
pub(crate) mod stat;
mod stat_watch;
pub(crate) mod tail;
pub(crate) mod verify;
#[cfg(target_os = "linux")]
pub(crate) mod write;
#[cfg(target_os = "linux")]
pub(crate) mod writing;
