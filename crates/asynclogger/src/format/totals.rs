//! The note and the end: the totals of a session up to their place in the file.

use super::{
    DROP_REASONS, Dropped, Kind, Prefix,
    bytes::{Put, Take},
    frame,
};

/// The body of a note or an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    /// Sequence that the session's next block will have.
    pub(crate) next_sequence: u64,
    /// Records in the session's blocks so far, in all segments.
    pub(crate) records: u64,
    /// Bytes of these records, without length prefixes.
    pub(crate) payload: u64,
    /// Drops of the session so far, all shards.
    pub(crate) dropped: Dropped,
    /// Sequence of the session's first block in this segment.
    pub(crate) first_sequence: u64,
    /// Records of the session in this segment.
    pub(crate) segment_records: u64,
    /// Time of the session's first block in this segment; 0 if there is none.
    pub(crate) first_time: i64,
    /// Time of the session's last block in this segment; 0 if there is none.
    pub(crate) last_time: i64,
    /// Whether the session is over.
    pub(crate) session_over: bool,
    /// Records that were written after the death of the session's process, out of the memory that it left.
    pub(crate) salvaged: u64,
    /// Whether a repair wrote this, and what it could not bring back.
    pub(crate) repaired: Option<GivenUp>,
}

/// What had been lost before a repair wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct GivenUp {
    /// Records of the session that its shards' numbers pass over in this file, up to here and in the next block.
    pub(crate) numbers: u64,
    /// Records of the session that were lost, at least: these, and those that no number shows.
    pub(crate) records: u64,
}

impl Totals {
    /// Writes a note or an end over all of `buffer`.
    pub(crate) fn encode(&self, kind: Kind, prefix: &Prefix, buffer: &mut [u8]) {
        debug_assert!(matches!(kind, Kind::Note | Kind::End));
        frame::encode(buffer, kind, prefix, |put: &mut Put<'_>| {
            put.u64(self.next_sequence);
            put.u64(self.records);
            put.u64(self.payload);
            encode_drops(put, self.dropped);
            put.u64(self.first_sequence);
            put.u64(self.segment_records);
            put.i64(self.first_time);
            put.i64(self.last_time);
            put.u32(u32::from(self.session_over));
            put.u32(u32::from(self.repaired.is_some()));
            put.u64(self.salvaged);
            let given_up = self.repaired.unwrap_or_default();
            put.u64(given_up.numbers);
            put.u64(given_up.records);
        });
    }

    pub(super) fn decode(mut take: Take<'_>) -> Option<Totals> {
        let mut totals = Totals {
            next_sequence: take.u64()?,
            records: take.u64()?,
            payload: take.u64()?,
            dropped: decode_drops(&mut take)?,
            first_sequence: take.u64()?,
            segment_records: take.u64()?,
            first_time: take.i64()?,
            last_time: take.i64()?,
            session_over: take.u32()? != 0,
            ..Totals::default()
        };
        let is_repaired = take.u32()? != 0;
        totals.salvaged = take.u64()?;
        let given_up = GivenUp { numbers: take.u64()?, records: take.u64()? };
        totals.repaired = is_repaired.then_some(given_up);
        Some(totals)
    }
}

pub(super) fn encode_drops(put: &mut Put<'_>, dropped: Dropped) {
    dropped.to_array().into_iter().for_each(|count| put.u64(count));
}

pub(super) fn decode_drops(take: &mut Take<'_>) -> Option<Dropped> {
    let mut counts = [0; DROP_REASONS];
    for count in &mut counts {
        *count = take.u64()?;
    }
    Some(Dropped::from_array(counts))
}
