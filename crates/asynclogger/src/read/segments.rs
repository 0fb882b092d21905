//! Which files of a directory are segments of which log.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{reader::Reader, report::DamageKind, resync::Search, selection::Span};
use crate::{
    Error, ErrorKind, LogId,
    probe::{Body, Origin, Part, Place, Source, is_compressed_name, look},
};

/// A file whose start is damaged is searched so far for another sign of its log.
const SIGN_WITHIN: u64 = 1 << 20;

/// A directory is read so often if it changes meanwhile: a file that is renamed or compressed just then may
/// be seen under neither name.
const LISTINGS: usize = 3;

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// The file.
    pub path: PathBuf,
    /// Its number in the log, from 1; 0 for files of the original.
    pub id: u64,
    /// Number of the segment before it; 0: none, or not known.
    pub previous: u64,
    /// Name of the logger or event, as bytes; empty if the start is damaged.
    pub name: Vec<u8>,
    /// Length when the directory was read, in bytes; of a compressed file, of what it was made from.
    pub file_bytes: u64,
}

impl Segment {
    /// Opens the file; `None`: it is gone, or is another segment by now.
    pub(super) fn open(&self) -> Result<Option<Source>, Error> {
        let mut source = match Source::open(&self.path) {
            Ok(source) => source,
            Err(error) if is_passed_over(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if self.id == 0 {
            return Ok(Some(source));
        }
        let found = identify(&mut source, &mut Search::default())?;
        Ok(found.is_some_and(|(_, segment)| segment.id == self.id).then_some(source))
    }

    /// The path without what compression adds to it.
    fn plain_path(&self) -> PathBuf {
        match is_compressed_name(&self.path) {
            true => self.path.with_extension(""),
            false => self.path.clone(),
        }
    }
}

/// The log that a file belongs to, by its start; without a valid start, by the first valid part of it.
fn identify(source: &mut Source, search: &mut Search) -> Result<Option<(LogId, Segment)>, Error> {
    let found = match look(source, 0, &mut search.buffer)? {
        Place::Valid(part) if part.belongs(None) => Some(part),
        Place::Valid(_) | Place::Later(_) => None,
        Place::Nothing => {
            let range = (0, SIGN_WITHIN.min(source.len()));
            search.run(source, range, None, |_: &_| DamageKind::Misplaced)?.part
        }
    };
    Ok(found.map(|part| segment_of(source, part)))
}

fn segment_of(source: &Source, part: Part) -> (LogId, Segment) {
    let (previous, name) = match part.body {
        Body::Start { previous, name, .. } => (previous, name),
        _ => (0, Vec::new()),
    };
    let (path, file_bytes) = (source.path().to_path_buf(), source.len());
    let id = part.prefix.segment;
    (part.prefix.log_id, Segment { path, id, previous, name, file_bytes })
}

/// When the blocks of a segment were sealed, by its start and its end; `None`: its start does not tell.
pub(super) fn span(source: &mut Source) -> Result<Option<Span>, Error> {
    let Ok(start) = Origin::read(source)? else { return Ok(None) };
    let mut span = Span { first: start.prefix.time, last: None };
    // Of several sessions the last end knows its own alone.
    let end = start.end(source)?.filter(|(end, _)| end.session == start.prefix.session);
    if let Some((end, totals)) = end {
        span.last = Some(end.time.max(totals.last_time));
        if totals.first_time != 0 {
            span.first = span.first.min(totals.first_time);
        }
    }
    Ok(Some(span))
}

/// The log and the number of the file at `path`; `None`: it is no log of ours, or nothing of it tells.
pub(super) fn identify_path(path: &Path) -> Result<Option<(LogId, Segment)>, Error> {
    identify(&mut Source::open(path)?, &mut Search::default())
}

/// A file without numbers: of the original, or empty.
pub(super) fn single(path: &Path) -> Result<Segment, Error> {
    let reader = Reader::open(path)?;
    let file_bytes = reader.source.len();
    Ok(Segment { path: path.to_path_buf(), id: 0, previous: 0, name: Vec::new(), file_bytes })
}

/// The logs of a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The segments of each log of ours, in order.
    pub(super) logs: BTreeMap<LogId, Vec<Segment>>,
    /// `*.log` and `*.log.zst` that are none of these.
    pub(super) others: Vec<PathBuf>,
}

/// Reads the start of every regular file `*.log` and `*.log.zst` in `dir`; hidden ones are left out, for
/// they are being prepared. Files that vanish meanwhile are passed over.
pub(super) fn list(dir: &Path) -> Result<Listing, Error> {
    let modified = || fs::metadata(dir).and_then(|metadata| metadata.modified()).ok();
    let mut before = modified();
    for _ in 1..LISTINGS {
        let listing = list_once(dir)?;
        let after = modified();
        if after == before {
            return Ok(listing);
        }
        before = after;
    }
    list_once(dir)
}

fn list_once(dir: &Path) -> Result<Listing, Error> {
    let cannot_list = |error| Error::io("cannot list", error).at_path(dir);
    let (mut listing, mut search) = (Listing::default(), Search::default());
    for entry in fs::read_dir(dir).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        if !is_segment_name(entry.file_name().as_encoded_bytes()) {
            continue;
        }
        let path = entry.path();
        // The directory knows the type: most files need no call of their own for it.
        let is_regular = entry.file_type().is_ok_and(|kind| kind.is_file());
        let opened = if is_regular { Source::open_listed(&path) } else { Source::open(&path) };
        let mut source = match opened {
            Ok(source) => source,
            Err(error) if is_passed_over(&error) => continue,
            Err(error) if error.kind() == ErrorKind::NotALog => {
                listing.others.push(path);
                continue;
            }
            Err(error) => return Err(error),
        };
        match identify(&mut source, &mut search)? {
            Some((log_id, segment)) => listing.logs.entry(log_id).or_default().push(segment),
            None => listing.others.push(path),
        }
    }
    for segments in listing.logs.values_mut() {
        // Of two copies the longer one first: what the other repeats is recognised as such.
        segments.sort_by(|a, b| (a.id, b.file_bytes, &a.path).cmp(&(b.id, a.file_bytes, &b.path)));
        drop_second_forms(segments);
    }
    listing.others.sort();
    Ok(listing)
}

fn is_segment_name(name: &[u8]) -> bool {
    !name.starts_with(b".") && (name.ends_with(b".log") || name.ends_with(b".log.zst"))
}

/// Of a file and its compressed form one is enough: the original is removed when the other is complete,
/// and for a moment, or after a crash, both are there. The longer one stays, else the original.
fn drop_second_forms(segments: &mut Vec<Segment>) {
    segments.dedup_by(|second, first| {
        let is_one = first.id == second.id && first.plain_path() == second.plain_path();
        if is_one && first.file_bytes == second.file_bytes && is_compressed_name(&first.path) {
            std::mem::swap(first, second);
        }
        is_one
    });
}

fn is_passed_over(error: &Error) -> bool {
    let is_gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    error.kind() == ErrorKind::NotAFile || error.io_error().is_some_and(is_gone)
}
