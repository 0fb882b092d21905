//! The result of reading: counts, damage and losses.

use std::{fmt, path::PathBuf, time::SystemTime};

use crate::{Dropped, LogId, format::GivenUp, probe::Source};

/// The most entries of damage in a report. Further damage is only counted, so that the report of any file
/// stays small.
pub(super) const MAX_DAMAGE: usize = 1000;

/// The rule that leads from one shard header to the next in a file of the original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// The reader finds the rule from the file. The default.
    #[default]
    Auto,
    /// The next header is on the sector boundary after the valid bytes, as in the original's description.
    Seed,
    /// The next header is `capacity` bytes after this one, as in the original's readers.
    Capacity,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Layout::Auto => "auto",
            Layout::Seed => "seed",
            Layout::Capacity => "capacity",
        })
    }
}

/// The kind of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A log of this library.
    #[non_exhaustive]
    Native {
        /// Version of the format.
        version: u32,
    },
    /// A file of the original, or a file that was read by the original's rules because the caller asked for
    /// that.
    #[non_exhaustive]
    Original {
        /// The rule by which the file was read; never [`Layout::Auto`].
        layout: Layout,
    },
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The file ends with a valid end: it was closed or archived.
    Clean,
    /// The file ends with a whole part, but without an end: it is being written, or its writer died, or it is
    /// a file of the original, which has no ends.
    Open,
    /// The file ends with a part that is not whole.
    Torn,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Ending::Clean => "clean",
            Ending::Open => "open",
            Ending::Torn => "torn",
        })
    }
}

/// The number of lost records: an exact number, or the range in which the number lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Loss {
    /// The least possible number.
    pub at_least: u64,
    /// The greatest possible number; `None` if nothing in the file limits the number.
    pub at_most: Option<u64>,
}

impl Loss {
    /// Exactly `records`.
    #[must_use]
    pub const fn exact(records: u64) -> Loss {
        Loss { at_least: records, at_most: Some(records) }
    }

    /// At least `at_least`, and at most `more` on top, if `more` is known.
    pub(super) fn range(at_least: u64, more: Option<u64>) -> Loss {
        Loss { at_least, at_most: more.map(|more| at_least.saturating_add(more)) }
    }

    fn subtract(&mut self, less: Loss) {
        self.at_least = self.at_least.saturating_sub(less.at_least);
        self.at_most = match (self.at_most, less.at_most) {
            (Some(most), Some(less)) => Some(most.saturating_sub(less).max(self.at_least)),
            (most, _) => most,
        };
    }

    /// Whether it is certain that no record is lost.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Loss::exact(0)
    }

    /// Whether the number is exact.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.at_most == Some(self.at_least)
    }

    /// Whether `records` lies in the range.
    #[must_use]
    pub fn admits(&self, records: u64) -> bool {
        self.at_least <= records && self.at_most.is_none_or(|most| records <= most)
    }
}

impl Default for Loss {
    /// Nothing.
    fn default() -> Loss {
        Loss::exact(0)
    }
}

impl fmt::Display for Loss {
    /// `3`, `0 to 819` or `at least 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at_most {
            Some(most) if most == self.at_least => write!(f, "{most}"),
            Some(most) => write!(f, "{} to {most}", self.at_least),
            None => write!(f, "at least {}", self.at_least),
        }
    }
}

/// The kind of damage to a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// A checksum over records does not match, or the records contradict their table.
    Chunk,
    /// A start, head, tail, note or end is damaged; no record is lost by that.
    Metadata,
    /// A valid part of this file stands at a place that is not its own.
    Misplaced,
    /// A block that was read already.
    Duplicate,
    /// A valid part of another file.
    Foreign,
    /// In a log that is read as a whole: a part that could not be written here, or not completely, was
    /// written again at the beginning of the next segment. The log is not damaged.
    Repeated,
    /// A region without a valid part, followed by a valid part. With a length of 0: the region is empty, but
    /// the numbers of the records show that records are missing.
    Gap,
    /// A region without a valid part up to the end of the file: the file was cut, or is being written.
    TornTail,
    /// In a compressed segment: a frame that cannot be decompressed, or not completely. The missing bytes are
    /// read as zeros, and the other entries of the report show the records lost by that.
    Frame,
    /// In a compressed segment: the table at the end is damaged or missing. The frames were found without the
    /// table, but if the table was cut off, frames may have been cut off with it.
    SeekTable,
    /// In a file of the original: a record's length is impossible.
    BadLength,
    /// In a file of the original: a shard header is impossible.
    BadHeader,
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DamageKind::Chunk => "chunk",
            DamageKind::Metadata => "metadata",
            DamageKind::Misplaced => "misplaced",
            DamageKind::Duplicate => "duplicate",
            DamageKind::Foreign => "foreign",
            DamageKind::Repeated => "repeated",
            DamageKind::Gap => "gap",
            DamageKind::TornTail => "torn tail",
            DamageKind::Frame => "frame",
            DamageKind::SeekTable => "seek table",
            DamageKind::BadLength => "bad length",
            DamageKind::BadHeader => "bad header",
        })
    }
}

