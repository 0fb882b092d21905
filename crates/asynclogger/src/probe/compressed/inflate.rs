//! Decompression of one frame, completely or up to the damage.

use std::{fmt, io};

use zstd::{
    bulk::Decompressor,
    stream::raw::{Decoder, Operation},
    zstd_safe::DParameter,
};

use crate::format::seekable::MAX_CONTENT;

/// The number of bytes at the beginning of a frame that hold its first block, whatever the block is.
pub(crate) const START_STORED: usize = (128 << 10) + 64;

/// How many bytes are fed to the decoder at a time: the output of a call that ends in an error is lost, at
/// first.
const PIECE: usize = 64;
/// Length of the checksum at the end of a frame. Its bytes are fed one by one, so that a wrong checksum costs
/// no content.
const CHECKSUM: usize = 4;

/// Decompresses frames. The memory for that is made when it is first needed.
#[derive(Default)]
pub(crate) struct Inflater {
    whole: Option<Decompressor<'static>>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflater")
    }
}

impl Inflater {
    /// Decompresses the frame `input` of `len` bytes of content into `content`. `false` if `input` is not
    /// such a frame: `content` then has the bytes before the damage, and zeros behind them.
    ///
    /// # Errors
    ///
    /// Only if there is not enough memory.
    pub(crate) fn inflate(
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

    /// Decompresses into `content` until it is full or the first error comes, and returns the number of
    /// bytes. The bytes of `content` behind them can be anything.
    ///
    /// The bytes do not depend on the length of `content`: a caller that has read a short beginning finds the
    /// same bytes in a longer one.
    pub(crate) fn inflate_beginning(
        &mut self,
        input: &[u8],
        content: &mut [u8],
    ) -> io::Result<usize> {
        let (blocks, checksum) = input.split_at(input.len().saturating_sub(CHECKSUM));
        let pieces = || blocks.chunks(PIECE).chain(checksum.chunks(1));
        let Fed { done, bad_piece } = feed(pieces(), content)?;
        let Some(bad) = bad_piece else { return Ok(done) };
        // Decompresses again, with the bad piece byte by byte: the piece can have whole blocks before the
        // damage.
        let bytes = pieces().skip(bad).take(1).flat_map(|piece| piece.chunks(1));
        Ok(feed(pieces().take(bad).chain(bytes), content)?.done)
    }
}

/// The progress of a decoder.
struct Fed {
    /// Number of bytes that were decompressed.
    done: usize,
    /// Index of the piece in which the decoder failed.
    bad_piece: Option<usize>,
}

/// Feeds the pieces of a frame to a new decoder, until the end of the frame, the end of `content`, or an
/// error.
fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>, content: &mut [u8]) -> io::Result<Fed> {
    let mut decoder = Decoder::new()?;
    // A header can ask for a window of any size; a frame of this format needs no more than the frame itself.
    decoder.set_parameter(DParameter::WindowLogMax(MAX_CONTENT.ilog2()))?;
    let mut done = 0;
    for (index, mut piece) in pieces.enumerate() {
        loop {
            let room = content.get_mut(done..).unwrap_or_default();
            if room.is_empty() {
                return Ok(Fed { done, bad_piece: None });
            }
            let Ok(status) = decoder.run_on_buffers(piece, room) else {
                return Ok(Fed { done, bad_piece: Some(index) });
            };
            done += status.bytes_written;
            piece = piece.get(status.bytes_read..).unwrap_or_default();
            if status.remaining == 0 {
                return Ok(Fed { done, bad_piece: None }); // the end of the frame
            }
            if piece.is_empty() && status.bytes_written == 0 {
                break;
            }
            if status.bytes_read == 0 && status.bytes_written == 0 {
                return Ok(Fed { done, bad_piece: None }); // no progress
            }
        }
    }
    Ok(Fed { done, bad_piece: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` blocks of four bytes, each for 4096 times the same letter, and one block of an undefined kind.
    fn short_blocks(count: u32) -> Vec<u8> {
        // A single segment with a length of four bytes.
        let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0xA0];
        frame.extend_from_slice(&((count + 1) * 4096).to_le_bytes());
        for _ in 0..count {
            frame.extend_from_slice(&(4096_u32 << 3 | 1 << 1).to_le_bytes()[..3]);
            frame.push(b'a');
        }
        frame.extend_from_slice(&[6; 100]);
        frame
    }

    #[test]
    fn what_is_before_the_damage_counts_to_the_block() -> io::Result<()> {
        for count in [1, 2, 30] {
            let (frame, good) = (short_blocks(count), count as usize * 4096);
            let mut inflater = Inflater::default();
            let mut content = Vec::new();
            assert!(!inflater.inflate(&frame, good + 4096, &mut content)?);
            let expected = [vec![b'a'; good], vec![0; 4096]].concat();
            assert!(content == expected, "{count}");
            for room in [1, 4095, 4096, 4097, good] {
                let mut beginning = vec![0; room.min(good)];
                let done = inflater.inflate_beginning(&frame, &mut beginning)?;
                assert!(done == beginning.len() && expected.starts_with(&beginning));
            }
        }
        Ok(())
    }
}
