//! Parts of a log by their metadata alone.

use std::time::SystemTime;

use super::{block::numbers, loaded::Loaded};
use crate::{
    Dropped,
    format::{RECORD_HEADER, time::from_nanoseconds},
    probe::{Body, Part},
};

/// A part of a log as its metadata shows it, without the records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// When the part was made: for a block, when it was sealed. `None` in files of the original, which have no times.
    pub time: Option<SystemTime>,
    /// Number of the segment that the part is in; 0 in files of the original.
    pub segment: u64,
    /// The session that wrote the part; 0 in files of the original.
    pub session: u64,
    /// The offset of the part in its file, in bytes.
    pub offset: u64,
    /// What the part is.
    pub kind: HeadKind,
}

/// What a part of a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadKind {
    /// A session begins here, or goes on in this segment.
    #[non_exhaustive]
    Start {
        /// Whether the session has blocks before this place.
        continues: bool,
    },
    /// A block of records; in a file of the original, a shard.
    #[non_exhaustive]
    Block {
        /// The shard whose buffer the block was.
        shard: u32,
        /// Number of the block in its session; see [`Block::sequence`](super::Block::sequence). Two blocks of one session
        /// with one number are one block that was written twice.
        sequence: u64,
        /// When the first record of the block was logged; `None` if the records have no times of their own.
        begin: Option<SystemTime>,
        /// The latest time of a record of the block; `None` if the records have no times of their own, or if damage has taken
        /// them. Where it is `None`, [`ReadOptions::since`](super::ReadOptions::since) goes by the time of the block.
        latest: Option<SystemTime>,
        /// The number of records in the block, damaged ones included. If the end of the file cuts the block, these are the
        /// records that are there; if the block was read in part in the segment before, these are the others.
        records: u64,
        /// Bytes of these records.
        payload_bytes: u64,
        /// Records that the shard has refused in the session up to here.
        dropped: Dropped,
    },
    /// The totals of a session up to here.
    #[non_exhaustive]
    Totals {
        /// Whether the session leaves this file here, closed or for the next segment.
        is_end: bool,
        /// Whether the session is over.
        closed: bool,
        /// Records that all shards have refused in the session up to here.
        dropped: Dropped,
        /// Records of the session that were written after the death of its process.
        salvaged: u64,
    },
}

impl Head {
    /// `fresh` are the new records of a block, and their bytes.
    pub(super) fn of(part: &Part, fresh: (u64, u64)) -> Head {
        let kind = match &part.body {
            Body::Start { first_sequence, .. } => {
                HeadKind::Start { continues: *first_sequence > 0 }
            }
            Body::Block { info, times, .. } => {
                let first = times.iter().min().or(Some(&0));
                let begin = info.scale.zip(first).map(|(scale, first)| scale.time(*first));
                let latest = info.scale.zip(times.iter().max());
                let latest = latest.map(|(scale, latest)| scale.time(*latest));
                HeadKind::Block {
                    shard: info.shard,
                    sequence: info.sequence,
                    begin: begin.map(from_nanoseconds),
                    latest: latest.map(from_nanoseconds),
                    records: fresh.0,
                    payload_bytes: fresh.1,
                    dropped: info.dropped,
                }
            }
            Body::Totals { totals, is_end } => HeadKind::Totals {
                is_end: *is_end,
                closed: totals.session_over,
                dropped: totals.dropped,
                salvaged: totals.salvaged,
            },
        };
        Head {
            time: Some(from_nanoseconds(part.prefix.time)),
            segment: part.prefix.segment,
            session: part.prefix.session,
            offset: part.begin().unwrap_or(part.offset),
            kind,
        }
    }

    pub(super) fn of_shard(loaded: &Loaded) -> Head {
        let Loaded { meta, data, runs, .. } = loaded;
        let records: u64 = numbers(data, runs).iter().map(|run| run.end - run.start).sum();
        let bytes: u64 = runs.iter().map(|run| (run.end - run.start) as u64).sum();
        let kind = HeadKind::Block {
            shard: meta.shard,
            sequence: meta.sequence,
            begin: None,
            latest: None,
            records,
            payload_bytes: bytes.saturating_sub(RECORD_HEADER as u64 * records),
            dropped: Dropped::default(),
        };
        Head { time: None, segment: 0, session: 0, offset: meta.offset, kind }
    }
}
