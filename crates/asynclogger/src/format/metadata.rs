//! A metadata block as a value: the contents of its frame, by its kind.

use super::{
    BlockInfo, Column, Kind, Prefix, Start, TIMED_VERSION, Totals,
    block::ChunkTable,
    frame::{self, Opened},
};

pub(crate) use super::frame::{Invalid, MAX_METADATA, PEEK_LEN, has_magic, peek};

/// A decoded metadata block whose checksum is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metadata<'a> {
    Start(Start<'a>),
    Head(BlockInfo, ChunkTable<'a>, Column<'a>),
    Tail(BlockInfo, ChunkTable<'a>, Column<'a>),
    Note(Totals),
    End(Totals),
}

/// Decodes the metadata block at the front of `bytes`, which can be longer than the block.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Prefix, Metadata<'_>), Invalid> {
    let opened = frame::open(bytes)?;
    let prefix = opened.prefix;
    let metadata = decode_body(opened).ok_or(Invalid::Damaged)?;
    Ok((prefix, metadata))
}

fn decode_body(opened: Opened<'_>) -> Option<Metadata<'_>> {
    let Opened { prefix, kind, version, size, body } = opened;
    Some(match kind {
        Kind::Start => Metadata::Start(Start::decode(body)?),
        Kind::Note => Metadata::Note(Totals::decode(body)?),
        Kind::End => Metadata::End(Totals::decode(body)?),
        Kind::Head | Kind::Tail => {
            let is_timed = version == TIMED_VERSION;
            let (info, table, column) =
                BlockInfo::decode(body, kind, prefix.align as usize, is_timed)?;
            let derived = if kind == Kind::Head { info.head_len } else { info.tail_len };
            if derived as usize != size {
                return None;
            }
            match kind {
                Kind::Head => Metadata::Head(info, table, column),
                _ => Metadata::Tail(info, table, column),
            }
        }
    })
}
