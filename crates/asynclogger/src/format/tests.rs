//! The codecs against the vectors of `docs/format.md` and against every damaged byte.
#![expect(clippy::indexing_slicing, reason = "tests")]

use super::{
    block::*,
    column::{MAX_TIMES, column_of},
    metadata::{Invalid, MAX_METADATA, Metadata, decode, peek},
    *,
};

const GOLDEN: &[u8] = include_bytes!("../../tests/golden/v1.log");
const TIMED: &[u8] = include_bytes!("../../tests/golden/v2.log");
const SALVAGED: &[u8] = include_bytes!("../../tests/golden/v1-salvaged.log");

fn prefix(offset: u64, time: i64) -> Prefix {
    let log_id = LogId(std::array::from_fn(|i| 0x10 + i as u8));
    let time = 1_700_000_000_000_000_000 + time;
    Prefix { align: 4096, offset, log_id, segment: 7, session: 0x1122_3344_5566_7788, time }
}

fn start() -> Start<'static> {
    Start { previous: 6, first_sequence: 40, name: b"golden" }
}

fn info() -> BlockInfo {
    let mut info = BlockInfo {
        sequence: 40,
        generation: 3,
        first_record: 1000,
        shard: 2,
        records: 2,
        dropped: Dropped::from_array([5, 4, 3, 2, 1]),
        ..BlockInfo::default()
    };
    info.set_lengths(17, 4096);
    info
}

fn totals(session_over: bool) -> Totals {
    Totals {
        next_sequence: 41,
        records: 1002,
        payload: 9009,
        dropped: Dropped::from_array([9, 8, 7, 6, 5]),
        first_sequence: 40,
        segment_records: 2,
        first_time: prefix(0, 1).time,
        last_time: prefix(0, 1).time,
        session_over,
        salvaged: 0,
        repaired: None,
    }
}

#[test]
fn the_golden_file_is_encoded_byte_for_byte() {
    let mut file = vec![0xAA; GOLDEN.len()];
    start().encode(&prefix(0, 0), &mut file[..4096]);

    let info = info();
    let data_at = 4096 + info.head_len as usize;
    let tail_at = data_at + info.data_len as usize;
    let end = tail_at + info.tail_len as usize;
    file[data_at + 8..data_at + 25].copy_from_slice(b"\x06\0\0\0first\n\x03\0\0\0\0\xff\0");
    finish_data(&mut file[data_at..tail_at], &info);
    let mut table = Vec::new();
    assert_eq!(build_table(&file[data_at..tail_at], info.valid, &mut table), 2);
    info.encode(Kind::Head, &prefix(4096, 1), &table, &mut file[4096..data_at]);
    info.encode(Kind::Tail, &prefix(tail_at as u64, 1), &table, &mut file[tail_at..end]);

    totals(false).encode(Kind::Note, &prefix(end as u64, 2), &mut file[end..end + 4096]);
    let end = end + 4096;
    totals(true).encode(Kind::End, &prefix(end as u64, 3), &mut file[end..]);
    assert!(file == GOLDEN, "the encoders and docs/format.md differ");
}

#[test]
fn the_golden_file_is_decoded() {
    assert_eq!(decode(GOLDEN), Ok((prefix(0, 0), Metadata::Start(start()))));
    let Ok((head_prefix, Metadata::Head(head, table, Column(&[])))) = decode(&GOLDEN[4096..])
    else {
        panic!("no head");
    };
    assert_eq!((head_prefix, head), (prefix(4096, 1), info()));
    let chunks: Vec<_> = table.entries().collect();
    assert_eq!(chunks, [ChunkEntry { crc: 0x23DA_4643, first: 8, records: 2 }]);
    let tail_at = (4096 + head.head_len + head.data_len) as usize;
    let Ok((_, Metadata::Tail(tail, tail_table, Column(&[])))) = decode(&GOLDEN[tail_at..]) else {
        panic!("no tail");
    };
    assert_eq!((tail, tail_table), (head, table));
    assert_eq!(decode(&GOLDEN[0x3000..]), Ok((prefix(0x3000, 2), Metadata::Note(totals(false)))));
    assert_eq!(decode(&GOLDEN[0x4000..]), Ok((prefix(0x4000, 3), Metadata::End(totals(true)))));
}

/// The block of the golden file, with times.
fn timed_info() -> BlockInfo {
    let mut info = info();
    info.scale = Some(Scale {
        base: prefix(0, 0).time,
        clock: 5_000_000_000,
        counter: 77_000_000,
        unit: 51 << 31,
        last: 40_000,
        shift: 6,
    });
    info.set_lengths(17, 4096);
    info
}

#[test]
fn times_are_encoded_byte_for_byte() {
    let (info, column) = (timed_info(), column_of(&[2, 40_000]));
    let Ok((_, Metadata::Head(_, table, _))) = decode(&GOLDEN[4096..]) else { panic!("no head") };
    let table: Vec<_> = table.entries().collect();
    let mut file = GOLDEN.to_vec();
    for (kind, at, size) in
        [(Kind::Head, 0x1000, info.head_len), (Kind::Tail, 0x2200, info.tail_len)]
    {
        let block = &mut file[at..at + size as usize];
        block.fill(0xAA);
        block[info.column_range(kind).expect("room for it")].copy_from_slice(&column);
        info.encode(kind, &prefix(at as u64, 1), &table, block);
    }
    assert!(file == TIMED, "the encoders and docs/format.md differ");
}

#[test]
fn times_are_decoded() {
    for at in [0x1000, 0x2200] {
        let (Metadata::Head(info, _, column) | Metadata::Tail(info, _, column)) =
            decode(&TIMED[at..]).expect("valid").1
        else {
            panic!("no block at {at:#x}");
        };
        assert_eq!(info, timed_info());
        assert!(column.entries().eq([2, 40_000]));
        let scale = info.scale.expect("a scale");
        let times = [2, 40_000].map(|entry| scale.time(entry) - scale.base);
        assert_eq!(times, [51, 1_020_000]);
    }
}

