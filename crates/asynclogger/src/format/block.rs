//! The block: head, data, tail. The head and the tail carry the same fields and the chunk table.

use std::ops::Range;

use super::{
    CHUNK, Column, Dropped, Kind, MAX_CAPACITY, Prefix, RECORD_HEADER, SECTOR, SHARD_HEADER, Scale,
    TIMED_VERSION, VERSION,
    bytes::{Put, Take},
    checksum::crc32c,
    column::{MAX_TIMES, SCALE_LEN, column_len},
    frame::{self, PREFIX_LEN},
    record::Records,
    round_up,
    totals::{decode_drops, encode_drops},
};

/// Offset of the chunk table in a head or tail: it follows the prefix and the fixed fields.
const TABLE_AT: usize = PREFIX_LEN + 96;
/// Length of a chunk's entry in the table, in bytes.
const ENTRY_LEN: usize = 12;

/// The fields that head and tail share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct BlockInfo {
    /// Number of the block in its session.
    pub(crate) sequence: u64,
    /// Number of the buffer in its shard.
    pub(crate) generation: u64,
    /// Number of the first record in its shard and session.
    pub(crate) first_record: u64,
    pub(crate) shard: u32,
    pub(crate) records: u32,
    /// Bytes of records, length prefixes included.
    pub(crate) valid: u32,
    pub(crate) head_len: u32,
    /// The shard header, the records, and the padding to the sector.
    pub(crate) data_len: u32,
    pub(crate) tail_len: u32,
    /// Drops of the shard in the session until the buffer was sealed.
    pub(crate) dropped: Dropped,
    /// How the column of times is to be read, if the records have times.
    pub(crate) scale: Option<Scale>,
}

/// The entry of one chunk in the chunk table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct ChunkEntry {
    pub(crate) crc: u32,
    /// Offset, from the shard header, of the first record that starts in the chunk; 0 if no record starts
    /// there.
    pub(crate) first: u32,
    /// Number of records that start in the chunk.
    pub(crate) records: u32,
}

/// The encoded table of a verified head or tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkTable<'a>(&'a [u8]);

impl<'a> ChunkTable<'a> {
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = ChunkEntry> + use<'a> {
        self.0.chunks_exact(ENTRY_LEN).map(|entry| {
            let mut take = Take(entry);
            // `chunks_exact` gives twelve bytes.
            let mut field = || take.u32().unwrap_or_default();
            ChunkEntry { crc: field(), first: field(), records: field() }
        })
    }
}

/// How many chunks `data_len` bytes have.
pub(crate) const fn chunk_count(data_len: usize) -> usize {
    data_len.div_ceil(CHUNK)
}

/// Length of the data part that holds `valid` bytes of records.
pub(crate) const fn data_len(valid: usize) -> usize {
    round_up(SHARD_HEADER + valid, SECTOR)
}

/// The end of the chunk table in the head and the tail of a block with `data_len` bytes of data.
const fn table_end(data_len: usize) -> usize {
    TABLE_AT + ENTRY_LEN * chunk_count(data_len)
}

/// Length of the head of a block without times and with `data_len` bytes of data.
pub(crate) const fn head_len(data_len: usize, align: usize) -> usize {
    round_up(table_end(data_len), align)
}

/// Length of the tail of a block without times and with `data_len` bytes of data. The data part begins on a
/// multiple of `align`.
pub(crate) const fn tail_len(data_len: usize, align: usize) -> usize {
    round_up(data_len + table_end(data_len), align) - data_len
}

/// Length of the head of a block with `data_len` bytes of data and the times of this number of records.
pub(crate) const fn timed_head_len(data_len: usize, records: usize, align: usize) -> usize {
    round_up(table_end(data_len) + column_len(records) + SCALE_LEN, align)
}

/// Length of the tail of a block with times.
pub(crate) const fn timed_tail_len(data_len: usize, align: usize) -> usize {
    round_up(data_len + table_end(data_len) + SCALE_LEN, align) - data_len
}

impl BlockInfo {
    /// Whether a table fits these fields: each chunk's first record lies in the chunk, and the counts add up.
    /// If not, the checksum is valid but the contents are nonsense.
    pub(crate) fn fits(&self, table: &[ChunkEntry]) -> bool {
        let records: u64 = table.iter().map(|entry| u64::from(entry.records)).sum();
        let firsts_fit = table.iter().enumerate().all(|(index, entry)| {
            let first = entry.first as usize;
            let in_chunk = first / CHUNK == index && first >= SHARD_HEADER;
            if entry.records == 0 { first == 0 } else { in_chunk }
        });
        records == u64::from(self.records) && firsts_fit
    }

    /// Whether a column of times fits these fields: its greatest entry is the one that the scale names.
    pub(crate) fn fits_times(&self, times: &[u32]) -> bool {
        let last = times.iter().max();
        last.is_none() || last == self.scale.as_ref().map(|scale| &scale.last)
    }

    /// Sets the four lengths from `valid`. The length of the head follows also from the number of records, if the
    /// records have times.
    pub(crate) fn set_lengths(&mut self, valid: u32, align: usize) {
        let data = data_len(valid as usize);
        self.valid = valid;
        self.data_len = data as u32;
        let (head, tail) = self.derived(data, align);
        (self.head_len, self.tail_len) = (head as u32, tail as u32);
    }

    /// The lengths of head and tail around `data` bytes.
    fn derived(&self, data: usize, align: usize) -> (usize, usize) {
        match self.scale {
            None => (head_len(data, align), tail_len(data, align)),
            Some(_) => {
                let head = timed_head_len(data, self.records as usize, align);
                (head, timed_tail_len(data, align))
            }
        }
    }

