//! The numbers of one shard of a log.

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
    /// All but the generation, as words.
    pub(super) fn numbers(&self) -> [u64; 1 + DROP_REASONS] {
        let mut words = [self.next_record; 1 + DROP_REASONS];
        words[1..].copy_from_slice(&self.declared.to_array());
        words
    }

    pub(super) fn decode(words: &[u64]) -> Option<Track> {
        let [next_generation, next_record, declared @ ..] = words else {
            return None;
        };
        let declared = Dropped::from_array(declared.try_into().ok()?);
        Some(Track { next_generation: *next_generation, next_record: *next_record, declared })
    }
}
