//! The report on a whole log.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{
    history::History,
    ledger::sum_known,
    report::{Loss, Report, SessionReport, SessionState},
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
        mut segments: Vec<Report>,
        missing: Vec<RangeInclusive<u64>>,
        unread: Vec<Error>,
        history: Option<History>,
    ) -> LogReport {
        let sum = |segments: &[Report], of: fn(&Report) -> u64| {
            segments.iter().map(of).fold(0, u64::saturating_add)
        };
        let file_bytes = sum(&segments, |report| report.file_bytes);
        let stored_bytes = sum(&segments, |report| report.stored_bytes);
        let (sessions, lost, blocks, records, payload_bytes, skipped_records) = match history {
            Some(history) => {
                let mut sessions = history.sessions();
                set_states(&mut segments, &mut sessions);
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
                    at_least: sum(&segments, |report| report.lost.at_least),
                    at_most: sum_known(segments.iter().map(|report| report.lost.at_most)),
                },
                sum(&segments, |report| report.blocks),
                sum(&segments, |report| report.records),
                sum(&segments, |report| report.payload_bytes),
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

    /// The sum of the salvaged records that the sessions declare.
    #[must_use]
    pub fn salvaged(&self) -> u64 {
        self.sessions.iter().fold(0, |sum, session| sum.saturating_add(session.salvaged))
    }
}

/// Sets the states of the sessions over all segments. A segment alone does not show that a session without an end in
/// that segment continues in the next one, or that the next one begins with another session.
fn set_states(segments: &mut [Report], sessions: &mut [SessionReport]) {
    for at in 1..segments.len() {
        let Some([this, next]) = segments.get_mut(at - 1..=at) else { continue };
        let is_next = this.segment == next.previous_segment;
        let has_no_end = this.is_complete && !this.has_damaged_end();
        let begins = next.sessions.first().map(|first| first.session);
        let Some(last) = this.sessions.last_mut().filter(|last| !last.state.has_end()) else {
            continue;
        };
        if begins == Some(last.session) {
            last.state = SessionState::Continued;
        } else if is_next && has_no_end && begins.is_some() {
            last.state = SessionState::Died;
        }
    }
    let states = segments.iter().flat_map(|report| &report.sessions);
    let states: BTreeMap<u64, SessionState> =
        states.map(|session| (session.session, session.state)).collect();
    for session in sessions {
        session.state = match states.get(&session.session) {
            _ if session.closed => SessionState::Closed,
            found => found.copied().unwrap_or_default(),
        };
    }
}
