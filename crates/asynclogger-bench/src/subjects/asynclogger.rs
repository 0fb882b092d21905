//! The library itself, with its defaults.

use std::{path::Path, time::Duration};

use asynclogger::{Config, Logger, Overflow, Rotation, read::LogDir};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject, file_in},
};

pub(super) fn open(place: &Place, overflow: Overflow) -> Outcome<Logger> {
    let mut config = Config::new(file_in(place)).overflow(overflow);
    if place.rotate {
        config = config.rotation(Rotation::new().max_age(Duration::from_secs(1)));
    }
    Ok(Logger::new(config)?)
}

pub(super) fn end(logger: Logger) -> Outcome<Option<u64>> {
    let stats = logger.close()?;
    Ok(Some(stats.dropped_logs + stats.lost))
}

pub(super) fn read(directory: &Path, each: &mut dyn FnMut(&[u8])) -> Outcome<()> {
    let mut log = LogDir::open(directory.join("peer.log"))?;
    while let Some(record) = log.next_record()? {
        each(record.bytes());
    }
    Ok(())
}

macro_rules! ours {
    ($subject:ident, $name:literal, $setup:literal, $overflow:expr) => {
        pub(super) struct $subject(Logger);

        impl Subject for $subject {
            const NAME: &'static str = $name;
            const SETUP: &'static str = $setup;
            const NO_ROTATION: Option<&'static str> = None;

            fn open(place: &Place) -> Outcome<$subject> {
                open(place, $overflow).map($subject)
            }

            #[inline]
            fn log(&self, record: Record<'_>) {
                self.0.log_bytes(record.bytes());
            }

            fn end(self) -> Outcome<Option<u64>> {
                end(self.0)
            }

            fn read(directory: &Path, each: &mut dyn FnMut(&[u8])) -> Outcome<()> {
                read(directory, each)
            }
        }
    };
}

ours!(
    Block,
    "asynclogger",
    "defaults (64 MiB, every block synced, direct I/O), Overflow::Block",
    Overflow::Block
);
ours!(Drop, "asynclogger, drop", "defaults: Overflow::Drop", Overflow::Drop);
