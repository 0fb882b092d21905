//! An event of `tracing` through `tracing_subscriber::fmt`: to nothing, to the library, to tracing-appender.

use std::{io, path::Path};

use ::tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};
use asynclogger::{Logger, Overflow};
use tracing::{info, subscriber::set_global_default};
use tracing_subscriber::fmt::MakeWriter;

use super::{asynclogger as ours, tracing_appender as appender};
use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject},
};

/// The same subscriber for all: level and text.
fn install(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> Outcome<()> {
    let fmt = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
    Ok(set_global_default(fmt.with_writer(writer).finish())?)
}

macro_rules! log_by_event {
    () => {
        #[inline]
        fn log(&self, record: Record<'_>) {
            info!("{}", record.text());
        }
    };
}

pub(super) struct Sink;

impl Subject for Sink {
    const NAME: &'static str = "tracing to a sink";
    const SETUP: &'static str = "tracing_subscriber::fmt, io::sink()";
    const NO_ROTATION: Option<&'static str> = Some("a floor has no file");
    const FLOOR: bool = true;

    fn open(_: &Place) -> Outcome<Sink> {
        install(io::sink)?;
        Ok(Sink)
    }

    log_by_event!();

    fn end(self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}

pub(super) struct Ours(Logger);

impl Subject for Ours {
    const NAME: &'static str = "tracing to asynclogger";
    const SETUP: &'static str = "tracing_subscriber::fmt, with_writer(logger), Overflow::Block";
    const NO_ROTATION: Option<&'static str> = None;

    fn open(place: &Place) -> Outcome<Ours> {
        let logger = ours::open(place, Overflow::Block)?;
        install(logger.clone())?;
        Ok(Ours(logger))
    }

    log_by_event!();

    fn end(self) -> Outcome<Option<u64>> {
        ours::end(self.0)
    }

    fn read(directory: &Path, each: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        ours::read(directory, each)
    }
}

macro_rules! appender {
    ($subject:ident, $name:literal, $setup:literal, $lossy:literal) => {
        pub(super) struct $subject(WorkerGuard, ErrorCounter);

        impl Subject for $subject {
            const NAME: &'static str = $name;
            const SETUP: &'static str = $setup;
            const NO_ROTATION: Option<&'static str> = appender::NO_ROTATION;

            fn open(place: &Place) -> Outcome<$subject> {
                let (writer, guard) = appender::open(place, $lossy);
                let refused = writer.error_counter();
                install(writer)?;
                Ok($subject(guard, refused))
            }

            log_by_event!();

            fn end(self) -> Outcome<Option<u64>> {
                drop(self.0);
                Ok(Some(self.1.dropped_lines() as u64))
            }
        }
    };
}

appender!(
    AppenderLossy,
    "tracing to tracing-appender",
    "tracing_subscriber::fmt, non_blocking, defaults",
    true
);
appender!(
    AppenderBlocking,
    "tracing to tracing-appender, blocking",
    "the same with lossy(false)",
    false
);
