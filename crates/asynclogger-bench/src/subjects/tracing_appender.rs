//! tracing-appender's non-blocking writer, called directly.

use std::{cell::RefCell, io::Write};

use tracing_appender::{
    non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard},
    rolling,
};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject},
};

pub(super) fn open(place: &Place, lossy: bool) -> (NonBlocking, WorkerGuard) {
    let file = rolling::never(&place.directory, "peer.log");
    NonBlockingBuilder::default().lossy(lossy).finish(file)
}

pub(super) const NO_ROTATION: Option<&str> = Some("rotates by the minute at most");

thread_local! {
    /// A clone of the thread's own, as a writer has to be mutable. `fmt` clones for each event.
    static WRITER: RefCell<Option<NonBlocking>> = const { RefCell::new(None) };
}

pub(super) struct Appender {
    writer: NonBlocking,
    refused: ErrorCounter,
    guard: WorkerGuard,
}

impl Appender {
    fn open(place: &Place, lossy: bool) -> Appender {
        let (writer, guard) = open(place, lossy);
        Appender { refused: writer.error_counter(), writer, guard }
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        WRITER.with_borrow_mut(|writer| {
            // A lossy writer always returns success.
            let _ = writer.get_or_insert_with(|| self.writer.clone()).write_all(record.line());
        });
    }

    fn end(self) -> u64 {
        drop(self.guard);
        self.refused.dropped_lines() as u64
    }
}

macro_rules! appender {
    ($subject:ident, $name:literal, $setup:literal, $lossy:literal) => {
        pub(super) struct $subject(Appender);

        impl Subject for $subject {
            const NAME: &'static str = $name;
            const SETUP: &'static str = $setup;
            const NO_ROTATION: Option<&'static str> = NO_ROTATION;

            fn open(place: &Place) -> Outcome<$subject> {
                Ok($subject(Appender::open(place, $lossy)))
            }

            #[inline]
            fn log(&self, record: Record<'_>) {
                self.0.log(record);
            }

            fn end(self) -> Outcome<Option<u64>> {
                Ok(Some(self.0.end()))
            }
        }
    };
}

appender!(
    Lossy,
    "tracing-appender",
    "non_blocking, defaults: 128,000 lines, lossy; rolling::never",
    true
);
appender!(
    Blocking,
    "tracing-appender, blocking",
    "non_blocking with lossy(false); rolling::never",
    false
);
