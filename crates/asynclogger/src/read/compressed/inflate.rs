//! Decompression of one frame, whole or as far as it goes.

use std::{fmt, io};

use zstd::{
    bulk::Decompressor,
    stream::raw::{Decoder, Operation},
    zstd_safe::DParameter,
};

use crate::format::seekable::MAX_CONTENT;

/// The beginning of a frame that holds its first block, whatever that is.
pub(super) const START_STORED: usize = (128 << 10) + 64;

/// A stream is fed so much at a time: what comes out in the same call as an error is lost.
const PIECE: usize = 64;
/// The last bytes of a frame, its checksum, are fed one by one: a wrong one shall cost nothing.
const CHECKSUM: usize = 4;

/// Decompresses; its memory is made when it is first needed.
#[derive(Default)]
pub(super) struct Inflater {
    whole: Option<Decompressor<'static>>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflater")
    }
}

impl Inflater {
    /// Makes `content` the `len` bytes of the frame `input`. `false`: it is not such a frame. What comes
    /// before the damage is in `content` then, and zeros behind it.
    ///
    /// # Errors
    ///
    /// Only if there is no memory.
    pub(super) fn inflate(
        &mut self,
        input: &[u8],
        len: usize,
        content: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let whole = match &mut self.whole {
            Some(whole) => whole,
            none => none.insert(Decompressor::new()?),
        };
        content.clear();
        content.reserve_exact(len);
        if whole.decompress_to_buffer(input, content).is_ok_and(|done| done == len) {
            return Ok(true);
        }
        content.clear();
        content.resize(len, 0);
        let done = self.inflate_beginning(input, content)?;
        content.get_mut(done..).unwrap_or_default().fill(0);
        Ok(false)
    }

    /// Decompresses into `content` as much as it takes, or as there is before the first error; how much
    /// that was. What is behind it may be anything.
    pub(super) fn inflate_beginning(
        &mut self,
        input: &[u8],
        content: &mut [u8],
    ) -> io::Result<usize> {
        let mut decoder = Decoder::new()?;
        // A header may ask for any window; none of ours needs more than a frame.
        decoder.set_parameter(DParameter::WindowLogMax(MAX_CONTENT.ilog2()))?;
        let mut done = 0;
        let (blocks, checksum) = input.split_at(input.len().saturating_sub(CHECKSUM));
        for mut piece in blocks.chunks(PIECE).chain(checksum.chunks(1)) {
            loop {
                let room = content.get_mut(done..).unwrap_or_default();
                if room.is_empty() {
                    return Ok(done);
                }
                let Ok(status) = decoder.run_on_buffers(piece, room) else { return Ok(done) };
                done += status.bytes_written;
                piece = piece.get(status.bytes_read..).unwrap_or_default();
                if status.remaining == 0 {
                    return Ok(done); // the end of the frame
                }
                if piece.is_empty() && status.bytes_written == 0 {
                    break;
                }
                if status.bytes_read == 0 && status.bytes_written == 0 {
                    return Ok(done); // it does not get on
                }
            }
        }
        Ok(done)
    }
}
