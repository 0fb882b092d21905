//! Files of the original, compared with a reader that was written from section 1 of `docs/format.md` alone.

use super::{
    damage::Damaged,
    input::Input,
    reading::{self, Delivered},
    repair::keeps_the_records,
    segment::Segment,
};
use crate::{
    ErrorKind,
    probe::Source,
    read::{Format, Layout, Reader},
};

/// Reads a file of the original, by both rules and by the rule that the reader finds; or reads a file of this
/// library in the manner of the original's readers.
pub fn original_layout(bytes: &[u8]) {
    let mut input = Input(bytes);
    let [how, count] = input.array();
    match how & 7 {
        0 => {
            let segment = Segment::plan(&mut input, 7);
            for layout in [Layout::Seed, Layout::Capacity] {
                let got = forced(&segment.bytes, layout);
                let written = segment.written.iter().map(|record| (record.at, record.end));
                assert!(got.iter().copied().eq(written), "{layout}");
            }
        }
        1 => check(input.rest(), how),
        2..=4 => {
            // A whole file.
            let layout = if how & 8 == 0 { Layout::Seed } else { Layout::Capacity };
            let (file, written) = plan(&mut input, layout, count);
            assert_eq!(forced(&file, layout), written);
            check(&file, how);
        }
        _ => {
            let layout = if how & 8 == 0 { Layout::Seed } else { Layout::Capacity };
            let (file, _) = plan(&mut input, layout, count);
            let mut damaged = Damaged::new(file);
            damaged.suffer(&mut input, Input(&[]));
            poke(&mut damaged.bytes, how, &mut input);
            check(&damaged.bytes, how);
        }
    }
}

/// Values for headers and lengths, which flipped bits rarely make.
fn poke(file: &mut [u8], how: u8, input: &mut Input<'_>) {
    for _ in 0..how >> 6 {
        let (at, value) = (input.u16() * 4, input.u32());
        if let Some(place) = file.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
}

/// A file by the rule, and the places of its records. The bytes between the valid bytes and the next header
/// are stale, as in a file of a logger that uses its buffers again.
fn plan(input: &mut Input<'_>, layout: Layout, count: u8) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut file, mut written) = (Vec::new(), Vec::new());
    for _ in 0..1 + count % 6 {
        let [records, lens, fill, stale, capacity] = input.array();
        let begin = file.len();
        file.extend_from_slice(&[0; 8]);
        for index in 0..1 + usize::from(records % 12) {
            let at = file.len();
            let len = 1 + usize::from(lens) * (index + 1) % 211;
            file.extend_from_slice(&(len as u32).to_le_bytes());
            file.resize(at + 4 + len, fill);
            written.push((at, file.len()));
        }
        let valid = file.len() - begin - 8;
        let least = (8 + valid).next_multiple_of(512);
        let capacity = least + usize::from(capacity % 8) * 512;
        file[begin..begin + 4].copy_from_slice(&(capacity as u32).to_le_bytes());
        file[begin + 4..begin + 8].copy_from_slice(&(valid as u32).to_le_bytes());
        let end = begin + if layout == Layout::Capacity { capacity } else { least };
        file.resize(end, stale);
    }
    (file, written)
}

fn check(file: &[u8], how: u8) {
    for layout in [Layout::Seed, Layout::Capacity] {
        assert_eq!(forced(file, layout), plain(file, layout), "{layout}");
    }
    keeps_the_records(file);
    match reading::read(file, how >> 4) {
        Ok(got) => match got.report.format {
            Format::Original { layout } => {
                assert_ne!(layout, Layout::Auto);
                let records: Vec<_> = got.records.iter().map(|r| (r.at, r.end)).collect();
                assert_eq!(records, plain(file, layout));
                let (seed, capacity) =
                    (is_plausible(file, Layout::Seed), is_plausible(file, Layout::Capacity));
                // If exactly one rule leads through the whole file, the reader takes that rule.
                match layout {
                    Layout::Seed => assert!(!capacity || seed, "by capacity: {file:?}"),
                    _ => assert!(!seed || capacity, "by seed: {file:?}"),
                }
            }
            Format::Native { .. } => got.is_vouched_for(file),
        },
        Err(error) => {
            assert!([ErrorKind::NotALog, ErrorKind::UnsupportedVersion].contains(&error.kind()));
        }
    }
}

/// Reads by the given rule; checks the report on the way.
fn forced(file: &[u8], layout: Layout) -> Vec<(usize, usize)> {
    let mut reader = Reader::new(Source::from_bytes(file.to_vec()), layout)
        .expect("a forced rule asks for no sign");
    let (mut records, mut payload) = (Vec::new(), 0);
    while let Some(record) = reader.next_record().expect("no input or output") {
        let Delivered { position, at, end, .. } = Delivered::new(&record, file);
        assert_eq!(position, (0, 0, records.len() as u64));
        payload += end - at - 4;
        records.push((at, end));
    }
    let report = reader.report();
    assert_eq!(report.format, Format::Original { layout });
    assert_eq!((report.records, report.payload_bytes), (records.len() as u64, payload as u64));
    assert_eq!(report.lost.at_least, 0);
    for damage in &report.damage {
        assert!(damage.offset + damage.len <= file.len() as u64, "{damage:?}");
        assert_eq!(damage.lost.at_least, 0);
    }
    records
}

fn number(file: &[u8], at: usize) -> Option<usize> {
    let bytes = file.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes) as usize)
}

fn header(file: &[u8], at: usize) -> Option<(usize, usize)> {
    Some((number(file, at)?, number(file, at + 4)?))
}

/// The plain reader: headers by the rule, records back to back, no checks. The reader stops at an impossible
/// header.
fn plain(file: &[u8], layout: Layout) -> Vec<(usize, usize)> {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some((capacity, valid)) = header(file, at) {
        if capacity == 0 || valid == 0 || capacity < 8 + valid {
            break;
        }
        let (mut from, end) = (at + 8, at + 8 + valid);
        while let Some(len) = number(file, from).filter(|len| *len > 0) {
            let to = from + 4 + len;
            if to > end || to > file.len() {
                break;
            }
            records.push((from, to));
            from = to;
        }
        at += if layout == Layout::Capacity { capacity } else { (8 + valid).next_multiple_of(512) };
    }
    records
}

/// Whether every header up to the very end of the file is plausible by the rule.
fn is_plausible(file: &[u8], layout: Layout) -> bool {
    let mut at = 0;
    while let Some((capacity, valid)) = header(file, at) {
        if capacity == 0 || valid == 0 || capacity < 8 + valid || at + 8 + valid > file.len() {
            return false;
        }
        at += if layout == Layout::Capacity { capacity } else { (8 + valid).next_multiple_of(512) };
    }
    // The last shard of the seed layout does not have to be padded.
    at == file.len() || layout == Layout::Seed && at > file.len()
}