/// One damaged part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Damage {
    /// Offset of the damaged part in the file, in bytes.
    pub offset: u64,
    /// Length of the damaged part, in bytes.
    pub len: u64,
    /// The kind of the damage.
    pub kind: DamageKind,
    /// The records that are lost by the damage. A loss that the numbering cannot assign to one of several
    /// parts is given with the first of them. The totals of the report count every lost record once.
    pub lost: Loss,
}

/// The totals that a note or an end declares for its session, up to its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declared {
    /// Records that the logger wrote in all segments. Together with the drops, these are all records that the
    /// logger was offered.
    pub records: u64,
    /// Bytes of these records.
    pub payload_bytes: u64,
    /// Those of the records that are in this segment.
    pub segment_records: u64,
    /// Blocks that the session wrote, in all segments.
    pub blocks: u64,
}

/// Whether a session is over, as far as the files and the lock of the log show.
///
/// Neither a log that is being written nor a session that died is damage. The lock is looked at, on Linux, when the end
/// of a file is reached; a manager has one lock for the logs of all its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionState {
    /// There is no end, or none was read yet, and nothing shows whether the session's writer lives: the lock of the log
    /// is not beside the file, because the file was copied or moved while it was written, for example.
    #[default]
    Open,
    /// There is no end, and a logger writes the log now.
    Live,
    /// There is no end, and no logger writes the log: the writer died. Records of its last interval may be missing. (A
    /// logger that left this directory for its [failover directory](crate::Config::failover_dir), and was closed there,
    /// looks the same; and so does a file whose end was cut off.)
    Died,
    /// The session continues in the next segment.
    Continued,
    /// An end declares that the session is over.
    Closed,
}

impl SessionState {
    /// Whether the session has an end, here or in a later segment.
    pub(super) fn has_end(self) -> bool {
        matches!(self, SessionState::Continued | SessionState::Closed)
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SessionState::Open => "open",
            SessionState::Live => "live",
            SessionState::Died => "died",
            SessionState::Continued => "continued",
            SessionState::Closed => "closed",
        })
    }
}

/// The report on one session, that is, one run of one logger, as far as the session is in the part that was
/// read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionReport {
    /// The random id of the session.
    pub session: u64,
    /// Blocks found.
    pub blocks: u64,
    /// Records found.
    pub records: u64,
    /// Bytes of these records.
    pub payload_bytes: u64,
    /// Records that were written and are lost.
    pub lost: Loss,
    /// Records that were not selected; see [`ReadOptions::since`](super::ReadOptions::since).
    pub skipped_records: u64,
    /// The totals of the last note or end. In a file that ends with the session or the segment,
    /// `declared.segment_records = records + skipped_records + lost`. In a whole log the same sum is
    /// `declared.records`, less the records in segments that retention deleted from the beginning of the log.
    pub declared: Option<Declared>,
    /// Records that the logger refused and never wrote, as far as the file declares them.
    pub dropped: Dropped,
    /// Records that were written after the death of the session's process, out of the memory that the process left
    /// ([`Config::crash_safe`](crate::Config::crash_safe)), as far as the file declares them.
    pub salvaged: u64,
    /// Whether the file was written by a [`repair`](super::repair) of a damaged one.
    pub repaired: bool,
    /// Records of the session, at least, that had been lost before that repair. They do not count as lost in the repaired
    /// file.
    pub given_up: u64,
    /// Whether an end declares that the session is over.
    pub closed: bool,
    /// The same, and what is known of a session without an end.
    pub state: SessionState,
}

/// The result of reading one file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Report {
    /// The path of the file; empty for a file in memory.
    pub path: PathBuf,
    /// The kind of the file.
    pub format: Format,
    /// The id of the log that the file is a segment of; `None` if the file is one of the original, empty, or
    /// too damaged to show an id.
    pub log_id: Option<LogId>,
    /// Number of the segment in its log, from 1; 0 if it is not known.
    pub segment: u64,
    /// Number of the segment before this one; 0 if there is none or the number is not known.
    pub previous_segment: u64,
    /// Name of the logger or event, as bytes; empty if the start is damaged.
    pub name: Vec<u8>,
    /// The sessions in the file, in order.
    pub sessions: Vec<SessionReport>,
    /// Blocks found; in a file of the original, shards with records.
    pub blocks: u64,
    /// Records found.
    pub records: u64,
    /// Bytes of these records.
    pub payload_bytes: u64,
    /// Blocks that were not selected. Only their records are counted, by the heads of the blocks.
    pub skipped_blocks: u64,
    /// Records that were not selected, in these blocks and in others.
    pub skipped_records: u64,
    /// Length of the file, in bytes; for a compressed file, the length before compression. All offsets refer
    /// to that length.
    pub file_bytes: u64,
    /// Length of the file on the medium, in bytes: less than `file_bytes` if the file is compressed.
    pub stored_bytes: u64,
    /// The earliest sealing time of the blocks; `None` if the file has no blocks or is a file of the
    /// original.
    pub first_time: Option<SystemTime>,
    /// The latest sealing time of the blocks; `None` in the same cases as `first_time`.
    pub last_time: Option<SystemTime>,
    /// How the file ends; `Open` if it was not read to its end.
    pub ending: Ending,
    /// The damaged parts of the file, in the order in which they were found; at most 1000 entries.
    pub damage: Vec<Damage>,
    /// The number of damaged parts beyond these entries.
    pub damage_left_out: u64,
    /// All lost records, each counted once.
    pub lost: Loss,
    /// Whether the file was read to its end.
    pub(super) is_complete: bool,
}

