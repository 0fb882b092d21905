//! What is in a compressed segment that the write side has to know: its start, its end, and whether it is
//! all of the file that it was made from. Reading its records is not done here.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    ops::ControlFlow,
    os::unix::fs::FileExt,
};

use zstd::{bulk::Decompressor, stream::read::Decoder};

use super::names::read_up_to;
use crate::format::seekable::{Entry, Footer, MAX_CONTENT, MAX_STORED, TABLE_FOOTER};

/// How much is read of a file of which the beginning is wanted.
const PIECE: usize = 16 << 10;

/// The content of a compressed segment from its beginning on, as far as it is good.
pub(super) struct Beginning<'a>(Decoder<'static, BufReader<At<'a>>>);

/// Reads a file without its cursor, which is not ours alone.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl<'a> Beginning<'a> {
    pub(super) fn of(file: &'a File) -> io::Result<Beginning<'a>> {
        let reader = BufReader::with_capacity(PIECE, At { file, offset: 0 });
        let mut decoder = Decoder::with_buffer(reader)?;
        // A header may ask for any window; none of ours needs more than a frame.
        decoder.window_log_max(MAX_CONTENT.ilog2())?;
        Ok(Beginning(decoder))
    }

    /// Fills `bytes` with what comes next; less than all of it at the end, and where it is damaged.
    pub(super) fn read_up_to(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.0.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The device's errors have a number, those of the decompressor have none.
                Err(error) if error.raw_os_error().is_some() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(filled)
    }
}

/// The frames of a compressed segment, by its table.
pub(super) struct Frames<'a> {
    file: &'a File,
    entries: Vec<Entry>,
    /// Where the frames end.
    end: u64,
    decompressor: Decompressor<'static>,
    stored: Vec<u8>,
    content: Vec<u8>,
}

