//! Compressed segments, whole and damaged, are read like the segments from which they were made.

use std::{
    fs::{self, File},
    io::Write,
    ops::ControlFlow,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    super::{DamageKind, Ending, Layout, LogDir, ReadOptions, Reader, verify},
    builder::*,
};
use crate::{Error, ErrorKind, write::compress};

/// The bytes of `source`, compressed with `frame_len` bytes of it in each frame.
pub(super) fn compressed(source: &[u8], frame_len: usize) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, into) = (dir.path().join("from"), dir.path().join("into"));
    fs::write(&from, source).expect("written");
    let (from, file) = (File::open(from).expect("a file"), File::create(&into).expect("a file"));
    let outcome = compress::compress(&from, &file, 3, frame_len, |_| ControlFlow::Continue(()));
    assert!(matches!(outcome.expect("compressed"), compress::Outcome::Done { .. }));
    fs::read(into).expect("read")
}

fn read_file(path: &Path) -> Result<Got, Error> {
    let mut reader = Reader::open(path)?;
    read_all(&mut reader)
}

/// Reads `bytes` as a file of this name.
fn read_as(name: &str, bytes: &[u8]) -> Result<Got, Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("written");
    read_file(&path)
}

#[test]
fn it_reads_as_what_it_was() -> Result<(), Error> {
    for log in [sample(), large_sample()] {
        let plain = read(log.bytes.clone())?;
        for frame_len in [4096, 5000, 1 << 16, 2 << 20] {
            let bytes = compressed(&log.bytes, frame_len);
            // By its name, and by its first bytes.
            for name in ["app_1.log.zst", "app"] {
                let got = read_as(name, &bytes)?;
                assert_eq!(got.records, plain.records);
                assert!(got.report.is_whole(), "{:#?}", got.report);
                assert_eq!(got.report.file_bytes, log.bytes.len() as u64);
                assert_eq!(got.report.stored_bytes, bytes.len() as u64);
                assert_eq!(got.report.ending, Ending::Clean);
                assert_eq!(got.report.sessions, plain.report.sessions);
            }
        }
    }
    Ok(())
}

#[test]
fn the_tool_of_zstd_restores_the_file() {
    let log = large_sample();
    let stored = compressed(&log.bytes, 1 << 16);
    let tool = Command::new("zstd").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut tool) = tool else {
        println!("skipped: there is no `zstd` here");
        return;
    };
    let mut stdin = tool.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&stored));
    let output = tool.wait_with_output().expect("it runs");
    writer.join().expect("no panic").expect("written");
    assert!(output.status.success());
    assert_eq!(output.stdout, log.bytes);
}

/// After any damage to the file, no record is invented, and every lost record is reported.
fn check_told(log: &Builder, got: Result<Got, Error>, context: &str) -> Option<Got> {
    let got = match got {
        Ok(got) => got,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotALog, "{context}: {error}");
            return None;
        }
    };
    check_losses(log, &got, context);
    Some(got)
}

#[test]
fn every_truncation_is_told() {
    let log = tiny_sample();
    let whole = compressed(&log.bytes, 8192);
    let table = 17 + 8 * log.bytes.len().div_ceil(8192);
    let first = whole.len() - table + 8;
    let first = u32::from_le_bytes(whole[first..first + 4].try_into().expect("four bytes"));
    for len in 0..whole.len() {
        let got = check_told(&log, read_as("a.log.zst", &whole[..len]), &format!("cut at {len}"));
        let Some(got) = got else {
            assert!(len < first as usize, "{len}");
            continue;
        };
        assert!(kinds(&got.report).contains(&DamageKind::SeekTable), "cut at {len}");
        if len >= whole.len() - table {
            // Only the table is cut off.
            assert_eq!(got.records.len(), log.written.len());
            assert_eq!((got.report.lost.at_most, got.report.damage.len()), (Some(0), 1));
        }
    }
}

#[test]
fn every_flipped_byte_is_told() {
    let log = tiny_sample();
    let whole = compressed(&log.bytes, 8192);
    for at in 0..whole.len() {
        for flip in [0x01, 0x10, 0x80, 0xFF] {
            let mut bad = whole.clone();
            bad[at] ^= flip;
            let context = format!("byte {at} ^ {flip:#x}");
            if let Some(got) = check_told(&log, read_as("a.log.zst", &bad), &context) {
                // Some bits have no meaning.
                let is_all = got.records.len() == log.written.len();
                assert!(!got.report.is_whole() || is_all, "{context}");
                assert!(got.report.file_bytes < 10 << 20, "{context}");
            }
        }
    }
}

