//! The two packed words of the swap protocol, as values with pure transitions: no atomics here, so that
//! ordinary tests cover every state and event. `docs/concurrency.md` draws them.

use std::fmt;

const BUFFER_BITS: u32 = 18;
const GENERATION_BITS: u32 = 44;
const BUFFER_MASK: u64 = (1 << BUFFER_BITS) - 1;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

/// The most buffers of a pool: one index less than the bits allow, since 0 means none.
pub(super) const MAX_BUFFERS: usize = BUFFER_MASK as usize;
/// Shards' numbers share the width of the buffers' in [`BufferState`].
const _: () = assert!(2 * crate::Config::MAX_SHARDS <= MAX_BUFFERS);

/// The state of a shard: `{ active buffer or none, generation, claimed, open }`.
///
/// The zero word is closed and has no buffer. A forked child finds this word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ShardWord(u64);

impl ShardWord {
    const OPEN: u64 = 1;
    const CLAIMED: u64 = 1 << 1;
    const BUFFER_SHIFT: u32 = 2;
    const GENERATION_SHIFT: u32 = Self::BUFFER_SHIFT + BUFFER_BITS;

    /// A new shard: `{ none, 0, unclaimed, open }`.
    pub(super) const NEW: ShardWord = ShardWord(Self::OPEN);

    /// A shard that is closed, has no buffer, and has sealed this many.
    pub(super) const fn ended(generation: u64) -> ShardWord {
        ShardWord((generation & GENERATION_MASK) << Self::GENERATION_SHIFT)
    }

    pub(super) const fn from_bits(bits: u64) -> ShardWord {
        ShardWord(bits)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the shard still takes records.
    pub(super) const fn is_open(self) -> bool {
        self.0 & Self::OPEN != 0
    }

    /// Whether a writer holds a claim of the shard.
    pub(super) const fn is_claimed(self) -> bool {
        self.0 & Self::CLAIMED != 0
    }

    /// Whether a writer can claim the shard: open and unclaimed, in one comparison.
    #[inline]
    pub(super) const fn is_claimable(self) -> bool {
        self.0 & (Self::OPEN | Self::CLAIMED) == Self::OPEN
    }

    /// The number of the active buffer; the pool makes an index of it.
    #[inline]
    pub(super) const fn buffer(self) -> Option<u32> {
        match (self.0 >> Self::BUFFER_SHIFT) & BUFFER_MASK {
            0 => None,
            number => Some((number - 1) as u32),
        }
    }

    /// How many buffers the shard has sealed.
    pub(super) const fn generation(self) -> u64 {
        self.0 >> Self::GENERATION_SHIFT
    }

    /// The word after a writer has claimed the shard.
    #[inline]
    pub(super) const fn claimed(self) -> ShardWord {
        ShardWord(self.0 | Self::CLAIMED)
    }

    /// The word after a writer has ended its claim.
    #[inline]
    pub(super) const fn released(self) -> ShardWord {
        ShardWord(self.0 & !Self::CLAIMED)
    }

    /// The word after the active buffer was given up for good: `{ none, generation + 1 }`, and the same flags.
    pub(super) const fn sealed(self) -> ShardWord {
        let next = (self.generation() + 1) & GENERATION_MASK;
        let flags = self.0 & (Self::OPEN | Self::CLAIMED);
        ShardWord(next << Self::GENERATION_SHIFT | flags)
    }

    /// The word after a free buffer has become the active one.
    pub(super) const fn with_buffer(self, number: u32) -> ShardWord {
        let without = self.0 & !(BUFFER_MASK << Self::BUFFER_SHIFT);
        ShardWord(without | (number as u64 + 1) << Self::BUFFER_SHIFT)
    }

    /// The word of a closed shard: no claim succeeds after it.
    pub(super) const fn closed(self) -> ShardWord {
        ShardWord(self.0 & !Self::OPEN)
    }
}

impl fmt::Debug for ShardWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.buffer() {
            Some(buffer) => write!(f, "{{ active: {buffer}")?,
            None => f.write_str("{ active: none")?,
        }
        write!(f, ", generation: {}", self.generation())?;
        write!(f, ", claimed: {}, open: {} }}", self.is_claimed(), self.is_open())
    }
}

