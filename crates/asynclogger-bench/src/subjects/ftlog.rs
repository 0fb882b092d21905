//! ftlog with its defaults. It puts a time in front of each line, which cannot be left out.

use std::fmt::Display;

use ftlog::{FtLogFormat, LoggerGuard, appender::FileAppender};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject, file_in},
};

pub(super) struct Ftlog(LoggerGuard);

/// The text alone, made on the caller's thread: the log thread cannot have the arguments.
struct Plain;

impl FtLogFormat for Plain {
    fn msg(&self, record: &log::Record<'_>) -> Box<dyn Send + Sync + Display> {
        Box::new(record.args().to_string())
    }
}

impl Subject for Ftlog {
    const NAME: &'static str = "ftlog";
    const SETUP: &'static str = "defaults: bounded(100_000, false), lossy; feature tsc, UTC";
    const NO_ROTATION: Option<&'static str> = Some("rotates by the minute at most");

    fn open(place: &Place) -> Outcome<Ftlog> {
        let file = FileAppender::builder().path(file_in(place)).build();
        let guard = ftlog::builder().format(Plain).utc().root(file).try_init();
        Ok(Ftlog(guard.map_err(|error| error.to_string())?))
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        log::info!("{}", record.text());
    }

    fn end(self) -> Outcome<Option<u64>> {
        drop(self.0);
        Ok(None)
    }
}