/// Version 2 is one of heads and tails alone.
#[test]
fn only_a_block_can_have_times() {
    for at in [0, 0x3000, 0x4000] {
        let mut block = TIMED[at..at + 4096].to_vec();
        block[24] = 2;
        reseal(&mut block);
        assert_eq!(decode(&block), Err(Invalid::Version(2)));
    }
}

#[test]
fn a_scale_without_sense_is_damage() {
    for (at, value) in [(S_UNIT + 6, 0x10), (S_SHIFT, 32)] {
        let mut block = TIMED[0x1000..0x2000].to_vec();
        block[at] = value;
        reseal(&mut block);
        assert_eq!(decode(&block), Err(Invalid::Damaged), "byte {at}");
    }
}

const S_UNIT: usize = 4096 - 16;
const S_SHIFT: usize = 4096 - 4;

fn reseal(block: &mut [u8]) {
    let crc = checksum::crc32c_append(checksum::crc32c(&block[..12]), &block[16..]);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// Only the end differs.
#[test]
fn salvaged_records_are_counted_in_the_end() {
    let end = Totals { salvaged: 2, ..totals(true) };
    let mut file = GOLDEN.to_vec();
    end.encode(Kind::End, &prefix(0x4000, 3), &mut file[0x4000..]);
    assert!(file == SALVAGED, "the encoders and docs/format.md differ");
    assert_eq!(decode(&SALVAGED[0x4000..]), Ok((prefix(0x4000, 3), Metadata::End(end))));
}

#[test]
fn no_damaged_metadata_is_decoded() {
    let parts = [0, 0x1000, 0x2200, 0x3000, 0x4000].map(|at| (GOLDEN, at));
    let timed = [(TIMED, 0x1000), (TIMED, 0x2200), (SALVAGED, 0x4000)];
    for (file, at) in parts.into_iter().chain(timed) {
        let (size, _) = peek(&file[at..]).expect("metadata");
        let mut block = file[at..at + size].to_vec();
        for bit in 0..size * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&block).is_err(), "bit {bit} of the block at {at:#x}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..size {
            assert!(decode(&block[..len]).is_err(), "cut to {len}");
        }
    }
}

#[test]
fn a_later_version_is_named() {
    let mut block = GOLDEN[..4096].to_vec();
    block[24] = 9;
    reseal(&mut block);
    assert_eq!(decode(&block), Err(Invalid::Version(9)));
}

#[test]
fn lengths_hold_at_every_size() {
    for align in [4096, 8192, 65536, MAX_ALIGN] {
        for valid in [1, 504, 505, CHUNK - 8, CHUNK - 7, 480 * CHUNK, MAX_CAPACITY - 8] {
            let data = data_len(valid);
            let (head, tail) = (head_len(data, align), tail_len(data, align));
            assert!(head.is_multiple_of(align) && head <= MAX_METADATA);
            assert!((head + data + tail).is_multiple_of(align));
            assert!(tail.is_multiple_of(SECTOR) && tail <= MAX_METADATA);
            assert!(176 + 12 * chunk_count(data) <= head.min(tail));
        }
    }
}

/// A head or tail of any block is short enough for readers, and the column does not reach the table.
#[test]
fn lengths_hold_with_times() {
    let scale = Some(Scale::default());
    for align in [4096, 65536, MAX_ALIGN] {
        for (valid, records) in [(5, 1), (5000, 967), (5000, 968), (MAX_CAPACITY - 8, MAX_TIMES)] {
            let mut info = BlockInfo { records: records as u32, scale, ..BlockInfo::default() };
            info.set_lengths(valid as u32, align);
            assert!((info.head_len as usize) <= MAX_METADATA, "{}", info.head_len);
            assert!(info.block_len().is_multiple_of(align as u64));
            let column = info.column_range(Kind::Head).expect("a head has the column");
            let table_end = 176 + 12 * chunk_count(info.data_len as usize);
            assert!(column.start >= table_end && column.len() == 4 * records);
            if let Some(column) = info.column_range(Kind::Tail) {
                assert!(column.start >= table_end && column.len() == 4 * records);
            }
        }
    }
    let head_of = |records| {
        let mut info = BlockInfo { records, scale, ..BlockInfo::default() };
        info.set_lengths(5000, MIN_ALIGN);
        info.head_len as usize
    };
    assert_eq!((head_of(967), head_of(968)), (MIN_ALIGN, 2 * MIN_ALIGN));
}

#[test]
fn the_table_finds_records_that_cross_chunks() {
    // One record over three chunks, then small ones, so that a chunk has no start and one begins late.
    let mut data = vec![0; 8];
    for len in [2 * CHUNK + 100, 5, 7] {
        data.extend_from_slice(&(len as u32).to_le_bytes());
        data.extend(std::iter::repeat_n(1, len));
    }
    let valid = (data.len() - 8) as u32;
    data.resize(data_len(valid as usize), 0);
    let mut table = Vec::new();
    assert_eq!(build_table(&data, valid, &mut table), 3);
    let starts: Vec<_> = table.iter().map(|chunk| (chunk.first, chunk.records)).collect();
    assert_eq!(starts, [(8, 1), (0, 0), (2 * CHUNK as u32 + 112, 2)]);
}

#[test]
fn a_mangled_buffer_ends_its_records_without_harm() {
    let mut data = vec![0; 512];
    data[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut table = Vec::new();
    assert_eq!(build_table(&data, 100, &mut table), 0);
    assert_eq!(table.len(), 1);
}
