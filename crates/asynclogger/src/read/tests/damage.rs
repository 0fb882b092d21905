use std::ops::Range;

use super::{
    super::{DamageKind, Ending, Loss},
    builder::*,
};
use crate::{Error, format::CHUNK};

/// With an end in the file, losses are exact; a damaged end can also have been the beginning of a block.
fn check_exact(log: &Builder, got: &Got, context: &str) {
    let end = log.parts.last().expect("an end").clone();
    let lost = got.report.lost;
    let is_end = got.report.damage.iter().any(|damage| damage.offset == end.start as u64);
    let most = if is_end { (end.len() / 5) as u64 } else { 0 };
    let in_range = lost.at_most.is_some_and(|at_most| at_most - lost.at_least <= most);
    assert!(in_range, "{context}: {:#?}", got.report);
}

#[test]
fn every_truncation_is_survived() -> Result<(), Error> {
    let log = sample();
    for len in (1..log.bytes.len()).rev() {
        let context = format!("cut to {len}");
        let got = match read(log.bytes[..len].to_vec()) {
            Ok(got) => got,
            Err(error) if len < 24 && error.kind() == crate::ErrorKind::NotALog => continue,
            Err(error) => return Err(error),
        };
        check(&log, &got, &context);
        let at_border = log.parts.iter().any(|part| part.end == len);
        assert_eq!(got.report.is_whole(), at_border, "{context}: {:#?}", got.report);
        let ends = log.parts.iter().enumerate().filter(|(i, _)| [7, 11].contains(i));
        let at_end = ends.into_iter().any(|(_, part)| part.end == len);
        let ending = match (at_border, at_end) {
            (true, true) => Ending::Clean,
            (true, false) => Ending::Open,
            _ => Ending::Torn,
        };
        assert_eq!(got.report.ending, ending, "{context}");
        // Every record before the cut whose chunk is whole is there.
        let whole = |part: &&Range<usize>| part.end <= len;
        let kept = log.parts.iter().filter(whole).map(|part| part.end).max().unwrap_or(0);
        let expected = log.written.iter().filter(|record| record.range.end <= kept).count();
        assert!(got.records.len() >= expected, "{context}");
    }
    Ok(())
}

#[test]
fn every_flipped_bit_is_survived() -> Result<(), Error> {
    let log = tiny_sample();
    let mut bytes = log.bytes.clone();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let got = read(bytes.clone())?;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let context = format!("bit {bit}, byte {:#x}", bit / 8);
        check_losses(&log, &got, &context);
        assert!(!got.report.is_whole(), "{context}: not noticed");
        check_exact(&log, &got, &context);
        // Only the chunk with the bit may be lost; here, the block is one chunk.
        let part = log.parts.iter().find(|part| part.contains(&(bit / 8))).expect("a part");
        let hit = |range: &Range<usize>| range.start < part.end && part.start < range.end;
        let safe = log.written.iter().filter(|record| !hit(&record.range)).count();
        assert!(got.records.len() >= safe, "{context}");
    }
    Ok(())
}

#[test]
fn a_cut_block_gives_its_whole_chunks_and_an_exact_loss() -> Result<(), Error> {
    let log = large_sample();
    for len in (4096..log.bytes.len()).step_by(512) {
        let got = read(log.bytes[..len].to_vec())?;
        check(&log, &got, &format!("cut to {len}"));
        // The block that the cut lies in, if its head is whole.
        let Some(part) = log.parts.iter().find(|part| part.contains(&len)) else { continue };
        let is_block = log.written.iter().any(|record| part.contains(&record.range.start));
        if !is_block || len < part.start + 4096 {
            continue;
        }
        let started = log.written.iter().filter(|record| record.range.start < part.end).count();
        let lost = (started - got.records.len()) as u64;
        assert_eq!(got.report.lost, Loss::exact(lost), "{len}");
        let kept = part.start + 4096 + (len - part.start - 4096) / CHUNK * CHUNK;
        let whole = log.written.iter().filter(|record| record.range.end <= kept).count();
        assert!(got.records.len() >= whole, "{len}");
        assert!(kinds(&got.report).last() == Some(&DamageKind::TornTail) || lost == 0, "{len}");
        assert_eq!(got.report.ending == Ending::Torn, len != part.start, "{len}");
    }
    Ok(())
}

