//! The flusher: one thread, one log; sealed buffers become blocks of the active segment.

mod closer;
mod flusher;
mod growing;
mod intake;
mod interval;
mod log_writer;
mod one_log;
mod outbox;
mod pass;
mod sealing;
mod session;
mod teller;
mod thread;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod schedule_tests;

pub(crate) use self::{
    closer::{Closer, Closing, inside},
    flusher::start_flusher,
    intake::Intake,
    log_writer::{Archiving, LogWriter},
    one_log::OneLog,
    session::Session,
    teller::Teller,
};
pub(in crate::write) use self::{
    growing::{Growing, Grown},
    intake::Counts,
    log_writer::Rest,
    outbox::Resumed,
    sealing::Sealing,
    thread::{FlusherThread, NotStarted, Round, Rounds, Stop},
};
