use std::{collections::BTreeSet, fs, path::Path};

use super::{
    super::{Ending, LogDir, Loss, history::History},
    builder::*,
};
use crate::{Error, ErrorKind, Position};

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    fs::write(dir.join(name), bytes).expect("written");
}

fn drain(log: &mut LogDir) -> Result<Vec<(Position, Vec<u8>)>, Error> {
    let mut records = Vec::new();
    while let Some(record) = log.next_record()? {
        records.push((record.position(), record.bytes().to_vec()));
    }
    Ok(records)
}

/// Four segments of one session, the last one active.
fn segments() -> (Builder, Vec<Vec<u8>>) {
    let mut log = Builder::new();
    log.session(0xE).block(0, &records(1, 4, 30)).block(1, &records(2, 3, 30));
    let first = log.rotate();
    log.block(0, &records(3, 5, 30));
    let second = log.rotate();
    log.block(1, &records(4, 2, 30)).block(0, &records(5, 2, 30));
    let third = log.rotate();
    log.block(1, &records(6, 1, 30)).end();
    let fourth = log.bytes.clone();
    (log, vec![first, second, third, fourth])
}

#[test]
fn a_log_is_read_over_its_segments() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, files) = segments();
    // Names that do not sort like the segments, another log, and entries that are not segments.
    for (name, file) in ["z.log", "m.log", "a.log", "app.log"].iter().zip(&files) {
        write(dir.path(), name, file);
    }
    let mut other = Builder::new();
    other.log_id = crate::LogId([9; 16]);
    other.session(1).block(0, &records(50, 2, 10));
    write(dir.path(), "other.log", &other.bytes);
    write(dir.path(), "text.log", b"some text\n");
    write(dir.path(), "z.log.bak", &files[0]);
    write(dir.path(), ".next.log", &files[3]);
    fs::create_dir(dir.path().join("dir.log")).expect("a directory");

    let mut opened = LogDir::open(dir.path().join("app.log"))?;
    let ids: Vec<u64> = opened.segments().iter().map(|segment| segment.id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!((opened.missing(), opened.log_id()), (vec![], Some(log.log_id)));
    let written: Vec<_> = log.written.iter().map(|r| (r.position, r.bytes.clone())).collect();
    assert_eq!(drain(&mut opened)?, written);
    assert!(opened.next_record()?.is_none());

    let report = opened.verify()?;
    assert!(report.is_whole(), "{report:#?}");
    assert_eq!((report.segments.len(), report.records), (4, written.len() as u64));
    assert_eq!(report.sessions[0].declared.expect("an end").records, written.len() as u64);
    assert!(report.sessions[0].closed);
    assert!(report.segments.iter().all(|report| report.ending == Ending::Clean));

    let all = LogDir::scan(dir.path())?.logs;
    assert_eq!(all.iter().map(|log| log.segments().len()).collect::<Vec<_>>(), [4, 1]);
    let error = LogDir::open(dir.path().join("text.log")).expect_err("text");
    assert_eq!(error.kind(), ErrorKind::NotALog);
    Ok(())
}

#[test]
fn missing_segments_are_named_and_counted() -> Result<(), Error> {
    let (log, files) = segments();
    for missing in BTreeSet::from([1usize, 2]) {
        let dir = tempfile::tempdir().expect("a directory");
        for (index, file) in files.iter().enumerate().filter(|(index, _)| *index != missing) {
            write(dir.path(), &format!("{index}.log"), file);
        }
        let mut opened = LogDir::open(dir.path().join("3.log"))?;
        let id = missing as u64 + 1;
        assert_eq!(opened.missing(), [id..=id]);
        let found = drain(&mut opened)?.len();
        let lost = (log.written.len() - found) as u64;
        let report = opened.verify()?;
        assert_eq!((report.lost, report.records), (Loss::exact(lost), found as u64));
        assert!(!report.is_whole() && report.segments.iter().all(|report| report.is_whole()));
        let session = &report.sessions[0];
        assert_eq!(session.declared.expect("an end").records, session.records + lost);
    }
    Ok(())
}

#[test]
fn segments_deleted_from_the_beginning_are_not_lost() -> Result<(), Error> {
    let (_, files) = segments();
    for first in 1..4 {
        let dir = tempfile::tempdir().expect("a directory");
        for (index, file) in files.iter().enumerate().skip(first) {
            write(dir.path(), &format!("{index}.log"), file);
        }
        let opened = LogDir::open(dir.path().join("3.log"))?;
        let report = opened.verify()?;
        assert!(report.is_whole(), "{first}: {report:#?}");
        assert_eq!(report.segments.len(), 4 - first);
    }
    Ok(())
}

