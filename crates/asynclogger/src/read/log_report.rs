//! The report on a whole log.

use std::ops::RangeInclusive;

use super::{
    history::History,
    ledger::sum_known,
    report::{Loss, Report, SessionReport},
};
use crate::{Dropped, Error, LogId};

/// The result of reading a whole log.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct LogReport {
    /// The id of the log; `None` for a file of the original or an empty file.
    pub log_id: Option<LogId>,
    /// The reports of the segments in order, each as if the file stood alone, without segments that have no
    /// selected block.
    pub segments: Vec<Report>,
    /// See [`LogDir::missing`](super::LogDir::missing).
    pub missing: Vec<RangeInclusive<u64>>,
    /// See [`LogDir::unread`](super::LogDir::unread).
    pub unread: Vec<Error>,
    /// The sessions over all segments.
    pub sessions: Vec<SessionReport>,
    /// Blocks, each counted once.
    pub blocks: u64,
    /// Records, each counted once.
    pub records: u64,
    /// Bytes of these records.
    pub payload_bytes: u64,
    /// Records in blocks that were not selected, each counted once; see
    /// [`ReadOptions::since`](super::ReadOptions::since).
    pub skipped_records: u64,
    /// Bytes of all files, as [`Report::file_bytes`].
    pub file_bytes: u64,
    /// Bytes of all files on the medium, as [`Report::stored_bytes`].
    pub stored_bytes: u64,
    /// All lost records: those lost in the segments, and those of missing segments in between.
    pub lost: Loss,
}

impl LogReport {
    pub(super) fn new(
        log_id: Option<LogId>,
        segments: Vec<Report>,
        missing: Vec<RangeInclusive<u64>>,
        unread: Vec<Error>,
        history: Option<History>,
    ) -> LogReport {
        let sum = |of: fn(&Report) -> u64| segments.iter().map(of).fold(0, u64::saturating_add);
        let file_bytes = sum(|report| report.file_bytes);
        let stored_bytes = sum(|report| report.stored_bytes);
        let (sessions, lost, blocks, records, payload_bytes, skipped_records) = match history {
            Some(history) => {
                let sessions = history.sessions();
                let sum = |of: fn(&SessionReport) -> u64| {
                    sessions.iter().map(of).fold(0, u64::saturating_add)
                };
                let blocks = sum(|session| session.blocks);
                let records = sum(|session| session.records);
                let payload = sum(|session| session.payload_bytes);
                let skipped = sum(|session| session.skipped_records);
                (sessions, history.lost(), blocks, records, payload, skipped)
            }
            None => (
                Vec::new(),
                Loss {
                    at_least: sum(|report| report.lost.at_least),
                    at_most: sum_known(segments.iter().map(|report| report.lost.at_most)),
                },
                sum(|report| report.blocks),
                sum(|report| report.records),
                sum(|report| report.payload_bytes),
                0,
            ),
        };
        LogReport {
            log_id,
            segments,
            missing,
            unread,
            sessions,
            blocks,
            records,
            payload_bytes,
            skipped_records,
            file_bytes,
            stored_bytes,
            lost,
        }
    }

    /// Whether no segment is damaged, missing or unread, and no record is lost.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
            && self.unread.is_empty()
            && self.lost.is_none()
            && self.segments.iter().all(Report::is_whole)
    }

    /// The sum of the drops that the sessions declare.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.sessions
            .iter()
            .fold(Dropped::default(), |sum, session| sum.zip(session.dropped, u64::saturating_add))
    }
}