/// The state of a buffer. It is stored in one word, so that a thread that sees SEALED also sees the buffer's shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BufferState {
    /// In the free stack, or on the way into or out of it.
    Free,
    /// The active buffer of a shard: the holder of the claim can write to it.
    Active { shard: u32, generation: u64 },
    /// Full or given up: no writer touches it any more, and the flusher can take it.
    Sealed { shard: u32, generation: u64 },
    /// The flusher has it, until it is free.
    Writing { shard: u32, generation: u64 },
}

impl BufferState {
    const ACTIVE: u64 = 1;
    const SEALED: u64 = 2;
    const WRITING: u64 = 3;
    const SHARD_SHIFT: u32 = 2;
    const GENERATION_SHIFT: u32 = Self::SHARD_SHIFT + BUFFER_BITS;

    pub(super) const fn bits(self) -> u64 {
        let (kind, shard, generation) = match self {
            BufferState::Free => return 0,
            BufferState::Active { shard, generation } => (Self::ACTIVE, shard, generation),
            BufferState::Sealed { shard, generation } => (Self::SEALED, shard, generation),
            BufferState::Writing { shard, generation } => (Self::WRITING, shard, generation),
        };
        let generation = (generation & GENERATION_MASK) << Self::GENERATION_SHIFT;
        generation | (shard as u64) << Self::SHARD_SHIFT | kind
    }

    pub(super) const fn from_bits(bits: u64) -> BufferState {
        let shard = ((bits >> Self::SHARD_SHIFT) & BUFFER_MASK) as u32;
        let generation = bits >> Self::GENERATION_SHIFT;
        match bits & 3 {
            Self::ACTIVE => BufferState::Active { shard, generation },
            Self::SEALED => BufferState::Sealed { shard, generation },
            Self::WRITING => BufferState::Writing { shard, generation },
            _ => BufferState::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> impl Iterator<Item = ShardWord> {
        let buffers = [None, Some(0), Some(1), Some(MAX_BUFFERS as u32 - 1)];
        let generations = [0, 1, GENERATION_MASK - 1, GENERATION_MASK];
        buffers.into_iter().flat_map(move |buffer| {
            generations.into_iter().flat_map(move |generation| {
                (0..4).map(move |flags| {
                    let word = ShardWord(generation << ShardWord::GENERATION_SHIFT | flags);
                    buffer.map_or(word, |index| word.with_buffer(index))
                })
            })
        })
    }

    /// Every state and every event: what changes, changes; what does not, does not.
    #[test]
    fn every_event_changes_its_fields_and_no_others() {
        for word in words() {
            let fields = |w: ShardWord| (w.buffer(), w.generation(), w.is_claimed(), w.is_open());
            let (buffer, generation, claimed, open) = fields(word);
            assert_eq!(word.is_claimable(), open && !claimed);
            assert_eq!(fields(word.claimed()), (buffer, generation, true, open));
            assert_eq!(fields(word.released()), (buffer, generation, false, open));
            assert_eq!(fields(word.closed()), (buffer, generation, claimed, false));
            let next = (generation + 1) & GENERATION_MASK;
            assert_eq!(fields(word.sealed()), (None, next, claimed, open));
            for index in [0, 7, MAX_BUFFERS as u32 - 1] {
                assert_eq!(
                    fields(word.with_buffer(index)),
                    (Some(index), generation, claimed, open)
                );
            }
            assert_eq!(ShardWord::from_bits(word.bits()), word);
        }
    }

    #[test]
    fn the_zero_word_is_closed_and_empty() {
        let zero = ShardWord::from_bits(0);
        assert!(!zero.is_open() && !zero.is_claimed() && !zero.is_claimable());
        assert_eq!((zero.buffer(), zero.generation()), (None, 0));
    }

    #[test]
    fn states_survive_their_word() {
        for shard in [0, 1, BUFFER_MASK as u32] {
            for generation in [0, 1, GENERATION_MASK] {
                for state in [
                    BufferState::Free,
                    BufferState::Active { shard, generation },
                    BufferState::Sealed { shard, generation },
                    BufferState::Writing { shard, generation },
                ] {
                    assert_eq!(BufferState::from_bits(state.bits()), state);
                }
            }
        }
        assert_eq!(BufferState::from_bits(0), BufferState::Free);
    }
}