#[test]
fn a_torn_segment_is_settled_by_the_next() -> Result<(), Error> {
    let mut log = Builder::new();
    log.session(0xE).block(0, &records(1, 4, 30)).block(1, &records(2, 3, 30));
    let begin = log.parts[2].start;
    let mut torn = log.abandon();
    torn.truncate(begin + 1000);
    log.block(0, &records(3, 5, 30)).block(1, &records(4, 5, 30));
    let crashed = log.bytes.clone();
    log.end();
    for (last, name) in [(crashed, "open"), (log.bytes.clone(), "closed")] {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), "1.log", &torn);
        write(dir.path(), "2.log", &last);
        let mut opened = LogDir::open(dir.path().join("2.log"))?;
        assert_eq!(drain(&mut opened)?.len(), 14);
        let report = opened.verify()?;
        assert_eq!(report.segments[0].ending, Ending::Torn);
        assert_eq!(report.segments[0].lost.at_most, Some(200));
        assert_eq!(report.lost.at_least, 3, "{name}");
        if name == "closed" {
            assert_eq!(report.lost, Loss::exact(3));
        }
    }
    Ok(())
}

#[test]
fn blocks_written_again_in_the_next_segment_come_once() -> Result<(), Error> {
    // The write of the second and third block failed, though the third reached the disk; both are written
    // again, into the next segment.
    let mut log = Builder::new();
    log.session(0xE).block(0, &records(1, 4, 30));
    let good = log.clone();
    log.block(1, &records(2, 3, 30));
    let hole = log.parts[2].clone();
    log.block(2, &records(3, 2, 30));
    let mut first = log.bytes.clone();
    first[hole].fill(0);
    let mut again = good.clone();
    again.abandon();
    again.block(1, &records(2, 3, 30)).block(2, &records(3, 2, 30)).block(0, &records(4, 2, 30));
    again.end();

    let mut history = History::default();
    let mut found = Vec::new();
    for file in [first, again.bytes.clone()] {
        let mut reader = reader_with(file, history);
        while let Some(record) = reader.next_record()? {
            found.push(record.position());
        }
        history = reader.into_history().expect("accounts");
    }
    let mut expected: Vec<_> = again.written.iter().map(|record| record.position).collect();
    let sort = |positions: &mut Vec<Position>| {
        positions.sort_by_key(|position| (position.shard(), position.number()));
    };
    sort(&mut found);
    sort(&mut expected);
    assert_eq!(found, expected);
    assert_eq!(history.lost(), Loss::exact(0));
    Ok(())
}

#[test]
fn a_segment_that_is_seen_late_comes_in_its_place() -> Result<(), Error> {
    let (log, files) = segments();
    for read_before in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), "1.log", &files[0]);
        write(dir.path(), "3.log", &files[2]);
        let mut opened = LogDir::open(dir.path().join("3.log"))?;
        let early = if read_before { drain(&mut opened)?.len() } else { 0 };
        assert_eq!(early, if read_before { 11 } else { 0 });
        write(dir.path(), "2.log", &files[1]);
        write(dir.path(), "4.log", &files[3]);
        opened.refresh()?;
        // A segment that comes before one that was read is not delivered any more, and is reported.
        let found = drain(&mut opened)?.len();
        let (expected, missing) = if read_before { (1, 1) } else { (log.written.len(), 0) };
        assert_eq!((found, opened.missing().len()), (expected, missing));
    }
    Ok(())
}

/// Without the feature; with it, see `compressed`.
#[cfg(not(feature = "zstd"))]
#[test]
fn a_compressed_file_is_refused_by_the_name_of_the_feature() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), "app_1.log.zst", &crate::format::ZSTD_MAGIC);
    write(dir.path(), "app_1", &crate::format::ZSTD_MAGIC);
    for error in [
        super::super::Reader::open(dir.path().join("app_1.log.zst")).expect_err("compressed"),
        super::super::Reader::open(dir.path().join("app_1")).expect_err("compressed"),
        LogDir::scan(dir.path()).expect("a directory").unreadable.remove(0),
    ] {
        assert_eq!(error.kind(), ErrorKind::MissingFeature);
        assert!(error.to_string().contains("`zstd`"), "{error}");
        assert!(error.path().is_some());
    }
}

