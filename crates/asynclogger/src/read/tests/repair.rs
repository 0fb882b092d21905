//! A repaired file, read as the log that it is: nothing counts as lost that is not.

use std::fs;

use super::{
    super::{LogDir, LogReport, Loss, Reader, Report, parts::repair_file},
    builder::*,
};
use crate::Dropped;

/// Repairs a file; returns the reports on the damaged file and on the log of the new one.
fn repair(bytes: &[u8]) -> (Report, LogReport) {
    let mut new = Vec::new();
    let repaired = repair_file(|| Reader::from_bytes(bytes.to_vec()), &mut new).expect("a log");
    assert!(!repaired.is_copy);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("new.log");
    fs::write(&path, &new).expect("written");
    (repaired.source, LogDir::open(path).and_then(|log| log.verify()).expect("read"))
}

/// Damages the second chunk of a block.
fn damage(bytes: &mut [u8], block: &std::ops::Range<usize>) {
    bytes[block.start + 4096 + 65_536 + 10] ^= 1;
}

#[test]
fn records_of_earlier_segments_are_not_lost() {
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 5, 20)).rotate();
    log.block(0, &records(2, 6, 40_000)).block(1, &records(3, 2, 20)).end();
    let mut bytes = log.bytes.clone();
    damage(&mut bytes, &log.parts[1]);
    let (source, whole) = repair(&bytes);
    assert_eq!((source.lost, source.records), (Loss::exact(3), 5));
    assert!(whole.is_whole(), "{whole:#?}");
    let session = &whole.sessions[0];
    let declared = session.declared.expect("an end");
    assert_eq!((session.records, session.given_up), (5, 3));
    assert_eq!((declared.records, declared.segment_records), (10, 5));
    let before: usize = records(1, 5, 20).iter().map(Vec::len).sum();
    // The bytes of the lost records are not known, so they count with those of the earlier segments.
    let lost: usize = records(2, 6, 40_000)[1..4].iter().map(Vec::len).sum();
    assert_eq!(declared.payload_bytes, session.payload_bytes + (before + lost) as u64);
}

/// The ways in which a file can fail to show where the numbers of its session begin.
#[test]
fn numbers_that_begin_above_0_are_given_up_only_if_they_are_lost() {
    let shapes = (0..24).map(|n| (n % 2 == 1, n / 2 % 3, n / 6 % 2 == 1, n / 12 == 1));
    for (is_second, totals, has_note, is_beheaded) in shapes {
        let context = format!("{is_second} {totals} {has_note} {is_beheaded}");
        let mut log = Builder::new();
        log.session(1);
        if is_second {
            log.block(0, &records(1, 5, 20)).block(1, &records(2, 7, 20)).rotate();
        }
        log.block(0, &records(3, 3, 20)).block(1, &records(4, 4, 20));
        log.block(0, &records(5, 6, 40_000));
        if has_note {
            log.note(Dropped::default());
        }
        log.block(1, &records(6, 2, 20)).block(0, &records(7, 2, 20));
        match totals {
            0 => log.end(),
            1 => log.note(Dropped::default()),
            _ => &mut log,
        };
        let mut bytes = log.bytes.clone();
        damage(&mut bytes, &log.parts[3]);
        if is_beheaded {
            bytes[log.parts[0].start..log.parts[2].end].fill(0);
        }
        let (source, whole) = repair(&bytes);
        let lost = if is_beheaded { 10 } else { 3 };
        assert_eq!(source.records, 17 - lost, "{context}");
        assert!(whole.is_whole(), "{context}: {whole:#?}");
        let given_up = whole.sessions[0].given_up;
        assert!((3..=lost).contains(&given_up), "{context}: {given_up}");
        // Without totals nothing tells what is lost before the first block.
        assert!(given_up == lost || (totals == 2 && !has_note), "{context}: {given_up}");
    }
}
