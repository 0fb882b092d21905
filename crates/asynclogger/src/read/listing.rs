//! Finds which files of a directory are segments of which log, while other processes rename, compress and
//! delete them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::{self, DirEntry, FileType},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::segments::{self, Segment, identify};
use crate::{
    Error, LogId,
    probe::{
        Given, Identity, ReadAt, Search, Source, has_log_name, is_compressed_name, is_gone,
        is_lock_name, is_prepared_name,
    },
};

/// How often a directory is listed at most. A file that is renamed or compressed during a listing can be seen
/// under neither name, so the directory is listed again until two listings are the same.
const LOOKS: usize = 20;

/// The logs of a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The files of each log of ours.
    pub(super) logs: BTreeMap<LogId, Files>,
    /// Files with a log's name that have no numbers: files of the original, empty files, and files that are
    /// not logs.
    pub(super) others: Vec<Other>,
    /// Files with a log's name that cannot be read.
    pub(super) unreadable: Vec<Error>,
}

/// A file without numbers.
#[derive(Debug)]
pub(super) struct Other {
    path: PathBuf,
    /// See [`Segment`].
    given: Option<Given>,
}

/// The files of one log.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// One file for each number, in order of the numbers.
    pub(super) segments: Vec<Segment>,
    /// Further files that have one of these numbers.
    pub(super) copies: Vec<Segment>,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    name: OsString,
    /// The inode of the file: the same name with another file is another `Name`.
    inode: u64,
    kind: NameKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NameKind {
    Regular,
    Link,
    Other,
}

/// The result of looking at a file.
#[derive(Debug)]
enum Seen {
    Segment(LogId, Candidate),
    /// A file with a log's name and without numbers.
    Other(Other),
    /// A file with a log's name that cannot be read.
    Unreadable(Error),
    /// Not a log, by the name and by the first bytes of the file.
    Foreign,
    /// The file disappeared before it could be looked at.
    Gone,
}

#[derive(Debug)]
struct Candidate {
    segment: Segment,
    identity: Option<Identity>,
    kind: NameKind,
}

/// Reads the start of every file that can be a segment: files with a log's name (`*.log` and `*.log.zst`),
/// and files with any other name that begin like a log. If several files have the same number, `named` is
/// preferred.
pub(super) fn list(dir: &Path, named: Option<&OsStr>) -> Result<Listing, Error> {
    let mut seen: BTreeMap<Name, Seen> = BTreeMap::new();
    let mut search = Search::default();
    let mut names = read_names(dir)?;
    for _ in 0..LOOKS {
        let mut is_consistent = true;
        for name in &names {
            if !matches!(seen.get(name), None | Some(Seen::Gone)) {
                continue;
            }
            let found = look_at(&dir.join(&name.name), name.kind, &mut search);
            is_consistent &= !matches!(found, Seen::Gone);
            seen.insert(name.clone(), found);
        }
        let again = read_names(dir)?;
        is_consistent &= again == names;
        names = again;
        if is_consistent {
            // A file that only an earlier listing showed has been renamed or deleted.
            seen.retain(|name, _| names.binary_search(name).is_ok());
            break;
        }
    }
    Ok(sort(seen.into_values(), named))
}

fn read_names(dir: &Path) -> Result<Vec<Name>, Error> {
    let cannot_list = |error| Error::io("cannot list", error).at_path(dir);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        let kind = entry.file_type().map_or(NameKind::Other, NameKind::of);
        let (name, inode) = (entry.file_name(), inode_of(&entry));
        let can_be_one = has_log_name(&name) || kind != NameKind::Other;
        if can_be_one && !is_lock_name(name.as_encoded_bytes()) {
            names.push(Name { name, inode, kind });
        }
    }
    names.sort_unstable();
    Ok(names)
}

impl NameKind {
    fn of(kind: FileType) -> NameKind {
        match () {
            () if kind.is_file() => NameKind::Regular,
            () if kind.is_symlink() => NameKind::Link,
            () => NameKind::Other,
        }
    }
}

fn look_at(path: &Path, kind: NameKind, search: &mut Search) -> Seen {
    let is_log_name = path.file_name().is_some_and(has_log_name);
    let found = match is_log_name {
        true => look_into(path, kind, search),
        false => look_at_begin(path, kind, search),
    };
    match found {
        Ok(seen) => seen,
        // A link to a missing file is not gone: the link exists, and it is reported if it has a log's name.
        Err(error) if is_gone(&error) && kind != NameKind::Link => Seen::Gone,
        Err(error) if is_log_name => Seen::Unreadable(error),
        Err(_) => Seen::Foreign,
    }
}

/// Looks at a file with a log's name, which is reported whatever it holds.
fn look_into(path: &Path, kind: NameKind, search: &mut Search) -> Result<Seen, Error> {
    let mut source = Source::open_listed(path)?;
    let identity = source.identity();
    Ok(match identify(&mut source, search)? {
        Some((log_id, segment)) => Seen::Segment(log_id, Candidate { segment, identity, kind }),
        None => Seen::Other(Other { path: path.to_path_buf(), given: None }),
    })
}

