//! The bytes of a compressed segment, by their offsets in the segment (docs/format.md, section 8).
//!
//! Frames are decompressed one at a time, when something in them is asked for. What of a frame cannot be
//! had reads as zeros, and the frame is found damaged: the checksums of the format say what that cost.

mod inflate;
mod scan;

use std::{fs::File, io};

use self::inflate::Inflater;
use super::positioned::read_full;
use crate::format::{
    MIN_ALIGN,
    seekable::{Footer, FrameEntry, MAX_STORED, TABLE_FOOTER},
};

/// So many decompressed frames are kept: a block is read forward, and its tail once more.
const KEPT: usize = 3;

/// A compressed segment.
#[derive(Debug)]
pub(crate) struct Compressed {
    file: File,
    frames: Vec<Frame>,
    len: u64,
    /// The frame of its index, the one used last at the end.
    kept: Vec<(usize, Vec<u8>)>,
    /// The first bytes of the segment, for whoever asks for nothing else: to list a directory takes no
    /// more.
    start: Option<Vec<u8>>,
    inflater: Inflater,
    input: Vec<u8>,
    findings: Vec<Finding>,
}

/// Where a frame is.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Offset in the compressed file.
    at: u64,
    /// Offset of its content in the segment.
    begin: u64,
    entry: FrameEntry,
    is_found_damaged: bool,
}

/// What is wrong with the compressed file; offsets are those of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The table is missing, damaged, or that of another file.
    SeekTable,
    /// Not all of a frame's content is there, or it has not the frame's checksum.
    Frame { offset: u64, len: u64 },
}

impl Compressed {
    /// Finds the frames of a file with `stored` bytes; `None`: it has none that can be read.
    pub(crate) fn open(file: File, stored: u64) -> io::Result<Option<Compressed>> {
        let (entries, findings) = match read_table(&file, stored)? {
            Some(entries) => (entries, Vec::new()),
            None => match scan::frames(&file, stored)? {
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

    /// What was found since the last call.
    pub(crate) fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Fills `buffer` from `offset` on; returns less than its length at the end of a frame, and nothing
    /// at the end of the segment.
    pub(crate) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64);
        // What is behind it in its frame is asked for later, and the frame's checksum looked at: unless
        // there is nothing.
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
        // Of frames without content the last one before `offset` is meant.
        let Some(index) = after.checked_sub(1).filter(|_| offset < self.len) else { return Ok(0) };
        let begin = self.frames.get(index).map_or(0, |frame| frame.begin);
        let content = self.content(index)?;
        let rest = content.get((offset - begin) as usize..).unwrap_or_default();
        io::Read::read(&mut &*rest, buffer)
    }

    /// The content of a frame: all of its length, zeros where it is damaged.
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
        let read = read_full(&self.file, frame.at, &mut self.input)?;
        is_good &= read == stored;
        self.input.truncate(read);
        is_good &= self.inflater.inflate(&self.input, len, content)?;
        if !is_good && !frame.is_found_damaged {
            frame.is_found_damaged = true;
            self.findings.push(Finding::Frame { offset: frame.begin, len: len as u64 });
        }
        Ok(())
    }

    /// The first bytes of the segment without the rest of their frame; fewer if they are damaged.
    fn inflate_start(&mut self) -> io::Result<Vec<u8>> {
        let Some(frame) = self.frames.first() else { return Ok(Vec::new()) };
        let mut start = vec![0; MIN_ALIGN.min(frame.entry.content as usize)];
        let stored = (frame.entry.stored as usize).min(inflate::START_STORED);
        self.input.resize(stored, 0);
        let read = read_full(&self.file, frame.at, &mut self.input)?;
        self.input.truncate(read);
        let filled = self.inflater.inflate_beginning(&self.input, &mut start)?;
        start.truncate(filled);
        Ok(start)
    }
}

/// Where a frame is in the compressed file, unless it is behind the one before; and the frame.
type Located = Vec<(Option<u64>, FrameEntry)>;

/// The frames by the table at the end of the file; `None`: there is none that can be right.
fn read_table(file: &File, stored: u64) -> io::Result<Option<Located>> {
    // The table of a small file is within this.
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
