//! All segments of one log, read as one.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use super::{
    history::History,
    reader::Reader,
    records::Record,
    report::{Layout, Loss, Report, SessionReport},
    segments::{self, Segment},
};
use crate::{Dropped, Error, ErrorKind, LogId};

/// All segments of one log, in the order of their numbers.
///
/// What belongs together is told by the log id in the files, not by their names. Opening reads the start of
/// each file and nothing more.
#[derive(Debug)]
pub struct LogDir {
    dir: PathBuf,
    log_id: Option<LogId>,
    segments: Vec<Segment>,
    /// Index of the segment that is read next.
    next: usize,
    reader: Option<Reader>,
    history: History,
    follow: bool,
}

impl LogDir {
    /// The log that the file at `path` is a segment of, with all others in its directory. A file of the
    /// original is a log of its own, and so is an empty file.
    ///
    /// # Errors
    ///
    /// `NotAFile`, `NotALog`, `UnsupportedVersion` or `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<LogDir, Error> {
        let path = path.as_ref();
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let Some((log_id, own)) = segments::identify_path(path)? else {
            return Ok(LogDir::new(dir, None, vec![segments::single(path)?]));
        };
        let mut listing = segments::list(dir)?;
        let mut found = listing.logs.remove(&log_id).unwrap_or_default();
        if !found.iter().any(|segment| segment.id == own.id) {
            // Its name does not end in `.log`.
            found.push(own);
            found.sort_by_key(|segment| segment.id);
        }
        Ok(LogDir::new(dir, Some(log_id), found))
    }

    /// All logs of a directory, each with its segments; files of the original, and empty ones, are logs of
    /// their own. Files that are no logs are passed over.
    ///
    /// # Errors
    ///
    /// `Io`, if the directory or a file cannot be read.
    pub fn scan(dir: impl AsRef<Path>) -> Result<Vec<LogDir>, Error> {
        let dir = dir.as_ref();
        let listing = segments::list(dir)?;
        let ours = listing.logs.into_iter();
        let mut logs: Vec<LogDir> =
            ours.map(|(log_id, found)| LogDir::new(dir, Some(log_id), found)).collect();
        for path in listing.others {
            match segments::single(&path) {
                Ok(segment) => logs.push(LogDir::new(dir, None, vec![segment])),
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(_) => {}
            }
        }
        Ok(logs)
    }

    fn new(dir: &Path, log_id: Option<LogId>, segments: Vec<Segment>) -> LogDir {
        let (dir, history) = (dir.to_path_buf(), History::default());
        LogDir { dir, log_id, segments, next: 0, reader: None, history, follow: false }
    }

    /// The id that the segments share; `None` for a file of the original and an empty file.
    pub fn log_id(&self) -> Option<LogId> {
        self.log_id
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The numbers of segments that are not there, though one before and one after them is.
    pub fn missing(&self) -> Vec<RangeInclusive<u64>> {
        let pairs = self.segments.iter().zip(self.segments.iter().skip(1));
        let missing = pairs.filter_map(|(before, after)| {
            let first = before.id.checked_add(1)?;
            // The start knows its predecessor; between that one and itself there never was a segment.
            let last = match after.previous {
                0 => after.id.checked_sub(1)?,
                previous => previous.min(after.id.checked_sub(1)?),
            };
            (first <= last).then_some(first..=last)
        });
        missing.collect()
    }

    /// Follows the log while it is written: see [`ReadOptions::follow`](super::ReadOptions::follow). To go
    /// on after a rotation, call [`refresh`](LogDir::refresh) when there is no further record.
    #[must_use]
    pub fn follow(mut self, follow: bool) -> LogDir {
        self.follow = follow;
        if let Some(reader) = &mut self.reader {
            reader.set_follow(follow);
        }
        self
    }

    /// The next record of the log; `None` at its end, for now: a later call goes on if the last segment has
    /// grown. Blocks that are in two segments (a write failed and was repeated) are delivered once.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`] and [`Reader::next_record`].
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        loop {
            let has_record = self.reader.as_mut().map_or(Ok(false), Reader::has_record)?;
            if has_record {
                break;
            }
            if self.follow && self.next < self.segments.len() {
                // Nothing is written to this segment any more.
                if let Some(reader) = &mut self.reader {
                    reader.set_follow(false);
                    if reader.has_record()? {
                        break;
                    }
                }
            }
            if !self.open_next()? {
                return Ok(None);
            }
        }
        self.reader.as_mut().map_or(Ok(None), Reader::next_record)
    }

    /// The reader of the segment at hand.
    pub fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// Looks at the directory again: segments with higher numbers than the last are added, and renamed ones
    /// get their new paths. What is being read is not interrupted.
    ///
    /// # Errors
    ///
    /// `Io`, if the directory or a file cannot be read.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let Some(log_id) = self.log_id else { return Ok(()) };
        let mut listing = segments::list(&self.dir)?;
        let mut last = self.segments.last().map_or(0, |segment| segment.id);
        for fresh in listing.logs.remove(&log_id).unwrap_or_default() {
            if fresh.id > last {
                last = fresh.id;
                self.segments.push(fresh);
            } else if let Some(known) = self.segments.iter_mut().find(|old| old.id == fresh.id) {
                *known = fresh;
            }
        }
        Ok(())
    }

    /// Reads the whole log, from its first segment, and reports on it.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`] and [`Reader::next_record`]. Damage and missing segments are no errors.
    pub fn verify(&self) -> Result<LogReport, Error> {
        let mut log = LogDir::new(&self.dir, self.log_id, self.segments.clone());
        let mut reports = Vec::new();
        while log.open_next()? {
            if let Some(reader) = &mut log.reader {
                reports.push(reader.read_to_end()?.clone());
            }
        }
        let missing = log.missing();
        let history = log.reader.as_ref().and_then(Reader::history);
        Ok(LogReport::new(self.log_id, reports, missing, history))
    }

    /// Turns to the next segment; `false`: there is none.
    fn open_next(&mut self) -> Result<bool, Error> {
        let Some(segment) = self.segments.get(self.next).cloned() else { return Ok(false) };
        let source = match segment.open()? {
            Some(source) => source,
            None => {
                // The active file was archived since the directory was read.
                self.refresh()?;
                let renamed = self.segments.get(self.next).cloned().unwrap_or(segment);
                let source = renamed.open()?;
                source.ok_or_else(|| gone(&renamed))?
            }
        };
        // Nothing is given up before the next file is open: after an error the call can be repeated.
        let mut reader = Reader::new(source, Layout::Auto)?;
        if let Some(history) = self.reader.take().and_then(Reader::into_history) {
            self.history = history;
        }
        reader.set_history(std::mem::take(&mut self.history));
        reader.set_follow(self.follow);
        self.reader = Some(reader);
        self.next += 1;
        Ok(true)
    }
}

