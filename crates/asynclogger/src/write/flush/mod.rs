//! The flusher: one thread, one log; sealed buffers become blocks of the active segment.

mod flusher;
mod intake;
mod interval;
mod log_writer;
mod outbox;
mod pass;
mod sealing;
mod session;
mod teller;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod schedule_tests;

pub(crate) use self::{
    flusher::Flusher,
    intake::Intake,
    log_writer::{Archiving, LogWriter},
    session::Session,
    teller::Teller,
};
pub(in crate::write) use self::{intake::Counts, sealing::Sealing};
