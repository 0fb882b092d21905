//! fast_log with a bounded channel.

use std::path::Path;

use fast_log::{
    Config,
    appender::{Command, FastLogRecord, RecordFormat},
    plugin::{
        file_split::{DateType, KeepType, Rolling, RollingType},
        packer::LogPacker,
    },
};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject, file_in},
};

pub(super) struct FastLog;

/// The text and the line's end.
struct Plain;

impl RecordFormat for Plain {
    fn do_format(&self, record: &mut FastLogRecord) {
        if matches!(record.command, Command::CommandRecord) {
            record.formated = std::mem::take(&mut record.args) + "\n";
        }
    }
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| "a path that is no UTF-8".into())
}

impl Subject for FastLog {
    const NAME: &'static str = "fast_log";
    const SETUP: &'static str = "file, chan_len(Some(100000)): blocking";
    const NO_ROTATION: Option<&'static str> = None;

    fn open(place: &Place) -> Outcome<FastLog> {
        let config = Config::new().chan_len(Some(100_000)).format(Plain);
        let path = file_in(place);
        let path = text(&path)?;
        let config = if place.rotate {
            let rolling = Rolling::new(RollingType::ByDate(DateType::Sec));
            config.file_split(path, rolling, KeepType::All, LogPacker {})
        } else {
            config.file(path)
        };
        fast_log::init(config)?;
        Ok(FastLog)
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        log::info!("{}", record.text());
    }

    fn end(self) -> Outcome<Option<u64>> {
        log::logger().flush();
        Ok(None)
    }
}