fn gone(segment: &Segment) -> Error {
    let doing = format!("cannot find segment {}", segment.id);
    Error::io(doing, std::io::ErrorKind::NotFound).at_path(&segment.path)
}

/// What reading a whole log found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogReport {
    /// The log; `None` for a file of the original and an empty file.
    pub log_id: Option<LogId>,
    /// The reports of its segments, in order, each as if the file stood alone.
    pub segments: Vec<Report>,
    /// See [`LogDir::missing`].
    pub missing: Vec<RangeInclusive<u64>>,
    /// The sessions over all segments.
    pub sessions: Vec<SessionReport>,
    /// Blocks, each counted once.
    pub blocks: u64,
    /// Records, each counted once.
    pub records: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// All records that are gone: in the segments, and with segments that are missing in between.
    pub lost: Loss,
}

impl LogReport {
    fn new(
        log_id: Option<LogId>,
        segments: Vec<Report>,
        missing: Vec<RangeInclusive<u64>>,
        history: Option<History>,
    ) -> LogReport {
        let sum = |of: fn(&Report) -> u64| segments.iter().map(of).fold(0, u64::saturating_add);
        let file_bytes = sum(|report| report.file_bytes);
        let (sessions, lost, blocks, records, payload_bytes) = match history {
            Some(history) => {
                let sessions = history.sessions();
                let sum = |of: fn(&SessionReport) -> u64| {
                    sessions.iter().map(of).fold(0, u64::saturating_add)
                };
                let blocks = sum(|session| session.blocks);
                let records = sum(|session| session.records);
                let payload = sum(|session| session.payload_bytes);
                (sessions, history.lost(), blocks, records, payload)
            }
            None => (
                Vec::new(),
                segments.first().map_or(Loss::exact(0), |report| report.lost),
                sum(|report| report.blocks),
                sum(|report| report.records),
                sum(|report| report.payload_bytes),
            ),
        };
        LogReport {
            log_id,
            segments,
            missing,
            sessions,
            blocks,
            records,
            payload_bytes,
            file_bytes,
            lost,
        }
    }

    /// Whether no segment is damaged or missing, and nothing lost.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.lost.is_none() && self.segments.iter().all(Report::is_whole)
    }

    /// All drops that the sessions declare.
    pub fn dropped(&self) -> Dropped {
        self.sessions
            .iter()
            .fold(Dropped::default(), |sum, session| sum.zip(session.dropped, u64::saturating_add))
    }
}
