//! Finds the frames of a compressed segment without a usable table, by their headers, one after the other.

use std::{io, ops::RangeInclusive};

use super::{
    super::positioned::{ReadAt, read_full},
    Located,
};
use crate::format::seekable::{
    BLOCK_HEADER, FRAME_LEN, FrameEntry, FrameHeader, MAX_CONTENT, MAX_FRAME_HEADER, MAX_FRAMES,
    TABLE_FOOTER, TABLE_HEADER, block_header,
};

/// How many bytes are searched at a time behind damage: few at first, because the next frame can be near.
const WINDOWS: RangeInclusive<usize> = 512..=64 << 10;

/// The result of a look at an offset.
enum Place {
    /// A frame, or the beginning of one; `end` is `None` if the end cannot be found.
    Frame { end: Option<u64>, content: u64 },
    /// A frame to be passed over.
    Skippable { end: u64 },
    /// A frame whose header does not give the length of its content, or gives more than is read.
    Unreadable,
    /// No frame.
    Nothing,
}

/// The frames of the file; `None` if there is no frame of a readable size.
///
/// A damaged region counts as one frame of the usual length (that of all frames but the last). If the region
/// was more than one frame, the following parts do not stand at their own offsets and are reported as
/// misplaced.
pub(crate) fn frames(file: &(impl ReadAt + ?Sized), stored: u64) -> io::Result<Option<Located>> {
    let (mut found, mut at) = (Located::new(), 0);
    let (mut regular, mut has_frame) = (None, false);
    // The most blocks to look at. Every block has a header of its own, so a file with true headers has no
    // more blocks than this; false headers would make the search read the same bytes again and again.
    let mut budget = stored / BLOCK_HEADER as u64 + 1;
    while at < stored && found.len() < MAX_FRAMES {
        let (end, content) = match look(file, stored, at, &mut budget)? {
            Place::Unreadable => return Ok(None),
            Place::Skippable { end } => {
                (at, has_frame) = (end, true);
                continue;
            }
            Place::Frame { end: Some(end), content } => {
                (regular, has_frame) = (regular.max(Some(content)), true);
                (end, content)
            }
            Place::Frame { end: None, content } => {
                has_frame = true;
                (next(file, stored, at)?, content)
            }
            Place::Nothing => {
                let end = next(file, stored, at)?;
                let most = TABLE_HEADER + TABLE_FOOTER + 12 * found.len();
                if end == stored && stored - at <= most as u64 {
                    break; // the rest of the table
                }
                (end, regular.unwrap_or(FRAME_LEN as u64))
            }
        };
        let stored_len = u32::try_from(end - at).unwrap_or(u32::MAX);
        // `look` gives no content that is too long for a frame.
        let content = u32::try_from(content).unwrap_or_default();
        found.push((Some(at), FrameEntry { stored: stored_len, content }));
        at = end;
    }
    // A file that is nothing but damage is not a compressed file. An empty file can be one that was cut to
    // nothing.
    Ok((has_frame || stored == 0).then_some(found))
}

/// Looks for a frame at `at`; `budget` is how many blocks may still be looked at.
fn look(
    file: &(impl ReadAt + ?Sized),
    stored: u64,
    at: u64,
    budget: &mut u64,
) -> io::Result<Place> {
    let mut bytes = [0; MAX_FRAME_HEADER];
    let read = read_full(file, at, &mut bytes)?;
    let header = FrameHeader::decode(bytes.get(..read).unwrap_or_default());
    let (len, content, has_checksum) = match header {
        None => return Ok(Place::Nothing),
        Some(FrameHeader::Skippable { len }) => {
            let end = at.saturating_add(len).min(stored);
            return Ok(Place::Skippable { end });
        }
        Some(FrameHeader::Data { len, content, has_checksum }) => (len, content, has_checksum),
    };
    let Some(content) = content.filter(|content| *content <= MAX_CONTENT as u64) else {
        return Ok(if at == 0 { Place::Unreadable } else { Place::Nothing });
    };
    let checksum_len = if has_checksum { 4 } else { 0 };
    let (mut end, mut is_last) = (at + len as u64, false);
    while !is_last {
        let mut header = [0; BLOCK_HEADER];
        let is_cut = *budget == 0 || read_full(file, end, &mut header)? < BLOCK_HEADER;
        *budget = budget.saturating_sub(1);
        let Some((block_len, last)) = block_header(header).filter(|_| !is_cut) else {
            return Ok(Place::Frame { end: None, content });
        };
        end += BLOCK_HEADER as u64 + block_len;
        is_last = last;
    }
    let end = Some(end + checksum_len).filter(|end| *end <= stored);
    Ok(Place::Frame { end, content })
}

/// The offset behind `at` of the next frame that can be read or passed over; the end of the file if there is
/// none.
fn next(file: &(impl ReadAt + ?Sized), stored: u64, at: u64) -> io::Result<u64> {
    let mut window = Vec::new();
    let (mut from, mut len) = (at + 1, *WINDOWS.start());
    while from < stored {
        window.resize(len + MAX_FRAME_HEADER, 0);
        let read = read_full(file, from, &mut window)?;
        let bytes = window.get(..read).unwrap_or_default();
        for index in 0..bytes.len().min(len) {
            let candidate = bytes.get(index..).unwrap_or_default();
            let candidate = candidate.get(..MAX_FRAME_HEADER).unwrap_or(candidate);
            // A cheap first check: most bytes do not begin a magic.
            if !matches!(candidate.first(), Some(0x28 | 0x50..=0x5F)) {
                continue;
            }
            let offset = from + index as u64;
            let is_one = match FrameHeader::decode(candidate) {
                Some(FrameHeader::Data { content, .. }) => {
                    content.is_some_and(|content| content <= MAX_CONTENT as u64)
                }
                Some(FrameHeader::Skippable { len }) => offset.saturating_add(len) == stored,
                None => false,
            };
            if is_one {
                return Ok(offset);
            }
        }
        from += len as u64;
        len = (4 * len).min(*WINDOWS.end());
    }
    Ok(stored)
}
