//! The log and the number of a segment, from the start of its file.

use std::path::PathBuf;

use super::{reader::Reader, report::Layout};
use crate::{
    Error, LogId,
    probe::{Body, Given, Part, Place, Search, Source, is_gone, look},
};

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// The path of the file.
    pub path: PathBuf,
    /// The number of the segment in the log, from 1; 0 for files of the original.
    pub id: u64,
    /// The number of the segment before this one; 0 if there is none or the number is not known.
    pub previous: u64,
    /// Name of the logger or event, as bytes; empty if the start is damaged.
    pub name: Vec<u8>,
    /// The length when the directory was read, in bytes; for a compressed file, the length before
    /// compression.
    pub file_bytes: u64,
    /// The bytes, if a program has given them; else a file at the path has them.
    pub(super) given: Option<Given>,
}

impl Segment {
    /// The bytes of the segment, as they are now.
    pub(super) fn source(&self) -> Result<Source, Error> {
        match &self.given {
            Some(bytes) => Source::given(&self.path, bytes.clone()),
            None => Source::open_listed(&self.path),
        }
    }

    /// Opens the file; `None` if the file is gone, or is now another segment or a segment of another log.
    pub(super) fn open(&self, log_id: Option<LogId>) -> Result<Option<Source>, Error> {
        let mut source = match self.source() {
            Ok(source) => source,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(log_id) = log_id else { return Ok(Some(source)) };
        let found = identify(&mut source, &mut Search::default())?;
        let is_same = found.is_some_and(|(log, segment)| (log, segment.id) == (log_id, self.id));
        Ok(is_same.then_some(source))
    }
}

/// Finds the log that a file belongs to, by the start of the file, or by the first valid part if the start is
/// damaged.
pub(super) fn identify(
    source: &mut Source,
    search: &mut Search,
) -> Result<Option<(LogId, Segment)>, Error> {
    let found = match look(source, 0, &mut search.buffer)? {
        Place::Valid(part) if part.belongs(None) => Some(part),
        Place::Valid(_) | Place::Later(_) => None,
        Place::Nothing => search.sign(source)?,
    };
    Ok(found.map(|part| segment_of(source, part)))
}

/// The same as [`identify`], but only by a valid start in its place.
pub(super) fn begin(
    source: &mut Source,
    search: &mut Search,
) -> Result<Option<(LogId, Segment)>, Error> {
    Ok(match look(source, 0, &mut search.buffer)? {
        Place::Valid(part) if part.belongs(None) && matches!(part.body, Body::Start { .. }) => {
            Some(segment_of(source, part))
        }
        _ => None,
    })
}

fn segment_of(source: &Source, part: Part) -> (LogId, Segment) {
    let (previous, name) = match part.body {
        Body::Start { previous, name, .. } => (previous, name),
        _ => (0, Vec::new()),
    };
    let (path, file_bytes) = (source.path().to_path_buf(), source.len());
    let id = part.prefix.segment;
    (part.prefix.log_id, Segment { path, id, previous, name, file_bytes, given: None })
}

/// A segment without numbers: a file of the original, or an empty file.
pub(super) fn single(source: Source) -> Result<Segment, Error> {
    let (path, file_bytes) = (source.path().to_path_buf(), source.len());
    let _ = Reader::new(source, Layout::Auto)?;
    Ok(Segment { path, id: 0, previous: 0, name: Vec::new(), file_bytes, given: None })
}
