//! Compressed segments: zstd frames, and the table of their lengths (docs/format.md, section 8).
//!
//! This module knows only the frames around the compressed bytes; the zstd library handles the bytes inside.

use super::{
    ZSTD_MAGIC,
    bytes::{Put, Take},
};

/// Bytes of the segment in each frame that this library writes, except the last: enough for zstd to find
/// repetitions, and few enough to read one record without decompressing the whole file.
pub(crate) const FRAME_LEN: usize = 2 << 20;
/// A frame with more content than this is not read. The limit bounds the memory that a reader takes.
pub(crate) const MAX_CONTENT: usize = 8 << 20;
/// The greatest length of a frame with [`MAX_CONTENT`] bytes of content, even if zstd could not compress
/// them.
pub(crate) const MAX_STORED: usize = MAX_CONTENT + MAX_CONTENT / 128;
/// The most frames that are read (2 TiB of segment in frames of the length that this library writes). The
/// limit bounds the memory for the places of the frames.
pub(crate) const MAX_FRAMES: usize = 1 << 20;

/// Length of the seek table before its entries, in bytes.
pub(crate) const TABLE_HEADER: usize = 8;
/// Length of the seek table after its entries, in bytes.
pub(crate) const TABLE_FOOTER: usize = 9;
/// Length of an entry as this library writes it, in bytes.
const ENTRY_LEN: usize = 8;
/// Length of an entry with a checksum, in bytes; other programs write these.
const ENTRY_LEN_CHECKED: usize = 12;
/// The magic of the skippable frame that holds the table.
const TABLE_MAGIC: u32 = 0x184D_2A5E;
/// The magic in the last four bytes of the file.
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const HAS_CHECKSUMS: u8 = 0x80;
const RESERVED: u8 = 0x7C;

/// Length of the longest frame header (magic, descriptor, window, dictionary, content size), in bytes.
pub(crate) const MAX_FRAME_HEADER: usize = 18;
/// Length of a block's header, in bytes.
pub(crate) const BLOCK_HEADER: usize = 3;
/// The greatest length of a block in a frame, in bytes.
const MAX_BLOCK: u32 = 128 << 10;

/// The entry of one frame in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameEntry {
    /// Length of the frame in the compressed file, in bytes.
    pub(crate) stored: u32,
    /// Length of the frame's content in the segment, in bytes.
    pub(crate) content: u32,
}

/// The skippable frame with the table of these frames; `None` if there are too many frames.
#[cfg_attr(not(any(test, target_os = "linux")), expect(dead_code, reason = "only Linux writes"))]
pub(crate) fn encode_table(entries: &[FrameEntry]) -> Option<Vec<u8>> {
    if entries.len() > MAX_FRAMES {
        return None;
    }
    let body = entries.len() * ENTRY_LEN + TABLE_FOOTER;
    let mut bytes = vec![0; TABLE_HEADER + body];
    let mut put = Put(&mut bytes);
    put.u32(TABLE_MAGIC);
    put.u32(body as u32);
    for entry in entries {
        put.u32(entry.stored);
        put.u32(entry.content);
    }
    put.u32(entries.len() as u32);
    put.bytes(&[0]);
    put.u32(SEEKABLE_MAGIC);
    Some(bytes)
}

/// The last bytes of a compressed file, which give the place of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    frames: usize,
    entry_len: usize,
}

impl Footer {
    /// Decodes the footer; `None` if these are not the last bytes of a table.
    pub(crate) fn decode(bytes: &[u8; TABLE_FOOTER]) -> Option<Footer> {
        let mut take = Take(bytes);
        let (frames, [descriptor], magic) = (take.u32()?, take.array()?, take.u32()?);
        let entry_len = if descriptor & HAS_CHECKSUMS != 0 { ENTRY_LEN_CHECKED } else { ENTRY_LEN };
        let is_valid =
            magic == SEEKABLE_MAGIC && descriptor & RESERVED == 0 && frames as usize <= MAX_FRAMES;
        is_valid.then_some(Footer { frames: frames as usize, entry_len })
    }

    /// Length of the whole skippable frame, in bytes.
    pub(crate) fn table_len(&self) -> usize {
        TABLE_HEADER + self.frames * self.entry_len + TABLE_FOOTER
    }

    /// The entries of the table. `bytes` is the whole skippable frame, and `before` bytes come before it in
    /// the file. `None` if the entries cannot describe those bytes: the table is damaged, or another kind of
    /// table.
    pub(crate) fn entries(&self, bytes: &[u8], before: u64) -> Option<Vec<FrameEntry>> {
        let mut take = Take(bytes);
        let (magic, body) = (take.u32()?, take.u32()?);
        if magic != TABLE_MAGIC || body as usize != self.table_len() - TABLE_HEADER {
            return None;
        }
        let entries = take.bytes(self.frames * self.entry_len)?.chunks_exact(self.entry_len);
        let mut sum = 0;
        let mut found = Vec::with_capacity(self.frames);
        for entry in entries {
            let mut take = Take(entry);
            let entry = FrameEntry { stored: take.u32()?, content: take.u32()? };
            let fits = entry.content as usize <= MAX_CONTENT && entry.stored > 0;
            sum += u64::from(entry.stored);
            if !fits || sum > before {
                return None;
            }
            found.push(entry);
        }
        (sum == before).then_some(found)
    }
}

/// The decoded beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameHeader {
    /// Blocks follow after `len` bytes.
    Data {
        len: usize,
        /// Bytes of the segment in the frame, if the header gives them.
        content: Option<u64>,
        has_checksum: bool,
    },
    /// A frame to be passed over, `len` bytes long with its header.
    Skippable { len: u64 },
}

