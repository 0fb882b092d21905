//! What only the commands that write need, and only Linux has: their options, the signals of a service, standard input.

pub(crate) mod args;
pub(crate) mod input;
pub(crate) mod lines;
pub(crate) mod progress;
pub(crate) mod reporter;
mod rotation_args;
mod service_args;
#[cfg(feature = "ship")]
pub(crate) mod ship_args;
pub(crate) mod signals;
mod talk;
pub(crate) mod units;
