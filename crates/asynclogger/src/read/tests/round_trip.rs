use super::{
    super::{
        DamageKind, Ending, Format, HeadKind, Layout, Loss, ReadOptions, Reader, SessionState,
        verify,
    },
    builder::*,
};
use crate::{
    Dropped, Error, ErrorKind,
    format::{LogId, time::from_nanoseconds},
};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.log");

#[test]
fn the_golden_file_is_read() -> Result<(), Error> {
    let mut reader = Reader::open(GOLDEN)?;
    let record = reader.next_record()?.expect("a record");
    assert_eq!((record.bytes(), record.offset()), (&b"first\n"[..], 0x2008));
    let position = record.position();
    assert_eq!(position.session(), 0x1122_3344_5566_7788);
    assert_eq!((position.shard(), position.number()), (2, 1000));
    assert_eq!(record.time(), Some(from_nanoseconds(1_700_000_000_000_000_001)));
    let record = reader.next_record()?.expect("a record");
    assert_eq!((record.bytes(), record.position().number()), (&[0u8, 255, 0][..], 1001));
    assert!(reader.next_record()?.is_none() && reader.next_record()?.is_none());

    let report = verify(GOLDEN)?;
    assert_eq!(&report, reader.report());
    assert!(report.is_whole(), "{report:#?}");
    assert_eq!(report.format, Format::Native { version: 1 });
    assert_eq!(report.log_id, Some(LogId(std::array::from_fn(|i| 0x10 + i as u8))));
    assert_eq!((report.segment, report.previous_segment, &report.name[..]), (7, 6, &b"golden"[..]));
    assert_eq!((report.blocks, report.records, report.payload_bytes), (1, 2, 9));
    assert_eq!((report.file_bytes, report.overhead_bytes()), (0x5000, 0x5000 - 9));
    assert_eq!(report.first_time, Some(from_nanoseconds(1_700_000_000_000_000_001)));
    assert_eq!(report.ending, Ending::Clean);
    let [session] = &report.sessions[..] else { panic!("one session") };
    assert_eq!(session.session, 0x1122_3344_5566_7788);
    assert_eq!((session.records, session.closed), (2, true));
    let declared = session.declared.expect("an end");
    assert_eq!((declared.records, declared.segment_records), (1002, 2));
    assert_eq!(declared.blocks, 41);
    assert_eq!(session.dropped, Dropped::from_array([9, 8, 7, 6, 5]));
    assert_eq!(report.dropped().total(), 35);
    assert_eq!((session.salvaged, session.state), (0, SessionState::Closed));
    // The same log with an end that says how many records were salvaged.
    let salvaged = verify(GOLDEN.replace("v1.log", "v1-salvaged.log"))?;
    assert_eq!((salvaged.salvaged(), salvaged.records), (2, 2));
    let mut sessions = salvaged.sessions.clone();
    sessions[0].salvaged = 0;
    assert_eq!((sessions, salvaged.is_whole()), (report.sessions, true));
    Ok(())
}

#[test]
fn everything_written_is_read() -> Result<(), Error> {
    for (log, name) in [(sample(), "small"), (large_sample(), "large")] {
        let got = read(log.bytes.clone())?;
        check_losses(&log, &got, name);
        let written: Vec<_> = log.written.iter().map(|r| (r.position, r.bytes.clone())).collect();
        assert_eq!(got.records, written, "{name}");
        assert!(got.report.is_whole() && got.report.ending == Ending::Clean, "{:#?}", got.report);
        for session in &got.report.sessions {
            let declared = session.declared.expect("an end");
            assert_eq!(declared.records, session.records);
            assert_eq!(declared.payload_bytes, session.payload_bytes);
            assert!(session.closed);
        }
    }
    Ok(())
}

#[test]
fn offsets_lead_to_the_records() -> Result<(), Error> {
    let log = large_sample();
    let mut reader = Reader::from_bytes(log.bytes.clone())?;
    let mut written = log.written.iter();
    while let Some(record) = reader.next_record()? {
        let expected = written.next().expect("a record");
        assert_eq!(record.offset(), expected.range.start as u64);
    }
    Ok(())
}

