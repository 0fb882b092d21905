use super::super::{DamageKind, Ending, Format, Layout, Reader};
use crate::Error;
use crate::probe::Source;

/// A file of the original: shards with the given numbers of records, by one of the rules. `stale` fills the
/// bytes between the valid bytes and the capacity.
fn file(layout: Layout, shards: &[usize], stale: u8) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut bytes, mut written) = (Vec::new(), Vec::new());
    for (shard, count) in shards.iter().enumerate() {
        let mut valid = Vec::new();
        for index in 0..*count {
            let record = format!("shard {shard}, record {index}").repeat(1 + index % 5);
            valid.extend_from_slice(&(record.len() as u32).to_le_bytes());
            valid.extend_from_slice(record.as_bytes());
            written.push(record.into_bytes());
        }
        let begin = bytes.len();
        bytes.extend_from_slice(&16_384u32.to_le_bytes());
        bytes.extend_from_slice(&(valid.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&valid);
        match layout {
            Layout::Capacity => bytes.resize(begin + 16_384, stale),
            _ => bytes.resize(bytes.len().next_multiple_of(512), stale),
        }
    }
    (bytes, written)
}

fn read(bytes: Vec<u8>) -> Result<(Reader, Vec<Vec<u8>>), Error> {
    let mut reader = Reader::from_bytes(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        assert_eq!(record.position().number(), records.len() as u64);
        assert_eq!(record.time(), None);
        records.push(record.bytes().to_vec());
    }
    Ok((reader, records))
}

#[test]
fn both_layouts_are_told_apart() -> Result<(), Error> {
    for layout in [Layout::Seed, Layout::Capacity] {
        for shards in [&[3][..], &[10, 20, 30], &[100, 1, 7, 90], &[120; 20]] {
            for stale in [0, 0x41, 0xFF] {
                let (bytes, written) = file(layout, shards, stale);
                let (reader, records) = read(bytes)?;
                assert_eq!(records, written, "{layout} {shards:?} {stale}");
                let report = reader.report();
                if shards.len() > 1 {
                    assert_eq!(report.format, Format::Original { layout }, "{shards:?}");
                }
                assert!(report.is_whole(), "{layout} {shards:?} {stale}: {report:#?}");
                assert_eq!((report.blocks, report.ending), (shards.len() as u64, Ending::Open));
            }
        }
    }
    Ok(())
}

#[test]
fn stale_records_after_the_valid_ones_are_left_out() -> Result<(), Error> {
    // The bytes that an earlier use of the buffer left behind, in a file by capacity.
    let (mut bytes, written) = file(Layout::Capacity, &[2, 2, 2], 0);
    let (older, _) = file(Layout::Capacity, &[100], 0);
    for shard in 0..3 {
        let valid = u32::from_le_bytes(bytes[shard * 16_384 + 4..][..4].try_into().expect("four"));
        let from = 8 + valid as usize;
        bytes[shard * 16_384 + from..][..8000].copy_from_slice(&older[from..from + 8000]);
    }
    let (reader, records) = read(bytes)?;
    assert_eq!(records, written);
    assert!(reader.report().is_whole());
    Ok(())
}

#[test]
fn truncated_files_give_their_whole_records() -> Result<(), Error> {
    for layout in [Layout::Seed, Layout::Capacity] {
        let (bytes, written) = file(layout, &[10, 20, 5], 0);
        for len in 60..bytes.len() {
            let (reader, records) = read(bytes[..len].to_vec())?;
            assert!(written.starts_with(&records), "{layout} {len}");
            let lost = (written.len() - records.len()) as u64;
            let report = reader.report();
            // A cut between shards leaves no trace.
            if report.is_whole() {
                assert!([0, 5, 25].contains(&lost), "{layout} {len}: {lost}");
            } else {
                assert_eq!(report.ending, Ending::Torn, "{layout} {len}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_bad_length_is_reported() -> Result<(), Error> {
    let (mut bytes, written) = file(Layout::Seed, &[10, 20], 0);
    let second = 8 + 4 + written[0].len();
    bytes[second + 3] = 0x7F;
    let (reader, records) = read(bytes.clone())?;
    assert_eq!(records.len(), 21);
    let damage = reader.report().damage[0];
    assert_eq!((damage.kind, damage.offset), (DamageKind::BadLength, second as u64));
    assert!(damage.lost.admits(9) && reader.report().lost == damage.lost);
    // A length of zeros is also bad behind records.
    bytes[second..second + 4].fill(0);
    let (reader, records) = read(bytes)?;
    assert_eq!((records.len(), reader.report().damage.len()), (21, 1));
    Ok(())
}

#[test]
fn a_bad_header_is_reported() -> Result<(), Error> {
    for fill in [0u8, 0xFF] {
        let (mut bytes, _) = file(Layout::Seed, &[10, 20, 30], 0);
        let second = file(Layout::Seed, &[10], 0).0.len();
        assert_eq!(bytes[second..second + 4], 16_384u32.to_le_bytes());
        bytes[second..second + 8].fill(fill);
        let (reader, records) = read(bytes)?;
        assert_eq!(records.len(), 10);
        assert_eq!(reader.report().damage[0].offset, second as u64);
        assert!(reader.report().lost.admits(50));
    }
    Ok(())
}

#[test]
fn a_forced_layout_reports_a_bad_header() -> Result<(), Error> {
    let (mut bytes, _) = file(Layout::Seed, &[10, 20, 30], 0);
    let second = file(Layout::Seed, &[10], 0).0.len();
    bytes[second..second + 8].fill(0xFF);
    let mut reader = Reader::new(Source::from_bytes(bytes), Layout::Seed)?;
    let report = reader.read_to_end()?;
    assert_eq!((report.records, report.ending), (10, Ending::Torn));
    let damage = report.damage[0];
    assert_eq!((damage.kind, damage.offset), (DamageKind::BadHeader, second as u64));
    Ok(())
}

#[test]
fn zeros_behind_the_last_shard_end_the_file() -> Result<(), Error> {
    for layout in [Layout::Seed, Layout::Capacity] {
        let (mut bytes, written) = file(layout, &[10, 20], 0);
        bytes.extend_from_slice(&[0; 100_000]);
        let (reader, records) = read(bytes)?;
        assert_eq!(records, written, "{layout}");
        assert!(reader.report().is_whole());
        assert_eq!(reader.report().ending, Ending::Open);
    }
    Ok(())
}

#[test]
fn a_growing_file_is_followed() -> Result<(), Error> {
    let (bytes, written) = file(Layout::Seed, &[10, 20, 5], 0);
    for piece in [100, 512, 777] {
        let (first, rest) = bytes.split_at(600);
        let mut reader = Reader::from_bytes(first.to_vec())?;
        let mut records = Vec::new();
        for piece in std::iter::once(&[][..]).chain(rest.chunks(piece)) {
            reader.source.append(piece);
            while let Some(record) = reader.next_record()? {
                assert_eq!(record.position().number(), records.len() as u64);
                assert_eq!(record.time(), None);
                records.push(record.bytes().to_vec());
            }
        }
        assert_eq!(records, written, "{piece}");
        assert!(reader.report().is_whole(), "{:#?}", reader.report());
    }
    Ok(())
}

#[test]
fn noise_is_survived() {
    let (bytes, _) = file(Layout::Seed, &[10, 20, 5], 3);
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = read(bytes);
    }
}
