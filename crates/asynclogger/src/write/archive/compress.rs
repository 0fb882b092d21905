//! Compression of an archived segment: frames that can be read alone, and the table of their places (docs/format.md,
//! section 8).

use std::{fs::File, io, ops::ControlFlow, os::unix::fs::FileExt};

use zstd::{
    bulk::Compressor,
    compress_bound,
    zstd_safe::CParameter::{ChecksumFlag, ContentSizeFlag},
};

use crate::{
    format::seekable::{FrameEntry, MAX_CONTENT, encode_table},
    probe::read_full,
};

/// The end of a compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The file holds all of the source.
    Done {
        /// Bytes of the source.
        source_bytes: u64,
        /// Bytes of the compressed file.
        stored_bytes: u64,
    },
    /// `between` stopped the compression; the bytes written are no compressed segment.
    Stopped,
}

/// Compresses all of `source`, from its beginning, into the empty file `into`. The caller syncs it.
///
/// `level` is one of zstd's (3 is its default), `frame_len` the bytes of the source in each frame, at most 8 MiB: the
/// compression takes memory for two frames. Before each frame but the first, `between` gets the number of source bytes
/// done; `between` may wait, or stop the work.
///
/// # Errors
///
/// `InvalidInput` for an absurd `frame_len` or more frames than the table takes; the system's errors.
pub(crate) fn compress(
    source: &File,
    into: &File,
    level: i32,
    frame_len: usize,
    mut between: impl FnMut(u64) -> ControlFlow<()>,
) -> io::Result<Outcome> {
    if frame_len == 0 || frame_len > MAX_CONTENT {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no length for a frame"));
    }
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(ChecksumFlag(true))?;
    compressor.set_parameter(ContentSizeFlag(true))?;
    let mut content = vec![0; frame_len];
    let mut frame = Vec::with_capacity(compress_bound(frame_len));
    let (mut entries, mut read_bytes, mut stored_bytes) = (Vec::new(), 0, 0);
    loop {
        let len = read_full(source, read_bytes, &mut content)?;
        if len == 0 {
            break;
        }
        if read_bytes > 0 && between(read_bytes).is_break() {
            return Ok(Outcome::Stopped);
        }
        frame.clear();
        compressor.compress_to_buffer(content.get(..len).unwrap_or_default(), &mut frame)?;
        into.write_all_at(&frame, stored_bytes)?;
        entries.push(FrameEntry { stored: frame.len() as u32, content: len as u32 });
        read_bytes += len as u64;
        stored_bytes += frame.len() as u64;
    }
    let Some(table) = encode_table(&entries) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "more frames than a table takes"));
    };
    into.write_all_at(&table, stored_bytes)?;
    Ok(Outcome::Done { source_bytes: read_bytes, stored_bytes: stored_bytes + table.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(source: &[u8]) -> (File, File) {
        let file = || tempfile::tempfile().expect("a file");
        let (from, into) = (file(), file());
        from.write_all_at(source, 0).expect("written");
        (from, into)
    }

    fn bytes_of(file: &File) -> Vec<u8> {
        let len = file.metadata().expect("a length").len();
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0).expect("read");
        bytes
    }

    #[test]
    fn any_decompressor_restores_the_source() {
        for len in [0, 1, 4095, 4096, 4097, 40_000] {
            let source: Vec<u8> = (0..len).map(|n: u32| (n * n / 7 % 253) as u8).collect();
            let (from, into) = files(&source);
            let mut told = Vec::new();
            let outcome = compress(&from, &into, 3, 4096, |bytes| {
                told.push(bytes);
                ControlFlow::Continue(())
            });
            let stored = bytes_of(&into);
            let (source_bytes, stored_bytes) = (u64::from(len), stored.len() as u64);
            assert_eq!(outcome.expect("done"), Outcome::Done { source_bytes, stored_bytes });
            let expected: Vec<u64> = (1..source_bytes.div_ceil(4096)).map(|n| n * 4096).collect();
            assert_eq!(told, expected);
            assert_eq!(zstd::stream::decode_all(&stored[..]).expect("zstd"), source);
        }
    }

    #[test]
    fn it_stops_when_it_is_told_to() {
        let (from, into) = files(&[7; 20_000]);
        let mut left = 2;
        let outcome = compress(&from, &into, 3, 4096, |_| {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((outcome.expect("stopped"), left), (Outcome::Stopped, 0));
    }

    #[test]
    fn absurd_frames_are_refused() {
        for frame_len in [0, MAX_CONTENT + 1] {
            let (from, into) = files(&[1]);
            let outcome = compress(&from, &into, 3, frame_len, |_| ControlFlow::Continue(()));
            assert_eq!(outcome.expect_err("refused").kind(), io::ErrorKind::InvalidInput);
        }
    }
}