impl FrameHeader {
    /// Decodes the header at the front of `bytes`: [`MAX_FRAME_HEADER`] bytes, or fewer at the end of the
    /// file. `None` if the bytes are no header, are cut, or ask for a dictionary.
    pub(crate) fn decode(bytes: &[u8]) -> Option<FrameHeader> {
        let mut take = Take(bytes);
        let magic = take.array()?;
        if u32::from_le_bytes(magic) & 0xFFFF_FFF0 == TABLE_MAGIC & 0xFFFF_FFF0 {
            return Some(FrameHeader::Skippable { len: 8 + u64::from(take.u32()?) });
        }
        if magic != ZSTD_MAGIC {
            return None;
        }
        let [descriptor] = take.array()?;
        let is_single = descriptor & 0x20 != 0;
        if descriptor & 0x0B != 0 {
            return None; // a reserved bit, or a dictionary
        }
        if !is_single {
            take.bytes(1)?; // the window
        }
        let content = match (descriptor >> 6, is_single) {
            (0, false) => None,
            (0, true) => Some(u64::from(take.bytes(1)?.first().copied()?)),
            (1, _) => Some(u64::from(u16::from_le_bytes(take.array()?)) + 256),
            (2, _) => Some(u64::from(take.u32()?)),
            _ => Some(take.u64()?),
        };
        let len = bytes.len() - take.0.len();
        Some(FrameHeader::Data { len, content, has_checksum: descriptor & 4 != 0 })
    }
}

/// Decodes a block's header: how many bytes follow it, and whether the block is the last of the frame. `None`
/// if the header is impossible.
pub(crate) fn block_header(bytes: [u8; BLOCK_HEADER]) -> Option<(u64, bool)> {
    let [a, b, c] = bytes;
    let bits = u32::from_le_bytes([a, b, c, 0]);
    let (is_last, kind, size) = (bits & 1 == 1, bits >> 1 & 3, bits >> 3);
    let stored = match kind {
        0 | 2 => size,
        1 => 1, // one byte, repeated
        _ => return None,
    };
    (size <= MAX_BLOCK).then_some((u64::from(stored), is_last))
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_back() {
        for frames in [0, 1, 3, 700] {
            let entries: Vec<FrameEntry> =
                (0..frames).map(|n| FrameEntry { stored: n + 1, content: 2 * n }).collect();
            let before = entries.iter().map(|entry| u64::from(entry.stored)).sum();
            let bytes = encode_table(&entries).expect("not too many");
            let footer = Footer::decode(bytes.last_chunk().expect("a footer")).expect("valid");
            assert_eq!(footer.table_len(), bytes.len());
            assert_eq!(footer.entries(&bytes, before), Some(entries));
            // The table of another file.
            assert_eq!(footer.entries(&bytes, before + 1), None);
            let skippable = FrameHeader::Skippable { len: bytes.len() as u64 };
            assert_eq!(FrameHeader::decode(&bytes), Some(skippable));
        }
    }

    /// The bytes of docs/format.md.
    #[test]
    fn the_table_has_the_bytes_of_the_specification() {
        let entry = FrameEntry { stored: 0x1234, content: 0x20_0000 };
        let bytes = encode_table(&[entry]).expect("not too many");
        assert_eq!(bytes[..8], [0x5e, 0x2a, 0x4d, 0x18, 17, 0, 0, 0]);
        assert_eq!(bytes[8..16], [0x34, 0x12, 0, 0, 0, 0, 0x20, 0]);
        assert_eq!(bytes[16..], [1, 0, 0, 0, 0, 0xb1, 0xea, 0x92, 0x8f]);
    }

    #[test]
    fn a_flipped_bit_is_seen_or_changes_the_content_alone() {
        let entries =
            [FrameEntry { stored: 100, content: 4096 }, FrameEntry { stored: 7, content: 33 }];
        let bytes = encode_table(&entries).expect("not too many");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let footer = Footer::decode(bad.last_chunk().expect("a footer"));
            let footer = footer.filter(|footer| footer.table_len() == bad.len());
            let found = footer.and_then(|footer| footer.entries(&bad, 107));
            let is_content = (12..16).contains(&(bit / 8)) || (20..24).contains(&(bit / 8));
            // Two bits of the descriptor have no meaning.
            let is_unused = bit / 8 == bytes.len() - 5 && bit % 8 < 2;
            assert!(found.is_none() || is_content || is_unused, "bit {bit}: {found:?}");
        }
    }

    #[test]
    fn headers_are_those_of_the_library() {
        for len in [0, 1, 255, 256, 70_000, 300_000] {
            let content: Vec<u8> = (0..len).map(|n: u32| (n / 5 % 251) as u8).collect();
            let frame = zstd::bulk::compress(&content, 3).expect("compressed");
            let Some(FrameHeader::Data { len: header, content, has_checksum }) =
                FrameHeader::decode(&frame[..frame.len().min(MAX_FRAME_HEADER)])
            else {
                panic!("no header: {len}");
            };
            assert_eq!((content, has_checksum), (Some(u64::from(len)), false));
            let mut at = header;
            loop {
                let bytes = frame[at..at + 3].try_into().expect("three bytes");
                let (stored, is_last) = block_header(bytes).expect("a block");
                at += 3 + stored as usize;
                if is_last {
                    break;
                }
            }
            assert_eq!(at, frame.len());
        }
    }
}
