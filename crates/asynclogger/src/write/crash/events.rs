//! What a map knows of a manager: which events there are, and whose records are in which piece of memory.

use super::{
    account::LogAccount,
    map::CrashMap,
    words::{self, BASE, IDENTITY, NAME},
};
use crate::{LogId, sync::Arc};

/// An event of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::write) struct Identity {
    /// The number that tags the event's records.
    pub(in crate::write) number: u32,
    pub(in crate::write) session: u64,
    pub(in crate::write) log_id: LogId,
    /// The name as the user gave it.
    pub(in crate::write) name: String,
    /// The name of the file, without `.log`.
    pub(in crate::write) base: String,
}

/// Whose records a piece of memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) struct PieceOwner {
    /// The place of the event in the map.
    pub(in crate::write) log: u32,
    /// The block, and the place of the piece in it.
    pub(in crate::write) generation: u64,
    pub(in crate::write) order: u32,
    /// In the first piece of a block: the bytes of header and records of the block, and the number of the record that
    /// was sorted last into it.
    pub(in crate::write) filled: u32,
    pub(in crate::write) serial: u32,
}

const ORDER_BITS: u32 = 20;
/// The word of an identity that has the number of sealed blocks.
const SEALED: usize = 6;

impl CrashMap {
    /// Notes an event at a place that is free and has memory. The place is the event's from the last store on.
    pub(in crate::write) fn enter(
        self: &Arc<CrashMap>,
        log: usize,
        identity: &Identity,
    ) -> LogAccount {
        let account = LogAccount::of(self, log);
        account.clear();
        let at = self.places().identity(log);
        let id = u128::from_le_bytes(*identity.log_id.as_bytes());
        let (name, base) = (identity.name.as_bytes(), identity.base.as_bytes());
        let mut words = vec![
            0,
            identity.session,
            id as u64,
            (id >> 64) as u64,
            name.len() as u64,
            base.len() as u64,
            0,
            0,
        ];
        words.extend(words::pack(name, NAME));
        words.extend(words::pack(base, BASE));
        words::store(self.memory(), at.start + 1..at.end, &words[1..]);
        words::store_one(self.memory(), at.start, u64::from(identity.number) << 1 | 1);
        account
    }

    /// Notes how many blocks of an event are sealed: the next record goes into the block of this generation. A salvager
    /// never changes the number, so it divides the records in the same way however often it is killed.
    pub(in crate::write) fn note_sealed(&self, log: u32, generation: u64) {
        let at = self.places().identity(log as usize).start + SEALED;
        words::store_one(self.memory(), at, generation);
    }

    /// How many blocks of an event were sealed.
    pub(in crate::write) fn sealed(&self, log: u32) -> u64 {
        words::load_one(self.memory(), self.places().identity(log as usize).start + SEALED)
    }

    /// Gives the place of an event back: all its records are in files.
    pub(in crate::write) fn leave(&self, log: usize) {
        words::store_one(self.memory(), self.places().identity(log).start, 0);
    }

    /// The event at a place; `None`: the place is free, or what stands there is no event.
    pub(in crate::write) fn identity(&self, log: usize) -> Option<Identity> {
        self.is_ready(log).then_some(())?;
        let at = self.places().identity(log);
        let words = words::load(self.memory(), at);
        let [number, session, low, high, name_len, base_len, ..] = *words.get(..IDENTITY)? else {
            return None;
        };
        let id = u128::from(high) << 64 | u128::from(low);
        let text = |words: &[u64], len: u64| {
            let len = usize::try_from(len).ok().filter(|len| *len <= words.len() * 8)?;
            String::from_utf8(words::unpack(words, len)).ok()
        };
        (number & 1 == 1).then_some(())?;
        Some(Identity {
            number: u32::try_from(number >> 1).ok()?,
            session,
            log_id: LogId(id.to_le_bytes()),
            name: text(&words[8..8 + NAME], name_len)?,
            base: text(&words[8 + NAME..], base_len)?,
        })
    }

    /// Whether anything stands at a place.
    pub(in crate::write) fn is_entered(&self, log: usize) -> bool {
        self.is_ready(log) && words::load_one(self.memory(), self.places().identity(log).start) != 0
    }

    /// Notes that a piece belongs to a block of an event. No record in it counts before the block says so.
    pub(in crate::write) fn own_piece(&self, piece: u32, log: u32, generation: u64, order: u32) {
        let at = self.places().piece(piece as usize);
        words::store_one(self.memory(), at.start, 0);
        words::store_one(self.memory(), at.start + 2, 0);
        words::store_one(self.memory(), at.start + 1, generation << ORDER_BITS | u64::from(order));
        words::store_one(self.memory(), at.start, u64::from(log) << 1 | 1);
    }

    /// Notes that the records of a block are complete up to here, by its first piece: this makes the last record one of
    /// the event's.
    #[inline]
    pub(in crate::write) fn fill(&self, piece: u32, filled: u32, serial: u32) {
        let at = self.places().piece(piece as usize).start + 2;
        words::store_one(self.memory(), at, u64::from(filled) << 32 | u64::from(serial));
    }

    /// The owner of a piece; `None`: it is free.
    pub(in crate::write) fn piece_owner(&self, piece: u32) -> Option<PieceOwner> {
        let words = words::load(self.memory(), self.places().piece(piece as usize));
        let [owner, place, filled] = words[..] else {
            return None;
        };
        (owner & 1 == 1).then_some(PieceOwner {
            log: (owner >> 1) as u32,
            generation: place >> ORDER_BITS,
            order: place as u32 & ((1 << ORDER_BITS) - 1),
            filled: (filled >> 32) as u32,
            serial: filled as u32,
        })
    }
}
