//! Segments that a program has given are read as the files of a directory.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{
    super::{ByTime, LogDir, ReadAt, ReadOptions, Scan},
    builder::*,
};
use crate::{Error, Position};

/// Bytes of which a call returns 1,000 at most. The first call of all is interrupted.
#[derive(Debug)]
struct Slow {
    bytes: Vec<u8>,
    /// How many bytes were read; an error for the offsets from `bad` on.
    read: Mutex<Option<u64>>,
    bad: u64,
}

impl ReadAt for Slow {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = self.read.lock().expect("whole");
        let Some(count) = &mut *read else {
            *read = Some(0);
            return Err(io::ErrorKind::Interrupted.into());
        };
        if offset >= self.bad {
            return Err(io::Error::other("the store does not answer"));
        }
        let at = usize::try_from(offset).expect("small").min(self.bytes.len());
        let len = buffer.len().min(1000).min(self.bytes.len() - at);
        buffer[..len].copy_from_slice(&self.bytes[at..at + len]);
        *count += len as u64;
        Ok(len)
    }
}

fn slow(bytes: &[u8], bad: u64) -> Arc<Slow> {
    Arc::new(Slow { bytes: bytes.to_vec(), read: Mutex::new(None), bad })
}

fn scan(files: &[(&str, Arc<Slow>)]) -> Scan {
    let files = files.iter().map(|(name, file)| {
        let file: Arc<dyn ReadAt> = file.clone();
        (PathBuf::from(name), file)
    });
    ReadOptions::new().scan_given(files)
}

/// A log of three segments, and the segments' bytes.
fn log() -> (Builder, [Vec<u8>; 3]) {
    let mut log = Builder::new();
    log.session(0xE).block(0, &records(1, 40, 300)).block(1, &records(2, 30, 300));
    let first = log.rotate();
    log.block(0, &records(3, 50, 30));
    let second = log.rotate();
    log.block(1, &records(4, 2, 30)).end();
    let third = log.bytes.clone();
    (log, [first, second, third])
}

fn drain(log: &mut LogDir) -> Result<Vec<(Position, Vec<u8>)>, Error> {
    let mut records = Vec::new();
    while let Some(record) = log.next_record()? {
        records.push((record.position(), record.bytes().to_vec()));
    }
    Ok(records)
}

#[test]
fn logs_are_found_among_given_files_and_read_whole() -> Result<(), Error> {
    let (written, [first, second, third]) = log();
    let files = [
        ("s3://bucket/3.log", slow(&third, u64::MAX)),
        ("s3://bucket/1.log", slow(&first, u64::MAX)),
        ("s3://bucket/text.log", slow(b"some text\n", u64::MAX)),
        ("s3://bucket/2.log", slow(&second, u64::MAX)),
        ("s3://bucket/copy.log", slow(&second, u64::MAX)),
        ("s3://bucket/empty.log", slow(b"", u64::MAX)),
    ];
    let Scan { mut logs, unreadable } = scan(&files);
    assert_eq!(unreadable.len(), 1, "{unreadable:?}");
    assert_eq!(unreadable[0].path(), Some(Path::new("s3://bucket/text.log")));
    let mut empty = logs.pop().expect("the empty file");
    assert_eq!(drain(&mut empty)?, []);
    let [log] = &mut logs[..] else { panic!("one log: {logs:?}") };
    assert_eq!(log.copies().len(), 1);
    // There is no directory to look at again.
    log.refresh()?;
    let expected: Vec<_> = written.written.iter().map(|r| (r.position, r.bytes.clone())).collect();
    assert_eq!(drain(log)?, expected);
    log.refresh()?;
    assert_eq!(drain(log)?, []);
    let report = log.verify()?;
    assert!(report.is_whole() && report.sessions[0].closed, "{report:#?}");
    assert_eq!(report.segments[0].path, Path::new("s3://bucket/1.log"));
    // The merge opens segments again, by what was given.
    let mut merged = ByTime::new(scan(&files).logs);
    let mut records = 0;
    while merged.next_record()?.is_some() {
        records += 1;
    }
    assert_eq!(records, expected.len());
    Ok(())
}

#[test]
fn the_start_of_a_given_file_costs_few_bytes() {
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 3000, 300)).end();
    let file = slow(&log.bytes, u64::MAX);
    let found = scan(&[("a.log", file.clone())]).logs;
    assert_eq!(found[0].segments()[0].file_bytes, log.bytes.len() as u64);
    let read = file.read.lock().expect("whole").expect("read");
    assert!(read < 16 << 10, "{read} bytes of {}", log.bytes.len());
}

#[test]
fn a_given_file_that_cannot_be_read_is_an_error_with_its_name_and_the_place() -> Result<(), Error> {
    let (written, [first, second, third]) = log();
    let bad = first.len() as u64 / 2;
    let files =
        [("1", slow(&first, bad)), ("2", slow(&second, u64::MAX)), ("3", slow(&third, u64::MAX))];
    let mut log = scan(&files).logs.pop().expect("a log");
    let read = drain(&mut log)?;
    assert!(!read.is_empty() && read.len() < written.written.len());
    let [error] = log.unread() else { panic!("{:?}", log.unread()) };
    assert_eq!(error.path(), Some(Path::new("1")));
    assert!(error.offset().is_some_and(|offset| offset >= bad), "{error:?}");
    assert!(format!("{error:#}").contains("the store does not answer"), "{error:#}");
    assert!(!log.verify()?.is_whole());
    Ok(())
}

#[cfg(all(feature = "zstd", target_os = "linux"))]
#[test]
fn given_files_can_be_compressed() -> Result<(), Error> {
    let (written, [first, second, third]) = log();
    let packed = |bytes: &[u8]| slow(&super::compressed::compressed(bytes, 5000), u64::MAX);
    // By the first bytes, and by the name alone.
    let mut cut = super::compressed::compressed(&second, 5000);
    cut[..4].fill(0);
    let files = [("1", packed(&first)), ("2.log.zst", slow(&cut, u64::MAX)), ("3", packed(&third))];
    let mut log = scan(&files).logs.pop().expect("a log");
    // The damaged frame has the start of the segment, and a part of no block.
    assert_eq!(drain(&mut log)?.len(), written.written.len());
    let damage = log.verify()?.segments[1].damage.len();
    assert!(damage > 0, "the start is damaged");
    let files = [("1", packed(&first)), ("2", packed(&second)), ("3", packed(&third))];
    let mut log = scan(&files).logs.pop().expect("a log");
    assert_eq!(drain(&mut log)?.len(), written.written.len());
    assert!(log.verify()?.is_whole());
    let reader = ReadOptions::new().open_at("a", packed(&first))?;
    assert!(reader.report().stored_bytes < reader.report().file_bytes);
    Ok(())
}
