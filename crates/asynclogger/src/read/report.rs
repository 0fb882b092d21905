//! What reading found: counts, damage, losses.

use std::{fmt, path::PathBuf, time::SystemTime};

use crate::{Dropped, LogId, probe::Source};

/// Damage beyond this many entries is only counted, so that a report stays small whatever the file is.
pub(super) const MAX_DAMAGE: usize = 1000;

/// Which rule leads from one shard header of the original's files to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// Found out from the file. The default.
    #[default]
    Auto,
    /// The next header is on the sector boundary after the valid bytes, as the original is described.
    Seed,
    /// The next header is `capacity` bytes after this one, as the original's readers have it.
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

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A log of this project.
    #[non_exhaustive]
    Native {
        /// Version of the format.
        version: u32,
    },
    /// A file of the original, or a file that was read by its rules because the caller said so.
    #[non_exhaustive]
    Original {
        /// The rule it was read by; never [`Layout::Auto`].
        layout: Layout,
    },
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// With a valid end: it was closed or archived.
    Clean,
    /// With something whole, but without an end: it is being written, its writer died, or it is a file of
    /// the original, which has no ends.
    Open,
    /// With something that is not whole.
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

/// How many records are gone: a number, or the range in which it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Loss {
    /// So many at least.
    pub at_least: u64,
    /// So many at most; `None`: nothing tells.
    pub at_most: Option<u64>,
}

impl Loss {
    /// Exactly `records`.
    #[must_use]
    pub const fn exact(records: u64) -> Loss {
        Loss { at_least: records, at_most: Some(records) }
    }

    /// At least `at_least`; `more` on top of that, if it is known how many there can be.
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

    /// Whether it is known that nothing is gone.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Loss::exact(0)
    }

    /// Whether the number is known.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.at_most == Some(self.at_least)
    }

    /// Whether `records` can be the number.
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

/// What is wrong with a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// A checksum over records is wrong, or the records contradict their table.
    Chunk,
    /// A start, head, tail, note or end is damaged; no record is harmed by that.
    Metadata,
    /// A valid part of this file at another place than its own.
    Misplaced,
    /// A block that was read already.
    Duplicate,
    /// A valid part of another file.
    Foreign,
    /// In a log that is read as a whole: what could not be written here, or not all of it, was written again in
    /// the next segment, which begins with that. It is no damage to the log.
    Repeated,
    /// Nothing valid, and something valid after it. With a length of 0: nothing is there, and the numbers
    /// of the records say that something was.
    Gap,
    /// Nothing valid, and nothing valid after it: the file was cut, or is being written.
    TornTail,
    /// In a compressed segment: a frame that cannot be decompressed, or not all of it. What that cost is told
    /// by the other entries: bytes that could not be had count as zeros.
    Frame,
    /// In a compressed segment: the table at its end is damaged or missing. The rest was found without it;
    /// but if it was cut, nothing tells whether frames were cut off with it.
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
    /// Where it begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// How many bytes of the file it takes.
    pub len: u64,
    /// What is wrong.
    pub kind: DamageKind,
    /// The records that are gone by it. A loss that the numbering cannot ascribe to one of several parts
    /// stands with the first of them; the totals of the report count every lost record once.
    pub lost: Loss,
}

/// What a note or an end says of its session: the totals up to its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declared {
    /// Records that the logger wrote, in all segments: with the drops, all that it was offered.
    pub records: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// Those of the records that are in this segment.
    pub segment_records: u64,
    /// Blocks that the session wrote, in all segments.
    pub blocks: u64,
}

/// One run of one logger, as far as it is in what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionReport {
    /// Its random id.
    pub session: u64,
    /// Blocks found.
    pub blocks: u64,
    /// Records found.
    pub records: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// Records that were written and are gone.
    pub lost: Loss,
    /// Records that were not asked for: see [`ReadOptions::since`](super::ReadOptions::since).
    pub skipped_records: u64,
    /// What the last note or end says. Of one file that ends the session or the segment,
    /// `declared.segment_records = records + skipped_records + lost`; of a whole log, the same holds of
    /// `declared.records`, but for records in segments that retention deleted from its beginning.
    pub declared: Option<Declared>,
    /// Records that the logger refused and never wrote, as far as the file declares them.
    pub dropped: Dropped,
    /// Whether an end says that the session is over.
    pub closed: bool,
}

/// What reading one file found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Report {
    /// The file; empty for memory.
    pub path: PathBuf,
    /// What kind of file it is.
    pub format: Format,
    /// The log that it is a segment of; `None`: of the original, empty, or damaged beyond telling.
    pub log_id: Option<LogId>,
    /// Number of the segment in its log, from 1; 0: not known.
    pub segment: u64,
    /// Number of the segment before it; 0: none, or not known.
    pub previous_segment: u64,
    /// Name of the logger or event, as bytes; empty if the start is damaged.
    pub name: Vec<u8>,
    /// The sessions in it, in order.
    pub sessions: Vec<SessionReport>,
    /// Blocks found; shards with records in a file of the original.
    pub blocks: u64,
    /// Records found.
    pub records: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// Blocks that were not asked for; nothing is counted of them but their records, by their heads.
    pub skipped_blocks: u64,
    /// Records in them.
    pub skipped_records: u64,
    /// Length of the file, in bytes; of a compressed one, of what it was made from. All offsets are in that.
    pub file_bytes: u64,
    /// Bytes that the file has on the medium: fewer than `file_bytes` if it is compressed.
    pub stored_bytes: u64,
    /// Least time of sealing of its blocks; `None` without any, and in files of the original.
    pub first_time: Option<SystemTime>,
    /// Greatest time of sealing; `None` as `first_time`.
    pub last_time: Option<SystemTime>,
    /// How it ends; of a file not read to its end: `Open`.
    pub ending: Ending,
    /// What is wrong with it, in the order of finding; at most 1000 entries.
    pub damage: Vec<Damage>,
    /// Damage beyond those entries.
    pub damage_left_out: u64,
    /// All records that are gone, each counted once.
    pub lost: Loss,
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
        }
    }

    /// Whether nothing is damaged and nothing lost. A file without an end can be whole; see
    /// [`ending`](Report::ending).
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage_count() == 0 && self.lost.is_none()
    }

    /// How many places are damaged, without those that are [`DamageKind::Repeated`].
    #[must_use]
    pub fn damage_count(&self) -> u64 {
        let damage = self.damage.iter().filter(|damage| damage.kind != DamageKind::Repeated);
        damage.count() as u64 + self.damage_left_out
    }

    /// Bytes of the file that are no bytes of records: lengths, metadata, padding, damage.
    #[must_use]
    pub fn overhead_bytes(&self) -> u64 {
        self.file_bytes.saturating_sub(self.payload_bytes)
    }

    /// All drops that the sessions declare.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.sessions
            .iter()
            .fold(Dropped::default(), |sum, session| sum.zip(session.dropped, u64::saturating_add))
    }

    /// Adds an entry; its index, unless there are too many.
    pub(super) fn add_damage(&mut self, damage: Damage) -> Option<usize> {
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(damage);
            Some(self.damage.len() - 1)
        } else {
            self.damage_left_out += 1;
            None
        }
    }

    /// Turns damage into what was only repeated, and cost nothing.
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
}
