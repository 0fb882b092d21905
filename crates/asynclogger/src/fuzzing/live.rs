//! A file that is read while it is written.

use std::ops::Range;

use super::{
    damage::Damaged,
    input::Input,
    reading::{self, Delivered},
    segment::{PartKind, Segment},
};
use crate::{
    format::SECTOR,
    read::{Ending, Format, Reader},
};

/// Reads a file that grows, or whose parts are written in any order, as by a logger with several writes in
/// flight.
pub fn live_segment(bytes: &[u8]) {
    let mut input = Input(bytes);
    let [how, steps] = input.array();
    let plan = input;
    let segment = Segment::plan(&mut input, 7);
    match how & 3 {
        0 => grow(&segment.bytes, &mut input, steps),
        1 => {
            let cut_at: [u8; 16] = input.array();
            let mut damaged = Damaged::new(segment.bytes);
            damaged.suffer(&mut input, plan);
            if steps & 0x80 == 0 {
                grow(&damaged.bytes, &mut Input(&cut_at), steps);
            } else {
                follow(&damaged.bytes);
            }
        }
        _ => write(&segment, &mut input, how & 1 == 0),
    }
}

/// Reads all available records. The first look at the end only shows that it is the end. A file that is too
/// short to show its kind is not opened yet.
fn drain(reader: &mut Reader, file: &[u8], got: &mut Vec<Delivered>) {
    for _ in 0..2 {
        while let Ok(Some(record)) = reader.next_record() {
            got.push(Delivered::new(&record, file));
        }
    }
}

/// The file grows piece by piece, and each piece is whole: in the end, the records and the report are the
/// same as those of a reader that opens the finished file.
fn grow(file: &[u8], input: &mut Input<'_>, steps: u8) {
    let Ok(late) = reading::read(file, 0) else { return };
    let mut reader = Reader::from_bytes(Vec::new()).expect("an empty log");
    let (mut got, mut len) = (Vec::new(), 0);
    for step in 0..=steps % 8 {
        let piece = input.u16();
        let piece = if step == steps % 8 { file.len() } else { piece * 64 / (1 + piece % 7) };
        let next = (len + piece).min(file.len());
        reader.source.append(&file[len..next]);
        len = next;
        drain(&mut reader, file, &mut got);
    }
    if reader.report().format != late.report.format {
        // The file is not of the kind that its first bytes suggested.
        return;
    }
    assert_eq!(got, late.records, "{:#?}", late.report);
    if matches!(late.report.format, Format::Native { .. }) {
        // The bytes behind the valid bytes of the original's last shard can be padding or a cut shard. They
        // are not read again.
        assert_eq!(*reader.report(), late.report);
    }
}

/// Behind an end the reader does not wait, whatever is damaged before the end.
fn follow(file: &[u8]) {
    let Ok(late) = reading::read(file, 0) else { return };
    if late.report.ending != Ending::Clean {
        return;
    }
    let mut reader = Reader::from_bytes(file.to_vec()).expect("what was read before");
    reader.set_follow(true);
    let mut got = Vec::new();
    drain(&mut reader, file, &mut got);
    assert_eq!(got, late.records, "{:#?}", late.report);
    assert_eq!(*reader.report(), late.report);
}

/// The pieces of the parts between two starts or ends come in any order. A following reader delivers each
/// record once and in order, and finally reports no damage. A reader that does not follow can miss records,
/// but delivers none twice.
fn write(segment: &Segment, input: &mut Input<'_>, follow: bool) {
    let file = &segment.bytes;
    let mut reader = Reader::from_bytes(Vec::new()).expect("an empty log");
    reader.set_follow(follow);
    let mut got = Vec::new();
    let mut in_flight: Vec<Range<usize>> = Vec::new();
    for part in &segment.parts {
        let is_border = matches!(part.kind, PartKind::Start | PartKind::End);
        if is_border || in_flight.len() > 24 {
            land(&mut reader, segment, &mut in_flight, input, &mut got);
        }
        // A write may come in pieces.
        let [pieces, at] = input.array().map(usize::from);
        let cut = part.range.start + at * SECTOR % part.range.len();
        if pieces & 1 == 1 && cut > part.range.start {
            in_flight.push(part.range.start..cut);
            in_flight.push(cut..part.range.end);
        } else {
            in_flight.push(part.range.clone());
        }
        if is_border {
            land(&mut reader, segment, &mut in_flight, input, &mut got);
        }
    }
    land(&mut reader, segment, &mut in_flight, input, &mut got);
    drain(&mut reader, file, &mut got);
    let written: Vec<_> = segment.written.iter().map(|record| record.position).collect();
    let positions: Vec<_> = got.iter().map(|record| record.position).collect();
    if follow {
        assert_eq!(positions, written, "{:#?}", reader.report());
        assert!(reader.report().is_whole(), "{:#?}", reader.report());
        assert_ne!(reader.report().ending, Ending::Torn);
        assert_eq!(reader.report().records, written.len() as u64);
    } else {
        let mut sorted = positions.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), positions.len(), "twice: {:#?}", reader.report());
        assert!(positions.iter().all(|position| written.contains(position)));
    }
}

/// Completes the writes in flight in the order that `input` decides, with looks in between.
fn land(
    reader: &mut Reader,
    segment: &Segment,
    in_flight: &mut Vec<Range<usize>>,
    input: &mut Input<'_>,
    got: &mut Vec<Delivered>,
) {
    while !in_flight.is_empty() {
        let [which, look] = input.array();
        let range = in_flight.remove(usize::from(which) % in_flight.len());
        reader.source.change(|bytes| {
            if bytes.len() < range.end {
                bytes.resize(range.end, 0);
            }
            bytes[range.clone()].copy_from_slice(&segment.bytes[range]);
        });
        if look & 1 == 0 {
            drain(reader, &segment.bytes, got);
        }
    }
}
