//! Findings of fuzzing, as plain tests.

use super::{
    super::{Ending, Loss, Reader, history::History},
    builder::*,
};
use crate::{Dropped, Error};

#[test]
fn a_shard_seen_after_a_note_did_not_lose_what_the_note_told() -> Result<(), Error> {
    // The session began in an earlier segment, so nothing shows which shard lost the first block.
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 5, 20)).block(1, &records(2, 5, 20)).rotate();
    log.block(0, &records(3, 11, 20))
        .block(1, &records(4, 2, 20))
        .note(Dropped::default())
        .block(1, &records(5, 14, 20))
        .block(1, &records(6, 3, 20));
    let mut bytes = log.bytes.clone();
    bytes[log.parts[1].clone()].fill(0);
    bytes[log.parts[4].clone()].fill(0);
    let report = read(bytes)?.report;
    assert_eq!(report.lost, Loss::exact(25), "{report:#?}");
    Ok(())
}

/// Reads the segments as one log.
fn read_all(segments: &[Vec<u8>]) -> Result<(Vec<u64>, History), Error> {
    let (mut history, mut numbers) = (History::default(), Vec::new());
    for segment in segments {
        let mut reader = reader_with(segment.clone(), history);
        while let Some(record) = reader.next_record()? {
            numbers.push(record.position().number());
        }
        history = reader.into_history().expect("a log of ours");
    }
    Ok((numbers, history))
}

#[test]
fn a_block_that_is_there_in_part_is_completed_by_its_repetition() -> Result<(), Error> {
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 3, 20));
    let before = log.clone();
    log.block(0, &records(2, 4, 40_000));
    let block = log.parts[2].clone();
    let mut first = log.abandon();
    // The head and the first chunk reached the file.
    first[block.start + 4096 + 65_536..block.end].fill(0);
    let mut second = before;
    second.abandon();
    second.block(0, &records(2, 4, 40_000)).block(0, &records(3, 2, 20)).end();
    let (numbers, history) = read_all(&[first, second.bytes])?;
    assert_eq!(numbers, (0..9).collect::<Vec<_>>());
    assert_eq!((history.lost(), history.sessions()[0].records), (Loss::exact(0), 9));
    assert_eq!(history.sessions()[0].blocks, 3);
    Ok(())
}

#[test]
fn what_is_lost_before_the_first_end_was_not_deleted() -> Result<(), Error> {
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 5, 20)).rotate();
    // The second segment has no end; the first is deleted.
    let second = log.block(0, &records(2, 2, 20)).abandon();
    log.block(1, &records(3, 3, 20)).end();
    let mut third = log.bytes.clone();
    third[log.parts[1].clone()].fill(0);
    let (numbers, history) = read_all(&[second, third])?;
    assert_eq!(numbers, [5, 6]);
    assert_eq!(history.lost(), Loss::exact(3));
    Ok(())
}

#[test]
fn nothing_is_waited_for_before_an_end() -> Result<(), Error> {
    let log = sample();
    for (at, lost) in [(log.parts[1].start + 4096 + 20, 5), (log.parts[2].end - 100, 0)] {
        let mut bytes = log.bytes.clone();
        bytes[at] ^= 1;
        let mut reader = Reader::from_bytes(bytes)?;
        reader.set_follow(true);
        let mut count = 0;
        while reader.next_record()?.is_some() {
            count += 1;
        }
        assert_eq!(count + lost, log.written.len());
        assert_eq!(reader.report().ending, Ending::Clean);
    }
    Ok(())
}

#[test]
fn a_tail_in_flight_is_waited_for() -> Result<(), Error> {
    let log = sample();
    let whole = &log.bytes[..log.parts[2].end];
    let tail = log.parts[1].end - 3584..log.parts[1].end;
    let mut reader = Reader::from_bytes(Vec::new())?;
    reader.set_follow(true);
    reader.source.append(whole);
    reader.source.change(|bytes| bytes[tail.clone()].fill(0));
    let mut count = 0;
    for _ in 0..2 {
        while reader.next_record()?.is_some() {
            count += 1;
        }
    }
    reader.source.change(|bytes| bytes[tail.clone()].copy_from_slice(&whole[tail.clone()]));
    while reader.next_record()?.is_some() {
        count += 1;
    }
    assert_eq!(count, 8);
    assert!(reader.report().is_whole(), "{:#?}", reader.report());
    Ok(())
}

#[test]
fn what_was_deleted_and_what_was_lost_is_left_open_behind_a_repeated_block() -> Result<(), Error> {
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 5, 20)).rotate();
    let mut third = log.clone();
    let second = log.block(1, &records(2, 2, 20)).abandon();
    third.abandon();
    third.block(1, &records(2, 2, 20)).block(0, &records(3, 3, 20)).end();
    third.bytes[third.parts[2].clone()].fill(0);
    let (numbers, history) = read_all(&[second, third.bytes])?;
    assert_eq!(numbers, [0, 1]);
    assert!(history.lost().admits(3), "{}", history.lost());
    Ok(())
}
