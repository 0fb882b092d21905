//! flexi_logger in its asynchronous mode.

use std::io::{self, Write};

use flexi_logger::{
    Age, Cleanup, Criterion, DeferredNow, FileSpec, Logger, LoggerHandle, Naming, WriteMode,
};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject},
};

pub(super) struct Flexi(LoggerHandle);

fn plain(writer: &mut dyn Write, _: &mut DeferredNow, record: &log::Record<'_>) -> io::Result<()> {
    write!(writer, "{}", record.args())
}

impl Subject for Flexi {
    const NAME: &'static str = "flexi_logger";
    const SETUP: &'static str = "log_to_file, WriteMode::Async with its defaults: no limit";
    const NO_ROTATION: Option<&'static str> = None;

    fn open(place: &Place) -> Outcome<Flexi> {
        let file =
            FileSpec::default().directory(&place.directory).basename("peer").suppress_timestamp();
        let mut logger = Logger::try_with_str("info")?
            .log_to_file(file)
            .format(plain)
            .write_mode(WriteMode::Async);
        if place.rotate {
            logger = logger.rotate(Criterion::Age(Age::Second), Naming::Timestamps, Cleanup::Never);
        }
        Ok(Flexi(logger.start()?))
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        log::info!("{}", record.text());
    }

    fn end(self) -> Outcome<Option<u64>> {
        self.0.shutdown();
        Ok(None)
    }
}