/// Reads the start of every given file, whatever its name is.
pub(super) fn list_given(files: impl Iterator<Item = (PathBuf, Arc<dyn ReadAt>)>) -> Listing {
    let mut search = Search::default();
    let seen = files.map(|(path, bytes)| {
        let bytes = Given::new(bytes);
        let found = Source::given(&path, bytes.clone())
            .and_then(|mut source| identify(&mut source, &mut search));
        let given = Some(bytes);
        match found {
            Ok(Some((log_id, segment))) => {
                let (segment, kind) = (Segment { given, ..segment }, NameKind::Regular);
                Seen::Segment(log_id, Candidate { segment, identity: None, kind })
            }
            Ok(None) => Seen::Other(Other { path, given }),
            Err(error) => Seen::Unreadable(error),
        }
    });
    sort(seen, None)
}

impl Other {
    /// The file as a log of its own.
    pub(super) fn segment(self) -> Result<Segment, Error> {
        let Other { path, given } = self;
        let source = match &given {
            Some(bytes) => Source::given(&path, bytes.clone())?,
            None => Source::open_listed(&path)?,
        };
        Ok(Segment { given, ..segments::single(source)? })
    }
}

/// Looks at a file with another name, which is a segment only if it begins with a start.
fn look_at_begin(path: &Path, kind: NameKind, search: &mut Search) -> Result<Seen, Error> {
    let mut source = Source::open_listed(path)?;
    let identity = source.identity();
    let found = segments::begin(&mut source, search)?;
    Ok(found.map_or(Seen::Foreign, |(log_id, segment)| {
        Seen::Segment(log_id, Candidate { segment, identity, kind })
    }))
}

fn sort(seen: impl Iterator<Item = Seen>, named: Option<&OsStr>) -> Listing {
    let mut listing = Listing::default();
    let mut logs: BTreeMap<LogId, Vec<Candidate>> = BTreeMap::new();
    for seen in seen {
        match seen {
            Seen::Segment(log_id, candidate) => logs.entry(log_id).or_default().push(candidate),
            Seen::Other(other) => listing.others.push(other),
            Seen::Unreadable(error) => listing.unreadable.push(error),
            Seen::Foreign | Seen::Gone => {}
        }
    }
    listing.logs =
        logs.into_iter().map(|(log_id, candidates)| (log_id, choose(candidates, named))).collect();
    listing
}

/// Chooses one file for each number: the named one, otherwise the longest one, and a plain file before a
/// compressed one.
fn choose(candidates: Vec<Candidate>, named: Option<&OsStr>) -> Files {
    let is_hidden = |candidate: &Candidate| {
        let name = candidate.segment.path.file_name().unwrap_or_default();
        is_prepared_name(name.as_encoded_bytes())
    };
    let (hidden, mut candidates): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_hidden);
    let newest = candidates.iter().map(|candidate| candidate.segment.id).max();
    let known: BTreeSet<_> = candidates.iter().map(|candidate| candidate.segment.id).collect();
    // A file with a hidden name was prepared and not used, or is being compressed. But on a file system without links
    // the last segment has only that name for a moment: then a newer one has the log's path.
    candidates.extend(hidden.into_iter().filter(|candidate| {
        let id = candidate.segment.id;
        newest.is_some_and(|newest| id < newest) && !known.contains(&id)
    }));
    candidates.sort_by_cached_key(|candidate| {
        let Candidate { segment, kind, .. } = candidate;
        let name = segment.path.file_name().unwrap_or_default();
        (
            segment.id,
            named != Some(name),
            std::cmp::Reverse(segment.file_bytes),
            is_compressed_name(&segment.path),
            !has_log_name(name),
            *kind,
            segment.path.clone(),
        )
    });
    let mut files = Files::default();
    // The identities of the files with the current number.
    let mut identities = Vec::new();
    for Candidate { segment, identity, .. } in candidates {
        match files.segments.last().filter(|chosen| chosen.id == segment.id) {
            None => {
                identities.clear();
                files.segments.push(segment);
            }
            // Two names of one file are not copies, and neither are the two forms of a file: the plain one is
            // removed after the compression, so for a moment, or after a crash, both exist.
            Some(chosen) => {
                let is_known = identity.is_some() && identities.contains(&identity);
                if !is_known && plain_path(&chosen.path) != plain_path(&segment.path) {
                    files.copies.push(segment);
                }
            }
        }
        identities.push(identity);
    }
    files
}

/// The path without the suffix that compression adds.
fn plain_path(path: &Path) -> PathBuf {
    match is_compressed_name(path) {
        true => path.with_extension(""),
        false => path.to_path_buf(),
    }
}

#[cfg(unix)]
fn inode_of(entry: &DirEntry) -> u64 {
    std::os::unix::fs::DirEntryExt::ino(entry)
}

#[cfg(not(unix))]
fn inode_of(_entry: &DirEntry) -> u64 {
    0
}
