//! Heads over a whole log: every record counts once.

use std::fs;

use super::{
    super::{HeadKind, LogDir, ReadOptions, Reader},
    builder::*,
};

/// The records of a log and their bytes: those that are delivered, and those that the heads have.
fn both(segments: &[&[u8]], options: ReadOptions) -> [(u64, u64); 2] {
    let dir = tempfile::tempdir().expect("a directory");
    for (index, bytes) in segments.iter().enumerate() {
        fs::write(dir.path().join(format!("app_{index}.log")), bytes).expect("written");
    }
    let open = |options: ReadOptions| -> LogDir {
        options.open_log(dir.path().join("app_0.log")).expect("a log")
    };
    let (mut log, mut delivered) = (open(ReadOptions::new()), (0, 0));
    while let Some(record) = log.next_record().expect("read") {
        delivered = (delivered.0 + 1, delivered.1 + record.bytes().len() as u64);
    }
    let (mut log, mut by_block) = (open(ReadOptions::new()), (0, 0));
    while let Some(block) = log.next_block().expect("read") {
        let bytes: usize = block.records().map(|record| record.bytes().len()).sum();
        by_block = (by_block.0 + block.record_count(), by_block.1 + bytes as u64);
    }
    assert_eq!(by_block, delivered);
    let (mut log, mut heads) = (open(options), (0, 0));
    while let Some(head) = log.next_head().expect("read") {
        if let HeadKind::Block { records, payload_bytes, .. } = head.kind {
            heads = (heads.0 + records, heads.1 + payload_bytes);
        }
    }
    [delivered, heads]
}

/// A write that failed somewhere in a block and was repeated in the next segment, and one that was not.
#[test]
fn a_block_that_is_cut_counts_once() {
    for is_timed in [false, true] {
        let mut log = Builder::new();
        log.is_timed = is_timed;
        log.session(1).block(0, &records(1, 3, 20));
        let before = log.clone();
        log.block(0, &records(2, 6, 40_000));
        let block = log.parts[2].clone();
        let first = log.abandon();
        let mut second = before;
        second.abandon();
        second.block(0, &records(2, 6, 40_000)).block(0, &records(3, 2, 20)).end();
        // In the head, behind it, in the second chunk, in the third and fourth one, in the tail, nowhere.
        let cuts = [(100, 0), (4096, 0), (100_000, 1), (170_000, 3), (235_000, 4)];
        let cuts = cuts.map(|(at, found)| (block.start + at, found));
        for (cut, found) in cuts.into_iter().chain([(block.end - 10, 6), (block.end, 6)]) {
            let first = &first[..cut];
            for is_followed in [false, true] {
                let options = ReadOptions::new().follow(is_followed);
                let [records, heads] = both(&[first, &second.bytes], options);
                assert_eq!((records.0, heads), (11, records), "{cut} {is_followed}");
            }
            let [records, heads] = both(&[first], ReadOptions::new());
            assert_eq!((records.0, heads), (3 + found, records), "{cut}");
        }
    }
}

/// Heads of a single file show which blocks the segment before has, too.
#[test]
fn a_block_that_was_written_twice_has_one_number() {
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 3, 20));
    let mut second = log.clone();
    log.block(0, &records(2, 6, 200));
    let first = log.abandon();
    second.abandon();
    second.block(0, &records(2, 6, 200)).block(0, &records(3, 2, 20)).end();
    let numbers = |bytes: &[u8]| {
        let (mut reader, mut numbers) =
            (Reader::from_bytes(bytes.to_vec()).expect("a log"), Vec::new());
        while let Some(head) = reader.next_head().expect("read") {
            if let HeadKind::Block { sequence, .. } = head.kind {
                numbers.push((head.session, sequence));
            }
        }
        numbers
    };
    assert_eq!(numbers(&first), [(1, 0), (1, 1)]);
    assert_eq!(numbers(&second.bytes), [(1, 1), (1, 2)]);
}

#[test]
fn a_block_passes_over_the_rest_of_the_block_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 3, 20)).block(1, &records(2, 4, 20)).end();
    fs::write(dir.path().join("app.log"), &log.bytes).expect("written");
    let mut log = LogDir::open(dir.path().join("app.log")).expect("a log");
    assert!(log.next_record().expect("read").is_some());
    let block = log.next_block().expect("read").expect("the second block");
    assert_eq!((block.shard(), block.record_count()), (1, 4));
    assert!(log.next_record().expect("read").is_none());
    assert!(log.next_block().expect("read").is_none());
}