#[test]
fn damage_in_many_places_invents_nothing() {
    let log = sample();
    let whole = compressed(&log.bytes, 8192);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..3000 {
        let mut bad = whole.clone();
        for _ in 0..1 + random(4) {
            let (at, len) = (random(bad.len()), 1 + random(60));
            let end = (at + len).min(bad.len());
            match random(4) {
                0 => bad[at..end].fill(random(256) as u8),
                1 => drop(bad.drain(at..end)),
                2 => {
                    let piece = bad[at..end].to_vec();
                    let to = random(bad.len());
                    drop(bad.splice(to..to, piece));
                }
                _ => bad[at] ^= 1 << random(8),
            }
            if bad.is_empty() {
                break;
            }
        }
        if let Ok(got) = read_as("a.log.zst", &bad) {
            check(&log, &got, &format!("round {round}"));
        }
    }
}

#[test]
fn a_damaged_frame_costs_what_was_in_it() -> Result<(), Error> {
    let log = large_sample();
    let frame_len = 1 << 16;
    let whole = compressed(&log.bytes, frame_len);
    let table_len = 17 + 8 * log.bytes.len().div_ceil(frame_len);
    let entries = &whole[whole.len() - table_len + 8..];
    let stored = |n: usize| {
        let bytes = entries[8 * n..8 * n + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    for with_table in [true, false] {
        for broken in 0..log.bytes.len() / frame_len {
            let mut bad = whole.clone();
            let begin: usize = (0..broken).map(stored).sum();
            // The middle of the frame, which is probably a block header.
            bad[begin + stored(broken) / 2] ^= 0xFF;
            bad.truncate(whole.len() - if with_table { 0 } else { table_len });
            let context = format!("frame {broken}, table {with_table}");
            let got = read_as("a.log.zst", &bad)?;
            check_losses(&log, &got, &context);
            let frames: Vec<_> =
                got.report.damage.iter().filter(|it| it.kind == DamageKind::Frame).collect();
            assert_eq!(frames.len(), 1, "{context}: {:#?}", got.report);
            let range = (broken * frame_len)..((broken + 1) * frame_len).min(log.bytes.len());
            assert_eq!((frames[0].offset, frames[0].len), (range.start as u64, range.len() as u64));
            // Every record that does not touch the chunks of the frame is delivered.
            let gone = log.written.len() - got.records.len();
            let chunk = 1 << 16;
            let near = range.start.saturating_sub(chunk)..range.end + chunk;
            let touched = log
                .written
                .iter()
                .filter(|record| record.range.start < near.end && near.start < record.range.end);
            assert!(gone <= touched.count(), "{context}: {gone}");
        }
    }
    Ok(())
}

#[test]
fn a_checksum_of_a_frame_that_is_wrong_costs_nothing_else() -> Result<(), Error> {
    let log = tiny_sample();
    let mut bad = compressed(&log.bytes, 2 << 20);
    let checksum = bad.len() - (17 + 8) - 1;
    bad[checksum] ^= 1;
    let got = read_as("a.log.zst", &bad)?;
    assert_eq!(got.records.len(), log.written.len());
    assert_eq!(kinds(&got.report), [DamageKind::Frame]);
    Ok(())
}

/// Found by fuzzing: the first bytes are read without the rest of their frame, and this frame has no rest.
#[test]
fn a_checksum_of_a_first_frame_that_is_short_is_looked_at() -> Result<(), Error> {
    let log = tiny_sample();
    for frame_len in [4096, 5000] {
        let whole = compressed(&log.bytes, frame_len);
        let frames = log.bytes.len().div_ceil(frame_len);
        let entry = whole.len() - (9 + 8 * frames);
        let first = u32::from_le_bytes(whole[entry..entry + 4].try_into().expect("four bytes"));
        let mut bad = whole;
        bad[first as usize - 1] ^= 1;
        let got = read_as("a.log.zst", &bad)?;
        assert_eq!(got.records.len(), log.written.len());
        assert_eq!(kinds(&got.report), [DamageKind::Frame], "{frame_len}");
    }
    Ok(())
}

#[test]
fn what_asks_for_too_much_memory_is_refused() {
    // A single frame for the whole file, in the manner of the tool.
    let bytes = zstd::bulk::compress(&vec![0; 9 << 20], 1).expect("compressed");
    let error = read_as("a.log.zst", &bytes).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::NotALog);
    assert!(error.to_string().contains("8 MiB"), "{error}");
    // Noise, and text.
    for bytes in [&b"some text, and no frame in it"[..], &[0xA5; 9000]] {
        let error = read_as("a.log.zst", bytes).expect_err("no frames");
        assert_eq!(error.kind(), ErrorKind::NotALog);
    }
}

/// A compressed file was renamed.
#[test]
fn a_log_that_is_called_compressed_and_is_not_is_read() {
    let log = tiny_sample();
    let read = read_as("app.log.zst", &log.bytes).expect("a log");
    assert_eq!(read.records.len(), log.written.len());
    assert!(read.report.is_whole(), "{:#?}", read.report);
}

/// A compressed file is never written again, so a following reader does not wait.
#[test]
fn who_follows_does_not_wait_in_a_compressed_segment() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.log.zst");
    let log = large_sample();
    let end = log.parts[4].start;
    // Two blocks and a hole before the third, and no end.
    let mut bytes = log.bytes[..end].to_vec();
    bytes[log.parts[2].clone()].fill(0);
    fs::write(&path, compressed(&bytes, 1 << 16)).expect("written");
    let mut opened = ReadOptions::new().follow(true).open_log(&path)?;
    let mut found = 0;
    while opened.next_record()?.is_some() {
        found += 1;
    }
    assert_eq!(found, 90 + 70);
    Ok(())
}

