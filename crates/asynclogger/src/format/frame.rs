//! The common frame of all metadata blocks: prefix, magic, checksum.

use super::{
    LogId, SECTOR,
    bytes::{Put, Take},
    checksum::{crc32c, crc32c_append},
    is_valid_align,
};

/// Size of the common prefix; the body follows.
pub(crate) const PREFIX_LEN: usize = 80;
/// The greatest length of a metadata block, in bytes.
pub(crate) const MAX_METADATA: usize = 1 << 24;
/// Offset of the magic. [`peek`] needs the bytes up to the end of the magic.
const MAGIC_AT: usize = 16;
/// Number of bytes that [`peek`] needs.
pub(crate) const PEEK_LEN: usize = MAGIC_AT + 8;
const CRC_AT: usize = 12;

/// The version of metadata blocks without times.
pub(crate) const VERSION: u32 = 1;
/// The version of the head and the tail of a block whose records have times.
pub(crate) const TIMED_VERSION: u32 = 2;

/// The kinds of metadata blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Start,
    Head,
    Tail,
    Note,
    End,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Start, Kind::Head, Kind::Tail, Kind::Note, Kind::End];

    const fn magic(self) -> [u8; 8] {
        match self {
            Kind::Start => *b"ALOGSTRT",
            Kind::Head => *b"ALOGHEAD",
            Kind::Tail => *b"ALOGTAIL",
            Kind::Note => *b"ALOGNOTE",
            Kind::End => *b"ALOGENDS",
        }
    }

    fn from_magic(magic: [u8; 8]) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.magic() == magic)
    }

    /// The last version of blocks of this kind. All versions up to this one are read.
    const fn last_version(self) -> u32 {
        match self {
            Kind::Head | Kind::Tail => TIMED_VERSION,
            Kind::Start | Kind::Note | Kind::End => VERSION,
        }
    }
}

/// The fields that every metadata block has in its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// The alignment `A` of the file.
    pub(crate) align: u32,
    /// Offset of the metadata block in its file.
    pub(crate) offset: u64,
    pub(crate) log_id: LogId,
    pub(crate) segment: u64,
    pub(crate) session: u64,
    /// Nanoseconds since the epoch.
    pub(crate) time: i64,
}

/// The log that a segment belongs to, and the segment's place in that log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) log_id: LogId,
    pub(crate) segment: u64,
}

impl Prefix {
    pub(crate) fn lineage(&self) -> Lineage {
        Lineage { log_id: self.log_id, segment: self.segment }
    }
}

/// The reason why bytes are not a metadata block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// The bytes do not look like a metadata block.
    NotMetadata,
    /// A later version wrote the block; its contents are not known.
    Version(u32),
    /// The checksum, or a field under it, is wrong.
    Damaged,
}

/// Writes a metadata block of the first version over all of `buffer`. `body` fills the part behind the prefix
/// from its front; the rest is zeroed.
pub(super) fn encode(
    buffer: &mut [u8],
    kind: Kind,
    prefix: &Prefix,
    body: impl FnOnce(&mut Put<'_>),
) {
    encode_around(buffer, (kind, VERSION), prefix, 0, body);
}

/// Writes a metadata block over `buffer`, except its last `kept` bytes, which the caller has written.
pub(super) fn encode_around(
    buffer: &mut [u8],
    (kind, version): (Kind, u32),
    prefix: &Prefix,
    kept: usize,
    body: impl FnOnce(&mut Put<'_>),
) {
    debug_assert!(buffer.len() >= PREFIX_LEN + kept && buffer.len() <= MAX_METADATA);
    debug_assert!(buffer.len().is_multiple_of(SECTOR));
    let size = buffer.len() as u32;
    let written = buffer.len().saturating_sub(kept);
    let mut put = Put(buffer.get_mut(..written).unwrap_or_default());
    put.u32(size);
    put.u32(size - 8);
    put.u32(0);
    put.u32(0); // the checksum's place
    put.bytes(&kind.magic());
    put.u32(version);
    put.u32(prefix.align);
    put.u64(prefix.offset);
    put.bytes(&prefix.log_id.0);
    put.u64(prefix.segment);
    put.u64(prefix.session);
    put.i64(prefix.time);
    body(&mut put);
    put.finish();
    let crc = checksum(buffer).unwrap_or(0);
    if let Some(place) = buffer.get_mut(CRC_AT..MAGIC_AT) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

fn checksum(block: &[u8]) -> Option<u32> {
    Some(crc32c_append(crc32c(block.get(..CRC_AT)?), block.get(MAGIC_AT..)?))
}

/// The size and the kind of the metadata block that `bytes` seem to begin with. Only the magic and the size
/// are checked.
pub(crate) fn peek(bytes: &[u8]) -> Option<(usize, Kind)> {
    let mut take = Take(bytes);
    let (size, valid, zero) = (take.u32()?, take.u32()?, take.u32()?);
    take.u32()?;
    let kind = Kind::from_magic(take.array()?)?;
    let size_fits = size as usize <= MAX_METADATA && (size as usize).is_multiple_of(SECTOR);
    (size_fits && size > 8 && valid == size - 8 && zero == 0).then_some((size as usize, kind))
}

/// Whether `bytes` have one of this format's magics in its place. Even a damaged metadata block shows that
/// the file is a log.
pub(crate) fn has_magic(bytes: &[u8]) -> bool {
    let magic = bytes.get(MAGIC_AT..PEEK_LEN).and_then(|magic| magic.try_into().ok());
    magic.and_then(Kind::from_magic).is_some()
}

/// A metadata block whose checksum is valid.
pub(super) struct Opened<'a> {
    pub(super) prefix: Prefix,
    pub(super) kind: Kind,
    pub(super) version: u32,
    pub(super) size: usize,
    /// The bytes behind the prefix.
    pub(super) body: Take<'a>,
}

/// Verifies the metadata block at the front of `bytes`, which can be longer than the block.
pub(super) fn open(bytes: &[u8]) -> Result<Opened<'_>, Invalid> {
    let (size, kind) = peek(bytes).ok_or(Invalid::NotMetadata)?;
    let block = bytes.get(..size).ok_or(Invalid::NotMetadata)?;
    let stored = block.get(CRC_AT..MAGIC_AT).and_then(|crc| crc.try_into().ok());
    if stored.map(u32::from_le_bytes) != checksum(block) {
        return Err(Invalid::Damaged);
    }
    let mut take = Take(block.get(PEEK_LEN..).ok_or(Invalid::Damaged)?);
    let version = take.u32().ok_or(Invalid::Damaged)?;
    if version == 0 || version > kind.last_version() {
        return Err(Invalid::Version(version));
    }
    let prefix = Prefix::decode(&mut take).ok_or(Invalid::Damaged)?;
    Ok(Opened { prefix, kind, version, size, body: take })
}

impl Prefix {
    fn decode(take: &mut Take<'_>) -> Option<Prefix> {
        let prefix = Prefix {
            align: take.u32()?,
            offset: take.u64()?,
            log_id: LogId(take.array()?),
            segment: take.u64()?,
            session: take.u64()?,
            time: take.i64()?,
        };
        is_valid_align(prefix.align as usize).then_some(prefix)
    }
}
