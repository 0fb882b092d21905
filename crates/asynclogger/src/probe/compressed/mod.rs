//! The bytes of a compressed segment, by their offsets in the segment (docs/format.md, section 8).
//!
//! A frame is decompressed when bytes of it are read. The bytes of a frame that cannot be decompressed read
//! as zeros, and the frame is reported as damaged; the checksums of the format show which records are lost by
//! that.

mod inflate;
mod scan;

use std::io;

use self::inflate::Inflater;
use super::positioned::{ReadAt, Stored, read_full};
use crate::format::{
    MIN_ALIGN,
    seekable::{Footer, FrameEntry, MAX_STORED, TABLE_FOOTER},
};

/// The number of decompressed frames that are kept. A block is read forward, and its tail is read once more.
const KEPT: usize = 3;

/// A compressed segment.
#[derive(Debug)]
pub(crate) struct Compressed {
    file: Stored,
    frames: Vec<Frame>,
    len: u64,
    /// Decompressed frames with their indices, the one used last at the end.
    kept: Vec<(usize, Vec<u8>)>,
    /// The first bytes of the segment, for callers that read nothing else: the listing of a directory needs
    /// no more.
    start: Option<Vec<u8>>,
    inflater: Inflater,
    input: Vec<u8>,
    findings: Vec<Finding>,
}

/// A frame and its place.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Offset in the compressed file.
    at: u64,
    /// Offset of its content in the segment.
    begin: u64,
    entry: FrameEntry,
    is_found_damaged: bool,
}

/// Damage of the compressed file; offsets are those of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The table is missing, damaged, or the table of another file.
    SeekTable,
    /// The content of a frame is not complete, or does not match the frame's checksum.
    Frame { offset: u64, len: u64 },
}

impl Compressed {
    /// Finds the frames of a file with `stored` bytes; `None` if the file has no frames that can be read.
    pub(crate) fn open(file: Stored, stored: u64) -> io::Result<Option<Compressed>> {
        let (entries, findings) = match read_table(&*file, stored)? {
            Some(entries) => (entries, Vec::new()),
            None => match scan::frames(&*file, stored)? {
                Some(frames) => (frames, vec![Finding::SeekTable]),
                None => return Ok(None),
            },
        };
        let mut len = 0u64;
        let mut frames = Vec::with_capacity(entries.len());
        let mut next = 0;
        for (at, entry) in entries {
            let at = at.unwrap_or(next);
            frames.push(Frame { at, begin: len, entry, is_found_damaged: false });
            next = at.saturating_add(u64::from(entry.stored));
            len = len.saturating_add(u64::from(entry.content));
        }
        Ok(Some(Compressed {
            file,
            frames,
            len,
            kept: Vec::new(),
            start: None,
            inflater: Inflater::default(),
            input: Vec::new(),
            findings,
        }))
    }

    /// Length of the segment, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Takes the damage that was found since the last call.
    pub(crate) fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Gives up the memory for frames.
    pub(crate) fn release(&mut self) {
        (self.kept, self.input) = (Vec::new(), Vec::new());
    }

    /// Fills `buffer` from `offset` on; returns less than its length at the end of a frame, and nothing
    /// at the end of the segment.
    pub(crate) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64);
        // The beginning of the segment alone is served without the rest of its frame. That is safe only if
        // the frame has more content: the rest is read later, and the frame's checksum is checked then.
        let first = self.frames.first().map_or(0, |frame| frame.entry.content as usize);
        if end <= MIN_ALIGN as u64
            && first > MIN_ALIGN
            && self.kept.iter().all(|(index, _)| *index != 0)
        {
            if self.start.is_none() {
                self.start = Some(self.inflate_start()?);
            }
            let start = self.start.as_deref().unwrap_or_default();
            if let Some(bytes) = start.get(offset as usize..end as usize) {
                buffer.copy_from_slice(bytes);
                return Ok(bytes.len());
            }
        }
        let after = self.frames.partition_point(|frame| frame.begin <= offset);
        // If frames without content have the same offset, the last frame is the one with the content.
        let Some(index) = after.checked_sub(1).filter(|_| offset < self.len) else { return Ok(0) };
        let begin = self.frames.get(index).map_or(0, |frame| frame.begin);
        let content = self.content(index)?;
        let rest = content.get((offset - begin) as usize..).unwrap_or_default();
        io::Read::read(&mut &*rest, buffer)
    }

    /// The content of a frame, in its full length, with zeros where the frame is damaged.
    fn content(&mut self, index: usize) -> io::Result<&[u8]> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == index) {
            self.kept.get_mut(at..).unwrap_or_default().rotate_left(1);
        } else {
            let mut content = match self.kept.len() {
                KEPT => self.kept.remove(0).1,
                _ => Vec::new(),
            };
            self.inflate(index, &mut content)?;
            self.kept.push((index, content));
        }
        Ok(self.kept.last().map_or(&[], |(_, content)| content))
    }

    fn inflate(&mut self, index: usize, content: &mut Vec<u8>) -> io::Result<()> {
        let Some(frame) = self.frames.get_mut(index) else { return Ok(()) };
        let (stored, len) = (frame.entry.stored as usize, frame.entry.content as usize);
        let mut is_good = stored <= MAX_STORED;
        self.input.resize(if is_good { stored } else { 0 }, 0);
        let read = read_full(&*self.file, frame.at, &mut self.input)?;
        is_good &= read == stored;
        self.input.truncate(read);
        is_good &= self.inflater.inflate(&self.input, len, content)?;
        if !is_good && !frame.is_found_damaged {
            frame.is_found_damaged = true;
            self.findings.push(Finding::Frame { offset: frame.begin, len: len as u64 });
        }
        Ok(())
    }

    /// Decompresses the first bytes of the segment without the rest of their frame; fewer bytes if the frame
    /// is damaged.
    fn inflate_start(&mut self) -> io::Result<Vec<u8>> {
        let Some(frame) = self.frames.first() else { return Ok(Vec::new()) };
        let mut start = vec![0; MIN_ALIGN.min(frame.entry.content as usize)];
        let stored = (frame.entry.stored as usize).min(inflate::START_STORED);
        self.input.resize(stored, 0);
        let read = read_full(&*self.file, frame.at, &mut self.input)?;
        self.input.truncate(read);
        let filled = self.inflater.inflate_beginning(&self.input, &mut start)?;
        start.truncate(filled);
        Ok(start)
    }
}

/// Frames, each with its offset in the compressed file; `None` if a frame follows directly the one before.
type Located = Vec<(Option<u64>, FrameEntry)>;

/// The frames by the table at the end of the file; `None` if there is no table that can be right.
fn read_table(file: &(impl ReadAt + ?Sized), stored: u64) -> io::Result<Option<Located>> {
    // The table of a small file lies within these bytes.
    let mut end = vec![0; stored.min(4096) as usize];
    read_full(file, stored - end.len() as u64, &mut end)?;
    let Some(footer) = end.last_chunk::<TABLE_FOOTER>().and_then(Footer::decode) else {
        return Ok(None);
    };
    let table_len = footer.table_len();
    let Some(before) = stored.checked_sub(table_len as u64) else { return Ok(None) };
    if table_len > end.len() {
        end.resize(table_len, 0);
        read_full(file, before, &mut end)?;
    }
    let table = end.get(end.len() - table_len..).unwrap_or_default();
    let entries = footer.entries(table, before);
    Ok(entries.map(|entries| entries.into_iter().map(|entry| (None, entry)).collect()))
}