    /// The place of the column of times in a head or tail of this block; `None` if the column is not there. A head
    /// always has it, and a tail only if it has the room anyway.
    pub(crate) fn column_range(&self, kind: Kind) -> Option<Range<usize>> {
        self.scale?;
        let size = if kind == Kind::Head { self.head_len } else { self.tail_len };
        let end = (size as usize).checked_sub(SCALE_LEN)?;
        let start = end.checked_sub(column_len(self.records as usize))?;
        (start >= table_end(self.data_len as usize)).then_some(start..end)
    }

    /// Length of the whole block.
    pub(crate) fn block_len(&self) -> u64 {
        u64::from(self.head_len) + u64::from(self.data_len) + u64::from(self.tail_len)
    }

    /// Bytes of the records without their length prefixes.
    pub(crate) fn payload(&self) -> u64 {
        u64::from(self.valid) - RECORD_HEADER as u64 * u64::from(self.records)
    }

    /// Writes head or tail over all of `buffer`. The column of times stands there already, in its
    /// [place](BlockInfo::column_range).
    pub(crate) fn encode(
        &self,
        kind: Kind,
        prefix: &Prefix,
        table: &[ChunkEntry],
        buffer: &mut [u8],
    ) {
        debug_assert!(matches!(kind, Kind::Head | Kind::Tail));
        let (mut kept, mut version) = (0, VERSION);
        if let Some(scale) = &self.scale {
            scale.encode(buffer);
            kept = SCALE_LEN + self.column_range(kind).map_or(0, |column| column.len());
            version = TIMED_VERSION;
        }
        frame::encode_around(buffer, (kind, version), prefix, kept, |put: &mut Put<'_>| {
            put.u64(self.sequence);
            put.u64(self.generation);
            put.u64(self.first_record);
            put.u32(self.shard);
            put.u32(self.records);
            put.u32(self.valid);
            put.u32(self.head_len);
            put.u32(self.data_len);
            put.u32(self.tail_len);
            encode_drops(put, self.dropped);
            put.u32(table.len() as u32);
            put.u32(0);
            for chunk in table {
                put.u32(chunk.crc);
                put.u32(chunk.first);
                put.u32(chunk.records);
            }
        });
    }

    /// Decodes the fields and the table; `None` if the fields contradict each other (the checksum is valid
    /// but the contents are nonsense).
    pub(super) fn decode(
        mut take: Take<'_>,
        kind: Kind,
        align: usize,
        is_timed: bool,
    ) -> Option<(BlockInfo, ChunkTable<'_>, Column<'_>)> {
        let body = take.0;
        let info = BlockInfo {
            sequence: take.u64()?,
            generation: take.u64()?,
            first_record: take.u64()?,
            shard: take.u32()?,
            records: take.u32()?,
            valid: take.u32()?,
            head_len: take.u32()?,
            data_len: take.u32()?,
            tail_len: take.u32()?,
            dropped: decode_drops(&mut take)?,
            scale: if is_timed { Some(Scale::decode(body)?) } else { None },
        };
        let (chunks, _zero) = (take.u32()? as usize, take.u32()?);
        let table = take.bytes(chunks.checked_mul(ENTRY_LEN)?)?;

        let (valid, data) = (info.valid as usize, info.data_len as usize);
        let least_valid = (RECORD_HEADER as u64 + 1) * u64::from(info.records);
        let consistent = info.valid > 0
            && valid <= MAX_CAPACITY
            && data == data_len(valid)
            && chunks == chunk_count(data)
            && u64::from(info.valid) >= least_valid
            && (info.head_len as usize, info.tail_len as usize) == info.derived(data, align)
            && (!is_timed || info.records as usize <= MAX_TIMES)
            && info.first_record.checked_add(u64::from(info.records)).is_some();
        let column = info.column_range(kind).and_then(|column| {
            let column =
                column.start.checked_sub(PREFIX_LEN)?..column.end.checked_sub(PREFIX_LEN)?;
            body.get(column)
        });
        consistent.then_some((info, ChunkTable(table), Column(column.unwrap_or_default())))
    }
}

/// Completes the data part of a block in place: writes the shard header and the padding. `data` is the whole
/// part, [`data_len`] bytes, with the records already in it. (The buffers of a logger write both themselves.)
pub(crate) fn finish_data(data: &mut [u8], info: &BlockInfo) {
    let end = SHARD_HEADER + info.valid as usize;
    if let Some(padding) = data.get_mut(end..) {
        padding.fill(0);
    }
    let mut put = Put(data);
    put.u32(info.data_len + info.tail_len);
    put.u32(info.valid);
}

/// Fills `table` from a finished data part and returns the count of its records.
///
/// A chunk is walked right after its checksum is computed, while the chunk is in the cache.
pub(crate) fn build_table(data: &[u8], valid: u32, table: &mut Vec<ChunkEntry>) -> u32 {
    table.clear();
    let records_end = data.get(..SHARD_HEADER + valid as usize).unwrap_or(data);
    let mut records = Records::new(records_end, SHARD_HEADER);
    let mut total = 0;
    for (index, chunk) in data.chunks(CHUNK).enumerate() {
        let chunk_end = index * CHUNK + chunk.len();
        let mut entry = ChunkEntry { crc: crc32c(chunk), first: 0, records: 0 };
        if records.offset() < chunk_end {
            entry.first = records.offset() as u32;
            while records.offset() < chunk_end && records.next().is_some() {
                entry.records += 1;
            }
            if entry.records == 0 {
                entry.first = 0;
            }
        }
        total += entry.records;
        table.push(entry);
    }
    total
}