/// Destroys `hole` and checks that only the records that touch its chunks are lost.
fn check_hole(log: &Builder, hole: Range<usize>, fill: impl Fn(&mut [u8])) -> Result<(), Error> {
    let context = format!("{hole:x?}");
    let mut bytes = log.bytes.clone();
    fill(&mut bytes[hole.clone()]);
    if bytes == log.bytes {
        return Ok(());
    }
    let got = read(bytes)?;
    check_losses(log, &got, &context);
    assert!(!got.report.is_whole(), "{context}: not noticed");
    check_exact(log, &got, &context);
    let safe = log.written.iter().filter(|record| {
        let part = log.parts.iter().find(|part| part.contains(&record.range.start));
        let data_at = part.expect("a block").start + 4096;
        let chunk = |offset: usize| offset.saturating_sub(data_at) / CHUNK;
        let touched = data_at + chunk(record.range.start) * CHUNK
            ..data_at + (chunk(record.range.end - 1) + 1) * CHUNK;
        let of_block = touched.start..touched.end.min(part.expect("a block").end);
        hole.end <= of_block.start || of_block.end <= hole.start
    });
    assert!(got.records.len() >= safe.count(), "{context}: {:#?}", got.report);
    Ok(())
}

#[test]
fn a_lost_sector_or_page_costs_at_most_its_chunk() -> Result<(), Error> {
    for log in [sample(), large_sample()] {
        for size in [512, 4096] {
            for at in (0..log.bytes.len()).step_by(size) {
                check_hole(&log, at..at + size, |hole| hole.fill(0))?;
                check_hole(&log, at..at + size, |hole| hole.fill(0xFF))?;
            }
        }
    }
    Ok(())
}

#[test]
fn any_hole_is_accounted_for() -> Result<(), Error> {
    let log = sample();
    let pages = log.bytes.len() / 4096;
    for from in 0..pages {
        for to in from + 1..=pages {
            let mut bytes = log.bytes.clone();
            bytes[from * 4096..to * 4096].fill(0);
            let got = match read(bytes) {
                Ok(got) => got,
                Err(error) => {
                    assert_eq!((from, to), (0, pages), "{error}");
                    continue;
                }
            };
            let context = format!("pages {from} to {to}");
            check_losses(&log, &got, &context);
            assert!(!got.report.is_whole(), "{context}");
        }
    }
    Ok(())
}

#[test]
fn two_lost_pages_are_accounted_for() -> Result<(), Error> {
    let log = sample();
    let pages = log.bytes.len() / 4096;
    for first in 0..pages {
        for second in first + 1..pages {
            let mut bytes = log.bytes.clone();
            bytes[first * 4096..][..4096].fill(0);
            bytes[second * 4096..][..4096].fill(0);
            check_losses(&log, &read(bytes)?, &format!("pages {first} and {second}"));
        }
    }
    Ok(())
}

#[test]
fn every_subset_of_blocks_is_accounted_for() -> Result<(), Error> {
    let log = sample();
    for set in 1..1u32 << log.parts.len() {
        let mut bytes = log.bytes.clone();
        for (index, part) in log.parts.iter().enumerate() {
            if set >> index & 1 == 1 {
                bytes[part.clone()].fill(0xA5);
            }
        }
        if set.count_ones() as usize == log.parts.len() {
            continue;
        }
        let got = read(bytes)?;
        check_losses(&log, &got, &format!("without the parts {set:b}"));
    }
    Ok(())
}

