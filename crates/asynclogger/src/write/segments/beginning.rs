//! With which place and numbers a session begins in a file.

use super::segment::Segment;
use crate::{
    Error,
    format::{Lineage, LogId},
    io::{Alignment, random},
};

/// The first blocks of a session in the file with which it begins.
#[derive(Clone, Copy, Default)]
pub(super) struct FirstBlocks {
    /// The sequence of the first one.
    pub(super) sequence: u64,
    /// The alignment for which they were made; `None`: they will be made for the file's.
    pub(super) align: Option<usize>,
}

/// The place and the numbers with which a session begins in a file.
pub(super) struct Beginning {
    pub(super) lineage: Lineage,
    pub(super) previous: u64,
    pub(super) first_sequence: u64,
    pub(super) offset: u64,
    /// Identity and length of the existing file; `None`: the file is made.
    pub(super) expected: Option<((u64, u64), u64)>,
    /// The permissions of a new file; `None`: those of the config.
    pub(super) mode: Option<u32>,
    pub(super) alignment: Alignment,
}

impl Beginning {
    /// Begins the segment after `old`, with a number greater than all seen ones.
    pub(super) fn following(
        old: &Segment,
        last_seen: u64,
        first_sequence: u64,
        expected: Option<((u64, u64), u64)>,
    ) -> Beginning {
        let Lineage { log_id, segment } = old.lineage();
        Beginning {
            lineage: Lineage { log_id, segment: segment.max(last_seen).saturating_add(1) },
            previous: segment,
            first_sequence,
            offset: 0,
            expected,
            mode: old.mode(),
            alignment: Alignment::Buffers(old.align()),
        }
    }

    /// Begins a new segment after the last known one, or the first of a new log.
    pub(super) fn of_log(
        last: Option<Lineage>,
        expected: Option<((u64, u64), u64)>,
    ) -> Result<Beginning, Error> {
        let (lineage, previous) = match last {
            Some(Lineage { log_id, segment }) => {
                (Lineage { log_id, segment: segment.saturating_add(1) }, segment)
            }
            None => (Lineage { log_id: LogId(random()?), segment: 1 }, 0),
        };
        let alignment = Alignment::Device;
        let (first_sequence, offset, mode) = (0, 0, None);
        Ok(Beginning { lineage, previous, first_sequence, offset, expected, mode, alignment })
    }
}
