//! What is in an archived segment, by the heads of its blocks.
//!
//! The end of a file does not say it: of a file that was continued, the last end counts one session.

use std::{fs::File, io};

use crate::{
    format::{
        MIN_ALIGN,
        metadata::{self, MAX_METADATA, Metadata},
    },
    write::archive::names::{Lineage, lineage, read_up_to},
};

/// Totals of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) records: u64,
    pub(super) payload: u64,
    /// Times of the first and the last block, in nanoseconds since the epoch.
    pub(super) times: Option<(i64, i64)>,
}

impl Content {
    /// Of a segment that is not compressed; of one that is damaged or cut, up to there.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn of(file: &File, segment: Lineage) -> io::Result<Content> {
        let mut content = Content::default();
        let (mut at, mut bytes) = (0, Vec::new());
        loop {
            bytes.resize(MIN_ALIGN, 0);
            let read = read_up_to(file, &mut bytes, at)?;
            let size = metadata::peek(&bytes[..read]).map_or(0, |(size, _)| size);
            if size > MIN_ALIGN && size <= MAX_METADATA {
                bytes.resize(size, 0);
                read_up_to(file, &mut bytes[MIN_ALIGN..], at + MIN_ALIGN as u64)?;
            }
            let (prefix, metadata) = match metadata::decode(&bytes) {
                Ok((prefix, part)) if prefix.offset == at && lineage(&prefix) == segment => {
                    (prefix, part)
                }
                _ => return Ok(content),
            };
            at += match metadata {
                Metadata::Head(info, _) => {
                    content.records += u64::from(info.records);
                    content.payload += info.payload();
                    let first = content.times.map_or(prefix.time, |(first, _)| first);
                    content.times = Some((first, prefix.time));
                    info.block_len()
                }
                Metadata::Start(_) | Metadata::Note(_) | Metadata::End(_) => size as u64,
                Metadata::Tail(..) => return Ok(content),
            };
        }
    }
}