impl<'a> Frames<'a> {
    /// `None`: its table is missing or damaged.
    pub(super) fn of(file: &'a File) -> io::Result<Option<Frames<'a>>> {
        let len = file.metadata()?.len();
        let mut footer = [0; TABLE_FOOTER];
        let Some(at) = len.checked_sub(TABLE_FOOTER as u64) else {
            return Ok(None);
        };
        file.read_exact_at(&mut footer, at)?;
        let Some(footer) = Footer::decode(&footer) else {
            return Ok(None);
        };
        let Some(end) = len.checked_sub(footer.table_len() as u64) else {
            return Ok(None);
        };
        let mut table = vec![0; footer.table_len()];
        file.read_exact_at(&mut table, end)?;
        let Some(entries) = footer.entries(&table, end) else {
            return Ok(None);
        };
        let decompressor = Decompressor::new()?;
        let (stored, content) = (Vec::new(), Vec::new());
        Ok(Some(Frames { file, entries, end, decompressor, stored, content }))
    }

    /// Bytes of the segment.
    pub(super) fn content_len(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.content)).sum()
    }

    /// The last `len` bytes of the segment, as many of them as the last frame has. Fewer: it is damaged.
    pub(super) fn last(&mut self, len: usize) -> io::Result<&[u8]> {
        let Some(entry) = self.entries.iter().rfind(|entry| entry.content > 0).copied() else {
            return Ok(&[]);
        };
        let behind = self.entries.iter().rev().take_while(|entry| entry.content == 0);
        let behind: u64 = behind.map(|entry| u64::from(entry.stored)).sum();
        let at = self.end - behind - u64::from(entry.stored);
        if !self.inflate(at, entry)? {
            return Ok(&[]);
        }
        Ok(&self.content[self.content.len().saturating_sub(len)..])
    }

    /// Whether the segment is, byte by byte, what is in `plain`; `None`: it was broken off. `between` is
    /// told before each frame how many bytes are compared.
    pub(super) fn are_those_of(
        &mut self,
        plain: &File,
        mut between: impl FnMut(u64) -> ControlFlow<()>,
    ) -> io::Result<Option<bool>> {
        if self.content_len() != plain.metadata()?.len() {
            return Ok(Some(false));
        }
        let (mut at, mut done, mut bytes) = (0, 0, Vec::new());
        for index in 0..self.entries.len() {
            let entry = self.entries[index];
            if between(done).is_break() {
                return Ok(None);
            }
            bytes.resize(entry.content as usize, 0);
            let read = read_up_to(plain, &mut bytes, done)?;
            if read < bytes.len() || !self.inflate(at, entry)? || self.content != bytes {
                return Ok(Some(false));
            }
            at += u64::from(entry.stored);
            done += u64::from(entry.content);
        }
        Ok(Some(true))
    }

    /// Decompresses the frame at `at` into `content`; whether it is whole.
    fn inflate(&mut self, at: u64, entry: Entry) -> io::Result<bool> {
        if entry.stored as usize > MAX_STORED {
            return Ok(false);
        }
        self.stored.resize(entry.stored as usize, 0);
        self.file.read_exact_at(&mut self.stored, at)?;
        self.content.resize(entry.content as usize, 0);
        let result = self.decompressor.decompress_to_buffer(&self.stored, &mut self.content[..]);
        Ok(result.is_ok_and(|len| len == entry.content as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::archive::compress::{Outcome, compress};

    fn pair(len: u32) -> (File, File) {
        let plain = tempfile::tempfile().expect("a file");
        let bytes: Vec<u8> = (0..len).map(|n| (n * n / 7 % 253) as u8).collect();
        plain.write_all_at(&bytes, 0).expect("written");
        let stored = tempfile::tempfile().expect("a file");
        let outcome = compress(&plain, &stored, 3, 4096, |_| ControlFlow::Continue(()));
        assert!(matches!(outcome, Ok(Outcome::Done { .. })));
        (plain, stored)
    }

    fn same(stored: &File, plain: &File) -> Option<bool> {
        let frames = Frames::of(stored).expect("read");
        let go_on = |_| ControlFlow::Continue(());
        frames.map(|mut frames| {
            frames.are_those_of(plain, go_on).expect("read").expect("not broken off")
        })
    }

    #[test]
    fn a_copy_is_known_from_another_file() {
        for len in [0, 1, 4096, 10_000] {
            let (plain, stored) = pair(len);
            assert_eq!(same(&stored, &plain), Some(true), "{len}");
            plain.write_all_at(b"more", u64::from(len)).expect("written");
            assert_eq!(same(&stored, &plain), Some(false), "{len}");
        }
        let (plain, stored) = pair(10_000);
        plain.write_all_at(&[77], 9_999).expect("written");
        assert_eq!(same(&stored, &plain), Some(false));
    }

    #[test]
    fn a_damaged_copy_is_none() {
        let (plain, stored) = pair(10_000);
        let len = stored.metadata().expect("a length").len();
        for offset in 0..len {
            let mut byte = [0];
            stored.read_exact_at(&mut byte, offset).expect("read");
            stored.write_all_at(&[byte[0] ^ 0x41], offset).expect("written");
            assert_ne!(same(&stored, &plain), Some(true), "{offset}");
            stored.write_all_at(&byte, offset).expect("written");
        }
        stored.set_len(len - 1).expect("cut");
        assert_eq!(same(&stored, &plain), None);
    }

    #[test]
    fn beginning_and_end_without_the_rest() {
        let (plain, stored) = pair(10_000);
        let mut bytes = [0; 100];
        plain.read_exact_at(&mut bytes, 0).expect("read");
        let mut found = [0; 100];
        let mut beginning = Beginning::of(&stored).expect("a decoder");
        assert_eq!(beginning.read_up_to(&mut found[..60]).expect("read"), 60);
        assert_eq!(beginning.read_up_to(&mut found[60..]).expect("read"), 40);
        assert_eq!(found, bytes);
        plain.read_exact_at(&mut bytes, 9_900).expect("read");
        let mut frames = Frames::of(&stored).expect("read").expect("a table");
        assert_eq!(frames.last(100).expect("read"), bytes);
        // The start is there though the rest is not.
        stored.set_len(3_000).expect("cut");
        assert!(Frames::of(&stored).expect("read").is_none());
        let mut beginning = Beginning::of(&stored).expect("a decoder");
        let mut all = vec![0; 10_000];
        assert!(beginning.read_up_to(&mut all).expect("read") < 10_000);
    }

    #[test]
    fn of_something_else_there_is_nothing() {
        let file = tempfile::tempfile().expect("a file");
        for bytes in [&b""[..], b"no such thing", &[0; 5_000]] {
            file.set_len(0).expect("emptied");
            file.write_all_at(bytes, 0).expect("written");
            assert!(Frames::of(&file).expect("read").is_none());
            let mut beginning = Beginning::of(&file).expect("a decoder");
            assert_eq!(beginning.read_up_to(&mut [0; 10]).expect("read"), 0);
        }
    }
}
