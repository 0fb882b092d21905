//! The times of the blocks ahead, by their heads.

use super::selection::Selection;
use crate::{
    format::BlockInfo,
    probe::{Body, Part},
};

/// A block ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// The segment of the block, and its offset there.
    pub(super) place: (u64, u64),
    /// The least time of a selected record of it.
    pub(super) first: i64,
    /// The number of its selected records, damaged ones included.
    pub(super) records: u64,
}

impl Ahead {
    /// A block of which `records` are selected; `None` if no record is.
    pub(super) fn of(
        selection: &Selection,
        part: &Part,
        info: &BlockInfo,
        (offset, records): (u64, u64),
    ) -> Option<Ahead> {
        let own = part.prefix.time;
        let first = match (info.scale, &part.body) {
            (Some(scale), Body::Block { times, .. }) if !times.is_empty() => {
                // Not the first one's: an event's block has the records of several threads.
                let admits =
                    |entry: &&u32| selection.is_all() || selection.admits(scale.time(**entry));
                times.iter().filter(admits).min().map(|entry| scale.time(*entry))
            }
            _ => selection.admits(own).then_some(own),
        };
        let place = (part.prefix.segment, offset);
        first.filter(|_| records > 0).map(|first| Ahead { place, first, records })
    }

    /// A segment whose blocks are not known: each can have a record of any time.
    pub(super) fn unknown(segment: u64) -> Ahead {
        Ahead { place: (segment, u64::MAX), first: i64::MIN, records: 0 }
    }
}