impl Report {
    pub(super) fn new(source: &Source, format: Format) -> Report {
        Report {
            path: source.path().to_path_buf(),
            format,
            log_id: None,
            segment: 0,
            previous_segment: 0,
            name: Vec::new(),
            sessions: Vec::new(),
            blocks: 0,
            records: 0,
            payload_bytes: 0,
            skipped_blocks: 0,
            skipped_records: 0,
            file_bytes: source.len(),
            stored_bytes: source.stored(),
            first_time: None,
            last_time: None,
            ending: Ending::Open,
            damage: Vec::new(),
            damage_left_out: 0,
            lost: Loss::exact(0),
            is_complete: false,
        }
    }

    /// Whether no part is damaged and no record is lost. A file without an end can be whole; see
    /// [`ending`](Report::ending).
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage_count() == 0 && self.lost.is_none()
    }

    /// The number of damaged parts, without those of the kind [`DamageKind::Repeated`].
    #[must_use]
    pub fn damage_count(&self) -> u64 {
        let damage = self.damage.iter().filter(|damage| damage.kind != DamageKind::Repeated);
        damage.count() as u64 + self.damage_left_out
    }

    /// Bytes of the file that do not belong to records: lengths, metadata, padding, damage.
    #[must_use]
    pub fn overhead_bytes(&self) -> u64 {
        self.file_bytes.saturating_sub(self.payload_bytes)
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

    /// Whether the last part of the file is a start, note or end that is damaged.
    pub(super) fn has_damaged_end(&self) -> bool {
        let last = self.damage.last().filter(|_| self.ending == Ending::Torn);
        self.damage_left_out > 0 || last.is_some_and(|last| last.kind == DamageKind::Metadata)
    }

    /// Adds an entry and returns its index; `None` if the report is full.
    pub(super) fn add_damage(&mut self, damage: Damage) -> Option<usize> {
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(damage);
            Some(self.damage.len() - 1)
        } else {
            self.damage_left_out += 1;
            None
        }
    }

    /// Turns a damage into one that was only repeated and that cost no records.
    pub(super) fn settle_damage(&mut self, index: usize, session: u64) {
        let Some(damage) = self.damage.get_mut(index) else { return };
        let lost = std::mem::replace(&mut damage.lost, Loss::exact(0));
        damage.kind = DamageKind::Repeated;
        let is_all = self.damage.iter().all(|damage| damage.lost.is_none());
        let less = |from: &mut Loss| match is_all {
            true => *from = Loss::exact(0),
            false => from.subtract(lost),
        };
        less(&mut self.lost);
        self.sessions
            .iter_mut()
            .filter(|it| it.session == session)
            .for_each(|it| less(&mut it.lost));
    }

    pub(super) fn add_block(&mut self, records: u64, payload: u64, time: SystemTime) {
        self.blocks += 1;
        self.records = self.records.saturating_add(records);
        self.payload_bytes = self.payload_bytes.saturating_add(payload);
        self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
        self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
    }

    /// Notes that the file has a block of this version of the format.
    pub(super) fn note_version(&mut self, met: u32) {
        if let Format::Native { version } = &mut self.format {
            *version = met.max(*version);
        }
    }

    /// Counts records of a block as not selected that were counted as found.
    pub(super) fn leave_out(&mut self, session: u64, records: u64, payload: u64) {
        self.records = self.records.saturating_sub(records);
        self.payload_bytes = self.payload_bytes.saturating_sub(payload);
        self.skipped_records = self.skipped_records.saturating_add(records);
        // The session is the last one that a block was found of.
        if let Some(report) = self.sessions.iter_mut().rfind(|it| it.session == session) {
            report.leave_out(records, payload);
        }
    }
}

impl SessionReport {
    pub(super) fn note_repair(&mut self, repaired: Option<GivenUp>) {
        if let Some(given_up) = repaired {
            self.repaired = true;
            self.given_up = self.given_up.max(given_up.records);
        }
    }

    /// Counts records as not selected that were counted as found.
    pub(super) fn leave_out(&mut self, records: u64, payload: u64) {
        self.records = self.records.saturating_sub(records);
        self.payload_bytes = self.payload_bytes.saturating_sub(payload);
        self.skipped_records = self.skipped_records.saturating_add(records);
    }
}
