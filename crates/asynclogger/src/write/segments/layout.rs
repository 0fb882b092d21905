//! The places of one session's parts in one file, and the parts' data on the session.

use crate::{
    format::{BlockInfo, ChunkEntry, Column, Kind, Prefix, Scale, Start, Totals},
    write::{
        archive::Lineage,
        common::{BlockMemory, wall_clock},
    },
};

/// The place of the next part, and the session's totals in this file. A part is first encoded for its place, and takes
/// the place afterwards, since a part can be encoded again: after a panic, or when all parts in flight move to another
/// file.
pub(in crate::write) struct Layout {
    /// The prefix that all metadata of this session in this file share; its offset is that of the start.
    prefix: Prefix,
    /// The offset of the next part; a multiple of the alignment.
    offset: u64,
    /// The offset of the first part behind the session's start.
    begin: u64,
    first_sequence: u64,
    records: u64,
    first_time: i64,
    last_time: i64,
}

/// The place of a part in a file.
#[derive(Clone, Copy, Debug)]
pub(in crate::write) struct Spot {
    pub(in crate::write) segment: u64,
    pub(in crate::write) offset: u64,
    /// Records of the session in the file in front of the part, and the times of the first and last block there.
    pub(in crate::write) records: u64,
    pub(in crate::write) first_time: i64,
    pub(in crate::write) last_time: i64,
}

impl Layout {
    /// The layout of a session whose start ends at `offset`.
    pub(super) fn new(prefix: Prefix, offset: u64, first_sequence: u64) -> Layout {
        let begin = offset;
        Layout { prefix, offset, begin, first_sequence, records: 0, first_time: 0, last_time: 0 }
    }

    /// The alignment of offsets and lengths, in bytes.
    pub(in crate::write) fn align(&self) -> usize {
        self.prefix.align as usize
    }

    /// The log's id and the number of this segment.
    pub(in crate::write) fn lineage(&self) -> Lineage {
        self.prefix.lineage()
    }

    /// The offset of the next part.
    pub(in crate::write) fn offset(&self) -> u64 {
        self.offset
    }

    /// The offsets of the session's start and of the first part behind the start.
    pub(super) fn beginning(&self) -> (u64, u64) {
        (self.prefix.offset, self.begin)
    }

    /// The place of the next part, and the session's part of the file in front of it.
    pub(in crate::write) fn spot(&self) -> Spot {
        let Layout { offset, records, first_time, last_time, .. } = *self;
        Spot { segment: self.prefix.segment, offset, records, first_time, last_time }
    }

    /// Continues at this place.
    pub(super) fn resume(&mut self, spot: &Spot) {
        let Spot { offset, records, first_time, last_time, .. } = *spot;
        (self.offset, self.records) = (offset, records);
        (self.first_time, self.last_time) = (first_time, last_time);
    }

    /// Records of this session in this file.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// Encodes the session's start. Returns the offset of the start.
    pub(super) fn encode_start(
        &mut self,
        previous: u64,
        first_sequence: u64,
        name: &[u8],
        bytes: &mut [u8],
    ) -> u64 {
        Start { previous, first_sequence, name }.encode(&self.prefix, bytes);
        self.prefix.offset
    }

    /// Reports that the encoded start is written.
    pub(super) fn set_first_sequence(&mut self, first_sequence: u64) {
        self.first_sequence = first_sequence;
    }

    /// Completes a block in its memory, for the place of the next part: header, padding, table, head and tail. Fills in
    /// the lengths, the number of records, and the last time in `info`.
    pub(in crate::write) fn encode_block(
        &self,
        memory: &mut dyn BlockMemory,
        info: &mut BlockInfo,
        time: i64,
        table: &mut Vec<ChunkEntry>,
    ) {
        info.set_lengths(memory.valid(), self.align());
        info.records = memory.finish(info, table);
        // The length of the head follows from the number of records, too.
        info.set_lengths(info.valid, self.align());
        let mut column = Vec::new();
        if let Some(place) = info.column_range(Kind::Head) {
            let is_in_tail = info.column_range(Kind::Tail).is_some();
            let mut last = 0;
            memory.write_head(info.head_len as usize, &mut |bytes| {
                let bytes = bytes.get(place.clone()).unwrap_or_default();
                last = Column::of(bytes).entries().max().unwrap_or(0);
                column = if is_in_tail { bytes.to_vec() } else { Vec::new() };
            });
            info.scale = info.scale.map(|scale| Scale { last, ..scale });
        }
        let (head_len, data_len) = (info.head_len as usize, info.data_len as usize);
        let prefix = Prefix { offset: self.offset, time, ..self.prefix };
        memory.write_head(head_len, &mut |bytes| info.encode(Kind::Head, &prefix, table, bytes));
        let tail_at = self.offset + (head_len + data_len) as u64;
        let prefix = Prefix { offset: tail_at, time, ..self.prefix };
        let tail_len = info.tail_len as usize;
        memory.write_tail(data_len, tail_len, &mut |bytes| {
            if let Some(place) =
                info.column_range(Kind::Tail).and_then(|place| bytes.get_mut(place))
            {
                place.copy_from_slice(&column);
            }
            info.encode(Kind::Tail, &prefix, table, bytes);
        });
        memory.set_block(head_len, data_len + tail_len);
    }

    /// Encodes a note or an end for the place of the next part. The totals of this file are filled in here.
    pub(in crate::write) fn encode_totals(&self, kind: Kind, totals: Totals, bytes: &mut [u8]) {
        let totals = Totals {
            first_sequence: self.first_sequence,
            segment_records: self.records,
            first_time: self.first_time,
            last_time: self.last_time,
            ..totals
        };
        let prefix = Prefix { offset: self.offset, time: wall_clock(), ..self.prefix };
        totals.encode(kind, &prefix, bytes);
    }

    /// Gives the encoded block its place: the next part goes behind the block.
    pub(in crate::write) fn place_block(&mut self, info: &BlockInfo, time: i64) {
        if self.records == 0 {
            self.first_time = time;
        }
        self.last_time = time;
        self.records += u64::from(info.records);
        self.offset += info.block_len();
    }

    /// Gives the encoded note or end its place.
    pub(in crate::write) fn place_totals(&mut self) {
        self.offset += self.prefix.align as u64;
    }
}
