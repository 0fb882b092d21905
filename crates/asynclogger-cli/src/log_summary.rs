//! A log in one line: all its segments together.

use std::time::SystemTime;

use asynclogger::read::LogReport;
use serde::{Serialize, Serializer};

use crate::units::show_time;

/// A log over all its segments.
#[derive(Serialize)]
pub(crate) struct LogSummary {
    /// The file of the last segment; for a log that is being written, the file with the log's name.
    pub(crate) file: String,
    log_id: Option<String>,
    pub(crate) segments: u64,
    pub(crate) missing_segments: u64,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    file_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) salvaged: u64,
    #[serde(serialize_with = "time_json")]
    pub(crate) first_time: Option<SystemTime>,
    #[serde(serialize_with = "time_json")]
    pub(crate) last_time: Option<SystemTime>,
}

pub(crate) fn time_json<S: Serializer>(
    time: &Option<SystemTime>,
    to: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| show_time(time, 9)).serialize(to)
}

impl From<&LogReport> for LogSummary {
    fn from(log: &LogReport) -> LogSummary {
        let last = log.segments.last();
        let (first_time, last_time) = times_of(log);
        LogSummary {
            file: last.map_or(String::new(), |report| report.path.display().to_string()),
            log_id: log.log_id.map(|id| id.to_string()),
            segments: log.segments.len() as u64,
            missing_segments: count_missing(log),
            records: log.records,
            payload_bytes: log.payload_bytes,
            file_bytes: log.file_bytes,
            stored_bytes: log.stored_bytes,
            salvaged: log.salvaged(),
            first_time,
            last_time,
        }
    }
}

/// The times of the first and the last block.
pub(crate) fn times_of(log: &LogReport) -> (Option<SystemTime>, Option<SystemTime>) {
    let segments = || log.segments.iter();
    let first = segments().filter_map(|report| report.first_time).min();
    (first, segments().filter_map(|report| report.last_time).max())
}

pub(crate) fn count_missing(log: &LogReport) -> u64 {
    log.missing.iter().map(|range| range.end() - range.start() + 1).sum()
}
