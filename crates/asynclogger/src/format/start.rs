//! The start block: the log, the segment, the session, and the name of the logger that wrote it.

use super::{
    Kind, Prefix,
    bytes::{Put, Take},
    frame::{self, PREFIX_LEN},
};

/// The body of a start block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start<'a> {
    /// Number of the segment before this one; 0 if there is none.
    pub(crate) previous: u64,
    /// Sequence of the first block that the session writes after this start.
    pub(crate) first_sequence: u64,
    /// Full name of the logger or event.
    pub(crate) name: &'a [u8],
}

impl<'a> Start<'a> {
    /// The longest name that a start of `size` bytes can carry.
    pub(crate) const fn max_name(size: usize) -> usize {
        size.saturating_sub(PREFIX_LEN + 20)
    }

    /// Writes the start over all of `buffer`. A name that does not fit is cut.
    pub(crate) fn encode(&self, prefix: &Prefix, buffer: &mut [u8]) {
        let fits = self.name.len().min(Start::max_name(buffer.len()));
        let name = self.name.get(..fits).unwrap_or_default();
        frame::encode(buffer, Kind::Start, prefix, |put: &mut Put<'_>| {
            put.u64(self.previous);
            put.u64(self.first_sequence);
            put.u32(name.len() as u32);
            put.bytes(name);
        });
    }

    pub(super) fn decode(mut take: Take<'a>) -> Option<Start<'a>> {
        let (previous, first_sequence) = (take.u64()?, take.u64()?);
        let name_len = take.u32()? as usize;
        Some(Start { previous, first_sequence, name: take.bytes(name_len)? })
    }
}