#[test]
fn a_lost_block_is_an_exact_gap() -> Result<(), Error> {
    let log = sample();
    let mut bytes = log.bytes.clone();
    bytes[log.parts[1].clone()].fill(0);
    let got = read(bytes)?;
    assert_eq!(kinds(&got.report), [DamageKind::Gap]);
    assert_eq!(got.report.damage[0].lost, Loss::exact(5));
    assert_eq!(got.report.damage[0].len, log.parts[1].len() as u64);
    assert_eq!(got.report.sessions[0].lost, Loss::exact(5));
    assert_eq!(got.report.sessions[1].lost, Loss::exact(0));
    assert_eq!(got.report.lost, Loss::exact(5));
    let session = &got.report.sessions[0];
    assert_eq!(session.declared.expect("an end").records, session.records + 5);
    Ok(())
}

#[test]
fn a_lost_block_without_end_is_told_by_its_shard_or_is_a_range() -> Result<(), Error> {
    let mut log = Builder::new();
    log.session(1)
        .block(0, &records(1, 3, 20))
        .block(1, &records(2, 4, 20))
        .block(0, &records(3, 2, 20))
        .block(1, &records(4, 2, 20));
    let lose = |index: usize| {
        let mut bytes = log.bytes.clone();
        bytes[log.parts[index].clone()].fill(0);
        read(bytes).map(|got| got.report)
    };
    assert_eq!(lose(1)?.lost, Loss::exact(3));
    assert_eq!(lose(2)?.lost, Loss::exact(4));
    // No next block of the shard shows the loss.
    let report = lose(3)?;
    let most = log.parts[3].len() as u64 / 5;
    assert_eq!((report.lost.at_least, report.lost.at_most), (0, Some(most)));
    assert_eq!(report.damage[0].lost, report.lost);
    assert_eq!(lose(4)?.ending, Ending::Torn);
    Ok(())
}

#[test]
fn damaged_metadata_costs_nothing() -> Result<(), Error> {
    let log = sample();
    let first = log.parts[1].clone();
    let places = [
        (0..4096, "start"),
        (first.start..first.start + 4096, "head"),
        (first.end - 3584..first.end, "tail"),
        (log.parts[3].clone(), "note"),
        (log.parts[7].clone(), "end"),
        (log.parts[8].clone(), "second start"),
    ];
    for (place, name) in places {
        let mut bytes = log.bytes.clone();
        bytes[place.start + 100] ^= 1;
        let got = read(bytes)?;
        assert_eq!(kinds(&got.report), [DamageKind::Metadata], "{name}");
        let damage = got.report.damage[0];
        assert_eq!(damage.offset..damage.offset + damage.len, place.start as u64..place.end as u64);
        assert_eq!(got.report.lost, Loss::exact(0), "{name}");
        assert_eq!(got.records.len(), log.written.len(), "{name}");
    }
    Ok(())
}

#[test]
fn a_damaged_chunk_costs_the_records_that_touch_it() -> Result<(), Error> {
    let log = large_sample();
    let block = &log.parts[1];
    let hit = block.start + 4096 + CHUNK + 1000;
    let mut bytes = log.bytes.clone();
    bytes[hit] ^= 0x10;
    let got = read(bytes)?;
    assert_eq!(kinds(&got.report), [DamageKind::Chunk]);
    let chunk = block.start + 4096 + CHUNK..block.start + 4096 + 2 * CHUNK;
    let damage = got.report.damage[0];
    assert_eq!((damage.offset, damage.len), (chunk.start as u64, CHUNK as u64));
    let touching = log
        .written
        .iter()
        .filter(|record| record.range.start < chunk.end && chunk.start < record.range.end);
    let touching = touching.count() as u64;
    assert!(touching > 20);
    assert_eq!((damage.lost, got.report.lost), (Loss::exact(touching), Loss::exact(touching)));
    Ok(())
}

#[test]
fn swapped_blocks_are_misplaced() -> Result<(), Error> {
    let log = sample();
    // Blocks of equal length: parts 5 and 6.
    let (a, b) = (log.parts[5].clone(), log.parts[6].clone());
    assert_eq!(a.len(), b.len());
    let mut bytes = log.bytes.clone();
    bytes[a.clone()].copy_from_slice(&log.bytes[b.clone()]);
    bytes[b.clone()].copy_from_slice(&log.bytes[a.clone()]);
    let got = read(bytes)?;
    check_losses(&log, &got, "swapped");
    assert_eq!(kinds(&got.report), [DamageKind::Misplaced]);
    assert_eq!(got.report.lost, Loss::exact(5));
    Ok(())
}