#[test]
fn blocks_tell_of_themselves() -> Result<(), Error> {
    let log = sample();
    let mut reader = Reader::from_bytes(log.bytes.clone())?;
    let mut told = Vec::new();
    while let Some(block) = reader.next_block()? {
        assert!(
            log.parts.contains(&(block.offset() as usize..(block.offset() + block.len()) as usize))
        );
        assert_eq!((block.segment(), block.record_count()), (1, block.records().count() as u64));
        // The records of the second session have times of their own.
        let is_timed = block.session() == 0xB;
        assert!(is_timed || block.records().all(|record| record.time() == block.time()));
        told.push((block.session(), block.sequence(), block.shard(), block.generation()));
    }
    let a = [(0xA, 0, 0, 0), (0xA, 1, 1, 0), (0xA, 2, 0, 1), (0xA, 3, 2, 0), (0xA, 4, 1, 1)];
    let b = [(0xB, 0, 1, 0), (0xB, 1, 0, 0)];
    assert_eq!(told, [&a[..], &b[..]].concat());
    Ok(())
}

#[test]
fn records_blocks_and_owned_records_go_together() -> Result<(), Error> {
    let log = sample();
    let mut reader = Reader::from_bytes(log.bytes.clone())?;
    // One record of the first block, the second block, then the rest record by record.
    assert_eq!(reader.next_record()?.expect("a record").bytes(), log.written[0].bytes);
    let block = reader.next_block()?.expect("a block");
    assert_eq!(block.records().count(), 3);
    let rest: Result<Vec<_>, Error> = reader.into_iter().collect();
    let rest = rest?;
    let expected = &log.written[8..];
    assert_eq!(rest.len(), expected.len());
    assert!(rest.iter().zip(expected).all(|(got, written)| got.bytes == written.bytes));
    Ok(())
}

#[test]
fn a_plain_reader_finds_every_record_by_both_rules() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    for log in [sample(), large_sample()] {
        std::fs::write(&path, &log.bytes).expect("written");
        for layout in [Layout::Seed, Layout::Capacity] {
            let mut reader = ReadOptions::new().layout(layout).open(&path)?;
            let mut written = log.written.iter();
            while let Some(record) = reader.next_record()? {
                assert_eq!(record.bytes(), written.next().expect("a record").bytes);
            }
            assert!(written.next().is_none(), "{layout}");
            assert!(reader.report().is_whole(), "{:#?}", reader.report());
            assert_eq!(reader.report().format, Format::Original { layout });
        }
    }
    Ok(())
}

