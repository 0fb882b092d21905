//! The codec of metadata.

use super::{damage::seal, input::Input};
use crate::{
    format::{
        BlockInfo, CHUNK, ChunkEntry, Kind, MIN_ALIGN, Metadata, Prefix, SECTOR, SHARD_HEADER,
        column::column_of,
        metadata::{self, Invalid},
    },
    probe::{Body, Place, Source, look},
};

/// Decodes metadata with any fields, under a right or a wrong checksum. The decoded value is encoded to the
/// same bytes again, and its fields do not contradict each other.
pub fn decode_metadata(bytes: &[u8]) {
    let mut input = Input(bytes);
    let [how, size] = input.array();
    let mut file = vec![0; (1 + usize::from(size % 16)) * SECTOR];
    let kind = [*b"STRT", *b"HEAD", *b"TAIL", *b"NOTE", *b"ENDS"][usize::from(how % 5)];
    if how & 0x80 == 0 {
        let len = file.len() as u32;
        file[..4].copy_from_slice(&len.to_le_bytes());
        file[4..8].copy_from_slice(&(len - 8).to_le_bytes());
        file[16..20].copy_from_slice(b"ALOG");
        file[20..24].copy_from_slice(&kind);
        file[24] = 1 + (size >> 7);
        file[28..32].copy_from_slice(&(MIN_ALIGN as u32).to_le_bytes());
        if how & 0x40 == 0 {
            set_lengths(&mut file, input.u16());
        }
    }
    let at = if how & 0x80 == 0 { usize::from(input.u8()) } else { 0 };
    let rest = input.rest();
    let fits = rest.len().min(file.len() - at);
    file[at..at + fits].copy_from_slice(&rest[..fits]);
    if how & 0x20 == 0 {
        seal(&mut file, 0);
    }
    decode(&file);
    if let Some(bit) = rest.first() {
        // Damage in a sealed block is always noticed.
        let at = usize::from(*bit) * 2 % file.len();
        let was_valid = metadata::decode(&file).is_ok();
        file[at] ^= 1 << (bit % 8);
        assert!(!was_valid || metadata::decode(&file).is_err(), "byte {at}");
    }
}

/// Sets the lengths of head and tail to those for a given number of bytes of records.
fn set_lengths(file: &mut [u8], valid: usize) {
    let mut info = BlockInfo::default();
    info.set_lengths(valid as u32 + 1, MIN_ALIGN);
    let lengths = [info.valid, info.head_len, info.data_len, info.tail_len];
    for (place, length) in file[112..].chunks_mut(4).zip(lengths) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    file[168] = 1;
}

fn decode(file: &[u8]) {
    let decoded = metadata::decode(file);
    let mut source = Source::from_bytes(file.to_vec());
    let place = look(&mut source, 0, &mut Vec::new()).expect("no input or output");
    match decoded {
        Ok((prefix, body)) => {
            let Some((size, kind)) = metadata::peek(file) else { panic!("decoded, not seen") };
            assert!(metadata::has_magic(file) && size <= file.len());
            // Encoders get a buffer that is large enough.
            let mut again = vec![0xAA; size];
            encode(&body, kind, &prefix, &mut again);
            assert_eq!(metadata::decode(&again), Ok((prefix, body)));
            match place {
                Place::Valid(part) => {
                    assert_eq!((part.prefix, part.size), (prefix, size as u64));
                    if let Body::Block { info, table, times, .. } = part.body {
                        assert!(info.scale.is_some() || times.is_empty());
                        assert!(times.is_empty() || times.len() == info.records as usize);
                        fits(&info, &table, prefix.align as usize);
                    }
                }
                place => assert!(matches!(place, Place::Nothing) && is_block(kind)),
            }
        }
        Err(Invalid::Version(version)) => {
            assert!(matches!(place, Place::Later(other) if other == version && version != 1));
        }
        Err(_) => assert!(matches!(place, Place::Nothing)),
    }
}

fn is_block(kind: Kind) -> bool {
    matches!(kind, Kind::Head | Kind::Tail)
}

fn encode(body: &Metadata<'_>, kind: Kind, prefix: &Prefix, buffer: &mut [u8]) {
    match body {
        Metadata::Start(start) => start.encode(prefix, buffer),
        Metadata::Note(totals) | Metadata::End(totals) => totals.encode(kind, prefix, buffer),
        Metadata::Head(info, table, column) | Metadata::Tail(info, table, column) => {
            let table: Vec<ChunkEntry> = table.entries().collect();
            let entries: Vec<u32> = column.entries().collect();
            if let Some(place) = info.column_range(kind) {
                buffer[place].copy_from_slice(&column_of(&entries));
            }
            info.encode(kind, prefix, &table, buffer);
        }
    }
}

/// Sections 2 and 3 of the specification: derived fields have the derived values.
fn fits(info: &BlockInfo, table: &[ChunkEntry], align: usize) {
    assert_eq!(info.block_len() % align as u64, 0);
    assert!((info.data_len as usize).is_multiple_of(SECTOR));
    assert!((info.head_len as usize).is_multiple_of(align));
    assert!(info.valid as usize + SHARD_HEADER <= info.data_len as usize);
    assert_eq!(table.len(), (info.data_len as usize).div_ceil(CHUNK));
    let counted: u64 = table.iter().map(|entry| u64::from(entry.records)).sum();
    assert_eq!(counted, u64::from(info.records));
    assert!(info.payload() >= u64::from(info.records));
}