#[test]
fn a_block_over_another_is_a_duplicate() -> Result<(), Error> {
    let log = sample();
    let (a, b) = (log.parts[5].clone(), log.parts[6].clone());
    let mut bytes = log.bytes.clone();
    bytes[b.clone()].copy_from_slice(&log.bytes[a]);
    let got = read(bytes)?;
    check_losses(&log, &got, "over another");
    assert_eq!(kinds(&got.report), [DamageKind::Duplicate]);
    assert_eq!(got.report.damage[0].offset, b.start as u64);
    assert_eq!(got.report.lost, Loss::exact(3));
    // Only the head is damaged: the block is read through its tail.
    let mut bytes = log.bytes.clone();
    let head = log.parts[5].start..log.parts[5].start + 4096;
    bytes[b.start..b.start + 4096].copy_from_slice(&log.bytes[head]);
    let got = read(bytes)?;
    assert_eq!(kinds(&got.report), [DamageKind::Duplicate]);
    assert_eq!((got.records.len(), got.report.lost), (log.written.len(), Loss::exact(0)));
    Ok(())
}

#[test]
fn a_doubled_block_shifts_the_rest() -> Result<(), Error> {
    let log = sample();
    let part = log.parts[2].clone();
    let mut bytes = log.bytes.clone();
    bytes.splice(part.end..part.end, log.bytes[part.clone()].iter().copied());
    let got = read(bytes)?;
    check(&log, &got, "doubled");
    assert_eq!(kinds(&got.report), [DamageKind::Duplicate, DamageKind::Misplaced]);
    assert_eq!(got.report.damage[0].len, part.len() as u64);
    assert_eq!(got.records.len(), 8);
    assert_eq!(got.report.ending, Ending::Torn);
    Ok(())
}

#[test]
fn a_removed_block_shifts_the_rest() -> Result<(), Error> {
    let log = sample();
    let mut bytes = log.bytes.clone();
    bytes.drain(log.parts[2].clone());
    let got = read(bytes)?;
    check(&log, &got, "removed");
    assert_eq!(kinds(&got.report), [DamageKind::Misplaced]);
    assert_eq!(got.records.len(), 5);
    Ok(())
}

#[test]
fn parts_of_other_files_are_foreign() -> Result<(), Error> {
    let log = sample();
    for (segment, id) in [(2, 7), (1, 8)] {
        let mut other = Builder::new();
        (other.segment, other.log_id) = (segment, crate::LogId([id; 16]));
        other.session(0xF).block(0, &records(30, 6, 25)).block(1, &records(31, 6, 25)).end();
        let part = log.parts[1].clone();
        assert_eq!(part, other.parts[1]);
        let mut bytes = log.bytes.clone();
        bytes[part.clone()].copy_from_slice(&other.bytes[part]);
        let got = read(bytes)?;
        check_losses(&log, &got, "foreign");
        assert_eq!(kinds(&got.report), [DamageKind::Foreign]);
        assert_eq!(got.report.lost, Loss::exact(5));
    }
    Ok(())
}

#[test]
fn a_report_stays_small() -> Result<(), Error> {
    let mut log = Builder::new();
    log.session(1);
    for index in 0..2500 {
        log.block(0, &records(index, 1, 10));
    }
    log.end();
    let mut bytes = log.bytes.clone();
    for part in log.parts.iter().skip(1).step_by(2).take(1250) {
        bytes[part.start + 4096 + 20] ^= 1;
    }
    let got = read(bytes)?;
    check_losses(&log, &got, "every second block");
    assert_eq!((got.report.damage.len(), got.report.damage_left_out), (1000, 250));
    assert_eq!(got.report.lost, Loss::exact(1250));
    Ok(())
}
