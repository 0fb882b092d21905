//! The numbers of one shard of a log.

use super::words::{TRACK, checked};
use crate::format::{DROP_REASONS, Dropped};

/// The numbers of one shard behind the last of its buffers that has a place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::write) struct Track {
    pub(in crate::write) next_generation: u64,
    pub(in crate::write) next_record: u64,
    /// Drops that the shard's blocks have reported.
    pub(in crate::write) declared: Dropped,
}

impl Track {
    pub(super) fn encode(&self) -> [u64; TRACK] {
        let mut words = [0; TRACK];
        (words[0], words[1]) = (self.next_generation, self.next_record);
        words[2..2 + DROP_REASONS].copy_from_slice(&self.declared.to_array());
        words[TRACK - 1] = checked(&words[..TRACK - 1]);
        words
    }

    /// The track of these words. The inner `None`: the words do not belong together. They are stored behind the entry
    /// of a block, and its writer can have died in between.
    pub(super) fn decode(words: &[u64]) -> Option<Option<Track>> {
        let words: &[u64; TRACK] = words.try_into().ok()?;
        let declared = words[2..2 + DROP_REASONS].try_into().ok()?;
        let declared = Dropped::from_array(declared);
        let found = |next_generation| Track { next_generation, next_record: words[1], declared };
        // The last store, of the generation, can be missing: of a buffer without records, which has no entry.
        let before = found(words[0].wrapping_add(1)).encode()[TRACK - 1] == words[TRACK - 1];
        let is_whole = *words == [0; TRACK] || *words == found(words[0]).encode() || before;
        Some(is_whole.then(|| found(words[0])))
    }
}
