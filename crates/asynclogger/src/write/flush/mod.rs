//! The flusher: one thread, one log; sealed buffers become blocks of the active segment.

mod flusher;
mod log_writer;
mod outbox;
mod pass;
mod teller;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod schedule_tests;

pub(crate) use self::{
    flusher::Flusher,
    log_writer::{Archiving, LogWriter},
    teller::Teller,
};
pub(in crate::write) use self::{outbox::backoff, pass::Pass};
