//! What a killed process has left in memory is written: once, in order, with its own numbers.
//!
//! A salvager is the flusher of the dead session, and goes on where that one was killed: it takes over the buffers, the
//! account of them, and the file. So a salvager that is killed leaves the same as the first process, and everything that
//! a flusher can do (wait for a full disk, write again, continue in another file) needs no second implementation.
//!
//! A write of the dead process can still be in flight, and land at any later time. It carries the same bytes as the
//! salvager writes to the same place: every field of a part is in the journal, its time included, before the part is
//! written for the first time.

mod events;
#[cfg(all(test, not(loom)))]
mod killed_tests;
mod loggers;
mod remnant;
mod wanted;

pub(super) use self::events::salvage_events;
pub(crate) use self::{
    loggers::salvage_log,
    wanted::{Wanted, salvage},
};