#[test]
fn an_empty_file_is_a_log_that_may_begin() -> Result<(), Error> {
    for read_before in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), "app.log", &[]);
        let mut opened = LogDir::open(dir.path().join("app.log"))?;
        assert_eq!((opened.segments().len(), opened.log_id()), (1, None));
        if read_before {
            assert!(opened.next_record()?.is_none());
        }
        write(dir.path(), "app.log", &sample().bytes);
        assert_eq!(drain(&mut opened)?.len(), sample().written.len());
    }
    Ok(())
}

#[test]
fn a_segment_that_was_archived_meanwhile_is_found() -> Result<(), Error> {
    let (log, files) = segments();
    for reopened in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), "app.log", &files[0]);
        let mut opened = LogDir::open(dir.path().join("app.log"))?;
        fs::rename(dir.path().join("app.log"), dir.path().join("app_1.log")).expect("renamed");
        if reopened {
            write(dir.path(), "app.log", &files[1]);
        }
        let mut found = drain(&mut opened)?;
        found.extend(drain(&mut opened)?);
        let count = if reopened { 12 } else { 7 };
        let written = log.written[..count].iter().map(|r| (r.position, r.bytes.clone()));
        assert!(found.into_iter().eq(written));
    }
    Ok(())
}

#[test]
fn the_active_segment_is_followed_over_a_rotation() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let active = dir.path().join("app.log");
    let mut log = Builder::new();
    log.session(0xE).block(0, &records(1, 4, 30));
    write(dir.path(), "app.log", &log.bytes);
    let mut opened = LogDir::open(&active)?;
    assert_eq!(drain(&mut opened)?.len(), 4);
    log.block(0, &records(2, 3, 30));
    write(dir.path(), "app.log", &log.bytes);
    assert_eq!(drain(&mut opened)?.len(), 3);
    let first = log.rotate();
    write(dir.path(), "app.log", &first);
    fs::rename(&active, dir.path().join("app_1.log")).expect("renamed");
    log.block(1, &records(3, 2, 30));
    write(dir.path(), "app.log", &log.bytes);
    assert_eq!(drain(&mut opened)?.len(), 0);
    opened.refresh()?;
    assert_eq!(drain(&mut opened)?.len(), 2);
    assert_eq!(opened.segments()[0].path, dir.path().join("app_1.log"));
    assert!(opened.verify()?.is_whole());
    Ok(())
}

/// Reads these files as one log; returns the number of records and the reported losses.
fn read_all(files: &[Vec<u8>]) -> Result<(u64, Loss), Error> {
    let (mut history, mut found) = (History::default(), 0);
    for file in files {
        let mut reader = reader_with(file.clone(), history);
        while reader.next_record()?.is_some() {
            found += 1;
        }
        history = reader.into_history().expect("accounts");
    }
    Ok((found, history.lost()))
}

#[test]
fn losses_over_segments_add_up_whatever_is_missing() -> Result<(), Error> {
    let (log, files) = segments();
    // Records of each segment, by the order in which they were written.
    let counts = [7u64, 5, 4, 1];
    assert_eq!(counts.iter().sum::<u64>(), log.written.len() as u64);
    for set in 1..1usize << files.len() {
        let there: Vec<usize> = (0..files.len()).filter(|index| set >> index & 1 == 1).collect();
        let (first, last) = (there[0], there[there.len() - 1]);
        let written: u64 = counts[first..=last].iter().sum();
        for damaged in &there {
            let pages = files[*damaged].len() / 4096;
            for from in 0..pages {
                for to in from..=pages {
                    let mut chosen: Vec<_> =
                        there.iter().map(|index| files[*index].clone()).collect();
                    let index = there.iter().position(|index| index == damaged).expect("there");
                    chosen[index][from * 4096..to * 4096].fill(0);
                    if from == 0 && to == pages {
                        chosen[index].clear();
                    }
                    let (found, lost) = read_all(&chosen)?;
                    // A record that is in no file of the log any more does not count as lost from the
                    // existing files.
                    let is_edge = [first, last].contains(damaged) && from == 0 && to == pages;
                    let context = format!("{there:?}, {damaged}: pages {from} to {to}: {lost}");
                    assert!(is_edge || lost.admits(written - found), "{context}");
                    assert!(lost.at_least <= written - found, "{context}");
                }
            }
        }
    }
    Ok(())
}
