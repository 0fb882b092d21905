use super::{
    super::{Ending, Loss, Reader},
    builder::*,
};
use crate::Error;

fn drain(reader: &mut Reader, into: &mut Vec<Vec<u8>>) -> Result<(), Error> {
    while let Some(record) = reader.next_record()? {
        into.push(record.bytes().to_vec());
    }
    Ok(())
}

/// Reads a file that grows by pieces: each record comes once, and finally the report has no damage.
fn grow_by(log: &Builder, pieces: impl Iterator<Item = usize>) -> Result<(), Error> {
    let mut reader = Reader::from_bytes(Vec::new())?;
    let mut got = Vec::new();
    let mut len = 0;
    for piece in pieces {
        let next = (len + piece).min(log.bytes.len());
        reader.source.append(&log.bytes[len..next]);
        len = next;
        drain(&mut reader, &mut got)?;
        drain(&mut reader, &mut got)?;
        if len == log.bytes.len() {
            break;
        }
    }
    let written: Vec<_> = log.written.iter().map(|record| record.bytes.clone()).collect();
    assert_eq!(got, written);
    assert!(reader.report().is_whole(), "{:#?}", reader.report());
    assert_eq!(reader.report().ending, Ending::Clean);
    assert_eq!(reader.report().records, written.len() as u64);
    assert_eq!(reader.report().file_bytes, log.bytes.len() as u64);
    Ok(())
}

#[test]
fn a_growing_file_is_followed() -> Result<(), Error> {
    let log = sample();
    for piece in [512, 513, 1000, 4096, 5000, 8192, 20_000] {
        grow_by(&log, std::iter::repeat(piece))?;
    }
    let log = large_sample();
    for piece in [30_000, 65_536, 100_001] {
        grow_by(&log, std::iter::repeat(piece))?;
    }
    Ok(())
}

#[test]
fn the_torn_end_is_told_and_taken_back() -> Result<(), Error> {
    let log = large_sample();
    let block = log.parts[2].clone();
    let cut = block.start + 4096 + 100_000;
    let mut reader = Reader::from_bytes(log.bytes[..cut].to_vec())?;
    let mut got = Vec::new();
    drain(&mut reader, &mut got)?;
    // The first chunk of the second block is whole, and has three whole records.
    assert_eq!(got.len(), 93);
    assert_eq!((reader.report().ending, reader.report().lost), (Ending::Torn, Loss::exact(4)));
    reader.source.append(&log.bytes[cut..]);
    drain(&mut reader, &mut got)?;
    let written: Vec<_> = log.written.iter().map(|record| record.bytes.clone()).collect();
    assert_eq!(got, written);
    assert!(reader.report().is_whole());
    Ok(())
}

#[test]
fn who_follows_waits_for_the_writes_in_flight() -> Result<(), Error> {
    for log in [large_sample(), sample()] {
        let (early, late) = (log.parts[2].clone(), log.parts[3].clone());
        // The later block is whole, while the earlier one is there in one part, then in another part, then
        // completely.
        let mut first = log.bytes[..late.end].to_vec();
        first[early.clone()].fill(0);
        let mut second = first.clone();
        let half = early.start + early.len() / 2;
        second[early.start..half].copy_from_slice(&log.bytes[early.start..half]);
        let mut reader = Reader::from_bytes(first)?;
        reader.set_follow(true);
        let mut got = Vec::new();
        drain(&mut reader, &mut got)?;
        let before: Vec<_> = log.written.iter().filter(|r| r.range.end <= early.start).collect();
        assert_eq!(got.len(), before.len());
        assert_eq!(reader.report().ending, Ending::Torn);
        reader.source.change(|bytes| *bytes = second);
        drain(&mut reader, &mut got)?;
        reader.source.change(|bytes| *bytes = log.bytes[..late.end].to_vec());
        drain(&mut reader, &mut got)?;
        reader.source.append(&log.bytes[late.end..]);
        drain(&mut reader, &mut got)?;
        let written: Vec<_> = log.written.iter().map(|record| record.bytes.clone()).collect();
        assert_eq!(got, written);
        assert!(reader.report().is_whole(), "{:#?}", reader.report());
    }
    Ok(())
}

#[test]
fn a_hole_that_stays_is_passed_over_in_the_end() -> Result<(), Error> {
    let log = large_sample();
    let mut bytes = log.bytes.clone();
    bytes[log.parts[1].clone()].fill(0);
    let end = log.parts[4].start;
    let mut reader = Reader::from_bytes(bytes[..end].to_vec())?;
    reader.set_follow(true);
    let mut got = Vec::new();
    drain(&mut reader, &mut got)?;
    assert!(got.is_empty());
    reader.set_follow(false);
    drain(&mut reader, &mut got)?;
    assert_eq!(got.len(), log.written.len() - 90);
    assert_eq!(reader.report().lost, Loss::exact(90));
    Ok(())
}
