//! A metadata block as a value: the contents of its frame, by its kind.

use super::{BlockInfo, Kind, Prefix, Start, Totals, bytes::Take, frame};

pub(crate) use super::frame::{Invalid, MAX_METADATA, PEEK_LEN, has_magic, peek};

/// A decoded metadata block whose checksum is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metadata<'a> {
    Start(Start<'a>),
    Head(BlockInfo, super::block::ChunkTable<'a>),
    Tail(BlockInfo, super::block::ChunkTable<'a>),
    Note(Totals),
    End(Totals),
}

/// Decodes the metadata block at the front of `bytes`, which can be longer than the block.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Prefix, Metadata<'_>), Invalid> {
    let (prefix, kind, size, body) = frame::open(bytes)?;
    let metadata = decode_body(kind, size, prefix.align as usize, body).ok_or(Invalid::Damaged)?;
    Ok((prefix, metadata))
}

fn decode_body(kind: Kind, size: usize, align: usize, take: Take<'_>) -> Option<Metadata<'_>> {
    Some(match kind {
        Kind::Start => Metadata::Start(Start::decode(take)?),
        Kind::Head => {
            let (info, table) = BlockInfo::decode(take, align)?;
            (info.head_len as usize == size).then_some(Metadata::Head(info, table))?
        }
        Kind::Tail => {
            let (info, table) = BlockInfo::decode(take, align)?;
            (info.tail_len as usize == size).then_some(Metadata::Tail(info, table))?
        }
        Kind::Note => Metadata::Note(Totals::decode(take)?),
        Kind::End => Metadata::End(Totals::decode(take)?),
    })
}