#[test]
fn what_is_no_log_is_refused() {
    let kind = |bytes: &[u8]| Reader::from_bytes(bytes.to_vec()).err().map(|error| error.kind());
    let text = b"a line of text, and another one that is longer than the first\n".repeat(100);
    assert_eq!(kind(&text), Some(ErrorKind::NotALog));
    assert_eq!(kind(&[0; 5000]), Some(ErrorKind::NotALog));
    assert_eq!(kind(b"x"), Some(ErrorKind::NotALog));
    assert_eq!(kind(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"), Some(ErrorKind::NotALog));

    let mut later = sample().bytes;
    later[24] = 2;
    let crc = crate::format::checksum::crc32c_append(
        crate::format::checksum::crc32c(&later[..12]),
        &later[16..4096],
    );
    later[12..16].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(kind(&later), Some(ErrorKind::UnsupportedVersion));

    let dir = tempfile::tempdir().expect("a directory");
    let error = Reader::open(dir.path()).expect_err("a directory");
    assert_eq!((error.kind(), error.path()), (ErrorKind::NotAFile, Some(dir.path())));
    let error = Reader::open(dir.path().join("none.log")).expect_err("nothing");
    assert_eq!(error.kind(), ErrorKind::Io);
    #[cfg(unix)]
    {
        // Opening the FIFO would wait for a writer.
        let pipe = dir.path().join("pipe.log");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        let error = Reader::open(&pipe).expect_err("a pipe");
        assert_eq!(error.kind(), ErrorKind::NotAFile);
        let error = Reader::open("/dev/null").expect_err("a device");
        assert_eq!(error.kind(), ErrorKind::NotAFile);
    }
}

#[test]
fn an_empty_file_is_an_empty_log() -> Result<(), Error> {
    let got = read(Vec::new())?;
    assert!(got.report.is_whole() && got.records.is_empty());
    assert_eq!(got.report.ending, Ending::Open);
    Ok(())
}

#[test]
fn records_that_are_log_files_stay_records() -> Result<(), Error> {
    let inner = sample().bytes;
    let mut log = Builder::new();
    // Shifted by every sector, so that the inner metadata also stands on sector boundaries.
    let shifted: Vec<Vec<u8>> =
        (0..512).step_by(64).map(|pad| [&vec![1u8; pad][..], &inner[..]].concat()).collect();
    log.session(0xD).block(0, &shifted).block(1, std::slice::from_ref(&inner)).end();
    let got = read(log.bytes.clone())?;
    assert!(got.report.is_whole());
    check_losses(&log, &got, "whole");
    // Without head and tail of the first block there is only the data to search in.
    let block = log.parts[1].clone();
    for hole in [block.start..block.start + 4096, block.start..block.end] {
        let mut bytes = log.bytes.clone();
        bytes[hole.clone()].fill(0);
        check_losses(&log, &read(bytes)?, &format!("{hole:?}"));
    }
    // The tail damaged as well: the file inside must not be taken for the outer one.
    let mut bytes = log.bytes.clone();
    bytes[block.start..block.start + 4096].fill(0);
    bytes[block.end - 4096..block.end].fill(0);
    let got = read(bytes)?;
    check_losses(&log, &got, "head and tail");
    assert_eq!(got.records.len(), 1);
    assert_eq!(got.report.lost, Loss::exact(8));
    assert_eq!(got.report.damage[0].kind, DamageKind::Gap);
    Ok(())
}

/// The heads say the same as the records, block by block, and the report counts what was passed over.
#[test]
fn heads_say_what_the_blocks_have() {
    for is_timed in [false, true] {
        let mut log = Builder::new();
        log.is_timed = is_timed;
        log.session(5).block(0, &[vec![1; 10], vec![2; 20]]).block(1, &[vec![3; 30]]);
        log.note(Dropped::default()).block(0, &[vec![4; 70_000]]).end();
        let mut blocks = Vec::new();
        let mut reader = Reader::from_bytes(log.bytes.clone()).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            let bytes: usize = block.records().map(|record| record.bytes().len()).sum();
            let first = block.records().next().unwrap().time();
            let latest = block.records().map(|record| record.time()).max().unwrap();
            let found =
                (block.shard(), block.record_count(), bytes as u64, block.time(), block.offset());
            blocks.push((found, first.filter(|_| is_timed), latest.filter(|_| is_timed)));
        }
        let mut reader = Reader::from_bytes(log.bytes.clone()).unwrap();
        let (mut heads, mut kinds) = (Vec::new(), String::new());
        while let Some(head) = reader.next_head().unwrap() {
            assert_eq!((head.session, head.segment), (5, 1));
            match head.kind {
                HeadKind::Start { continues } => {
                    assert!(!continues);
                    kinds.push('s');
                }
                HeadKind::Block { shard, begin, latest, records, payload_bytes, .. } => {
                    let found = (shard, records, payload_bytes, head.time, head.offset);
                    heads.push((found, begin, latest));
                    kinds.push('b');
                }
                HeadKind::Totals { is_end, closed, .. } => {
                    assert_eq!(is_end, closed);
                    kinds.push(if is_end { 'e' } else { 'n' });
                }
            }
        }
        assert_eq!((heads, kinds.as_str()), (blocks, "sbbnbe"));
        let report = reader.report();
        assert_eq!((report.skipped_blocks, report.skipped_records, report.blocks), (3, 4, 0));
        assert!(report.is_whole());
    }
}
