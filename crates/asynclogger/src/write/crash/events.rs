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
    /// Whether the piece has no records, but the times of some; then `order` counts from the records on towards the front.
    pub(in crate::write) is_of_head: bool,
    /// In the first piece of a block: the bytes of header and records of the block, and the number of the record that
    /// was sorted last into it.
    pub(in crate::write) filled: u32,
    pub(in crate::write) serial: u32,
}

const ORDER_BITS: u32 = 20;
/// In the order of a piece: it is one of the head of a block, which has the times of records.
pub(in crate::write) const OF_HEAD: u32 = 1 << (ORDER_BITS - 1);
/// The numbers of events are the multiples of this: then no changed bit of the number in front of a record makes it the
/// number of another event.
pub(in crate::write) const NUMBER_STEP: u32 = 3;

/// Whether an event can have this number.
pub(in crate::write) fn is_number(number: u32) -> bool {
    number.is_multiple_of(NUMBER_STEP)
}
/// The words of an identity that have the number of sealed blocks, and the checksum of all others.
const SEALED: usize = 6;
const SUM: usize = 7;

/// The checksum of the words of an identity, without that of the sealed blocks, which changes, and its own.
fn sum_of(words: &[u64]) -> u64 {
    let [front, behind] = [&words[..SEALED], &words[SUM + 1..]];
    words::checked(&[front, behind].concat())
}

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
            words::number_word(identity.number),
            identity.session,
            id as u64,
            (id >> 64) as u64,
            name.len() as u64,
            base.len() as u64,
            words::count_word(0, at.start + SEALED),
            0,
        ];
        words.extend(words::pack(name, NAME));
        words.extend(words::pack(base, BASE));
        words[SUM] = sum_of(&words);
        words::store(self.memory(), at.start + 1..at.end, &words[1..]);
        words::store_one(self.memory(), at.start, words[0]);
        account
    }

    /// Notes how many blocks of an event are sealed: the next record goes into the block of this generation. A salvager
    /// never changes the number, so it divides the records in the same way however often it is killed.
    pub(in crate::write) fn note_sealed(&self, log: u32, generation: u64) {
        let at = self.places().identity(log as usize).start + SEALED;
        words::store_one(self.memory(), at, words::count_word(generation, at));
    }

    /// How many blocks of an event were sealed.
    ///
    /// # Errors
    /// The word is damaged.
    pub(in crate::write) fn sealed(&self, log: u32) -> Result<u64, String> {
        let at = self.places().identity(log as usize).start + SEALED;
        let sealed = words::count_of(words::load_one(self.memory(), at), at);
        sealed.map_err(|_| "the number of an event's blocks is damaged".to_owned())
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
        (words[SUM] == sum_of(&words)).then_some(())?;
        Some(Identity {
            number: words::number_of(number)?,
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
        let place = generation << ORDER_BITS | u64::from(order);
        words::store_one(self.memory(), at.start, 0);
        words::store_one(self.memory(), at.start + 2, words::move_word(0, 0, at.start + 2));
        words::store_one(self.memory(), at.start + 1, place);
        words::store_one(self.memory(), at.start, words::piece_word(log, place, at.start));
    }

    /// Notes that the records of a block are complete up to here, by its first piece: this makes the last record one of
    /// the event's.
    #[inline]
    pub(in crate::write) fn fill(&self, piece: u32, filled: u32, serial: u32) {
        let at = self.places().piece(piece as usize).start + 2;
        words::store_one(self.memory(), at, words::move_word(filled, serial, at));
    }

    /// The owner of a piece; `None`: it is free.
    ///
    /// # Errors
    /// A word of it is damaged.
    pub(in crate::write) fn piece_owner(&self, piece: u32) -> Result<Option<PieceOwner>, String> {
        let at = self.places().piece(piece as usize);
        let words = words::load(self.memory(), at.clone());
        let [owner, place, filled] = words[..] else {
            return Ok(None);
        };
        let damaged = |_| "the owner of a piece is damaged".to_owned();
        let Some(log) = words::piece_of(owner, place, at.start).map_err(damaged)? else {
            return Ok(None);
        };
        let (filled, serial) = words::move_of(filled, at.start + 2).map_err(damaged)?;
        let order = place as u32 & ((1 << ORDER_BITS) - 1);
        let (is_of_head, order) = (order & OF_HEAD != 0, order & !OF_HEAD);
        let generation = place >> ORDER_BITS;
        Ok(Some(PieceOwner { log, generation, order, is_of_head, filled, serial }))
    }
}
