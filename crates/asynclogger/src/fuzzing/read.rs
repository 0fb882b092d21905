//! The reader on untrusted bytes: noise, and wrong fields under right checksums.

use super::{damage::Damaged, input::Input, reading, repair::keeps_the_records, segment::Segment};
use crate::{
    ErrorKind,
    probe::Source,
    read::{Format, Layout, Reader},
};

/// Reads a segment with forged fields, or bare noise.
///
/// A checksum is not an authentication: a forged file can make a reader report anything. But the reader
/// reaches an end, delivers no position twice or out of order, delivers only records under a valid checksum,
/// and its report adds up.
pub fn read_segment(bytes: &[u8]) {
    let mut input = Input(bytes);
    let [how, count] = input.array();
    let file = match how & 3 {
        0 if how & 4 != 0 => input.rest().to_vec(),
        _ => forged(&mut input, how, count),
    };
    keeps_the_records(&file);
    match reading::read(&file, how >> 3) {
        Ok(got) => {
            if matches!(got.report.format, Format::Native { .. }) {
                got.is_vouched_for(&file);
            }
        }
        Err(error) => {
            let kind = error.kind();
            let known = [ErrorKind::NotALog, ErrorKind::UnsupportedVersion];
            assert!(known.contains(&kind), "{error}");
        }
    }
    if how & 0x80 != 0 {
        let layout = if how & 0x40 == 0 { Layout::Seed } else { Layout::Capacity };
        let reader = Reader::new(Source::from_bytes(file), layout);
        let mut reader = reader.expect("no sign is needed");
        let report = reader.read_to_end().expect("no input or output");
        assert_eq!(report.format, Format::Original { layout });
    }
}

/// A valid segment that is then forged and damaged in turn.
fn forged(input: &mut Input<'_>, how: u8, count: u8) -> Vec<u8> {
    let plan = *input;
    let segment = Segment::plan(input, 7);
    let places: Vec<usize> =
        segment.parts.iter().flat_map(|part| part.metadata()).map(|range| range.start).collect();
    let mut damaged = Damaged::new(segment.bytes);
    for _ in 0..count % 8 {
        if how & 3 == 3 {
            damaged.move_to(input, &places);
        }
        damaged.forge(input, &places);
    }
    damaged.suffer(input, plan);
    damaged.bytes
}
