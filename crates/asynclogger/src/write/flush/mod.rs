//! The flusher: one thread, one log; sealed buffers become blocks of the active segment.

mod closer;
mod flusher;
mod log_writer;
mod outbox;
mod pass;
mod thread;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod schedule_tests;

pub(crate) use self::{
    closer::{Closer, Closing, inside},
    flusher::Flusher,
    log_writer::{Archiving, LogWriter},
};
pub(in crate::write) use self::{
    outbox::backoff,
    pass::Pass,
    thread::{FlusherThread, Round, Rounds, Stop},
};