/// A frame begins every nine bytes, and its blocks reach to the end of the file. The looks must not all go to
/// the end.
#[test]
fn lying_blocks_do_not_cost_the_square() {
    let lie = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 1, 6 << 3, 0, 0];
    let error = read_as("a.log.zst", &lie.repeat(40_000)).expect_err("nothing in it");
    assert_eq!(error.kind(), ErrorKind::NotALog);
}

/// Files of the original have no checksums, so the zeros of a damaged frame would be read as records.
#[test]
fn files_of_the_original_are_not_read_compressed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.log.zst");
    let mut original = vec![0; 512];
    original[..4].copy_from_slice(&512u32.to_le_bytes());
    original[4..8].copy_from_slice(&7u32.to_le_bytes());
    original[8..15].copy_from_slice(b"\x03\0\0\0abc");
    assert_eq!(read(original.clone()).expect("a log").records.len(), 1);
    fs::write(&path, compressed(&original, 4096)).expect("written");
    assert_eq!(Reader::open(&path).expect_err("refused").kind(), ErrorKind::NotALog);
    fs::write(&path, compressed(&tiny_sample().bytes, 4096)).expect("written");
    let forced = ReadOptions::new().layout(Layout::Seed).open(&path);
    assert_eq!(forced.expect_err("refused").kind(), ErrorKind::NotALog);
}

#[test]
fn a_log_has_segments_of_both_forms() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let mut log = Builder::new();
    log.session(0xE).block(0, &records(1, 4, 30)).block(1, &records(2, 3, 30));
    let first = log.rotate();
    log.block(0, &records(3, 5, 30));
    let second = log.rotate();
    log.block(1, &records(4, 2, 30)).end();
    fs::write(at("app_1.log.zst"), compressed(&first, 4096)).expect("written");
    fs::write(at("app_2.log.zst"), compressed(&second, 4096)).expect("written");
    // The plain file of the second segment is not removed yet; the compressed file of the third is being
    // made.
    fs::write(at("app_2.log"), &second).expect("written");
    fs::write(at(".app_2.log.zst"), b"half").expect("written");
    fs::write(at("notes.log.zst"), b"no frames at all").expect("written");
    fs::write(at("app.log"), &log.bytes).expect("written");
    for path in ["app.log", "app_1.log.zst", "app_2.log.zst"] {
        let mut opened = LogDir::open(at(path))?;
        let names: Vec<_> =
            opened.segments().iter().map(|segment| segment.path.file_name()).collect();
        // The named file is read, otherwise the plain one.
        let second = if path == "app_2.log.zst" { path } else { "app_2.log" };
        let expected = ["app_1.log.zst", second, "app.log"];
        assert_eq!(opened.copies(), []);
        assert_eq!(names, expected.map(|name| Some(name.as_ref())));
        let mut found = Vec::new();
        while let Some(record) = opened.next_record()? {
            found.push((record.position(), record.bytes().to_vec()));
        }
        assert!(found.into_iter().eq(log.written.iter().map(|r| (r.position, r.bytes.clone()))));
        assert!(opened.verify()?.is_whole());
    }
    assert_eq!(LogDir::scan(dir.path())?.logs.len(), 1);

    // A reader that had read the segment in its other form continues.
    let mut opened = LogDir::open(at("app.log"))?;
    fs::remove_file(at("app_2.log")).expect("removed");
    let mut found = 0;
    while opened.next_record()?.is_some() {
        found += 1;
    }
    assert_eq!(found, log.written.len());
    opened.refresh()?;
    assert_eq!(opened.segments()[1].path, at("app_2.log.zst"));
    assert!(verify(at("app_2.log.zst"))?.is_whole());
    Ok(())
}
