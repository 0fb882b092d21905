//! What files carry beside their records.

use asynclogger::{LogId, read::Report};

use crate::{export::Settings, output::Facts};

/// Whose times the records of a file have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    of_records: bool,
    of_blocks: bool,
}

impl Times {
    pub(crate) fn note(&mut self, has_time: bool, is_of_record: bool) {
        self.of_records |= has_time && is_of_record;
        self.of_blocks |= has_time && !is_of_record;
    }

    fn name(self) -> &'static str {
        match (self.of_records, self.of_blocks) {
            (true, true) => "mixed",
            (true, false) => "record",
            (false, true) => "block",
            (false, false) => "none",
        }
    }
}

/// What is known before the records. A stream of several logs has the first fact alone.
pub(crate) fn before(
    settings: &Settings,
    log_id: Option<LogId>,
    segment: u64,
    event: &[u8],
    source: &str,
) -> Facts {
    let mut facts = vec![fact("version", env!("CARGO_PKG_VERSION"))];
    if settings.is_stream() {
        return facts;
    }
    facts.push(fact("source", source));
    facts.extend(log_id.map(|log_id| fact("log", log_id)));
    facts.extend(log_id.map(|_| fact("segment", segment)));
    facts.push(fact("event", String::from_utf8_lossy(event)));
    facts.extend(settings.host.as_ref().map(|host| fact("host", host)));
    facts
}

/// What is known when all records of a file have come.
pub(crate) fn after(records: u64, times: Times) -> Facts {
    vec![fact("records", records), fact("times", times.name())]
}

/// What is known of the whole segment once it has been read.
pub(crate) fn of_segment(report: &Report) -> Facts {
    vec![
        fact("segment_records", report.records),
        fact("dropped", report.dropped().total()),
        fact("lost", report.lost),
        fact("salvaged", report.salvaged()),
    ]
}

/// The facts of the whole segment are not known in this file: it was completed before the segment was read to its end.
pub(crate) fn closed_early() -> Facts {
    vec![fact("closed_early", true)]
}

fn fact(name: &str, value: impl ToString) -> (String, String) {
    (format!("asynclogger.{name}"), value.to_string())
}
