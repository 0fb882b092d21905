//! All segments of one log, read as one.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use super::{
    history::History,
    listed::Listed,
    log_report::LogReport,
    options::ReadOptions,
    reader::Reader,
    records::Record,
    report::Report,
    segments::{self, Segment},
    selection::Selection,
};
use crate::{Error, ErrorKind, LogId, probe::Source};

/// A new gap is looked at so often before it is believed: a file that is renamed or compressed while the
/// directory is read may be seen under neither name.
const LOOKS: usize = 3;

/// All segments of one log, in the order of their numbers.
///
/// What belongs together is told by the log id in the files, not by their names. Opening reads the start of
/// each file and nothing more. [`ReadOptions::open_log`] and [`ReadOptions::scan`] open logs to follow them, or
/// to read a part of them.
#[derive(Debug)]
#[must_use]
pub struct LogDir {
    dir: PathBuf,
    log_id: Option<LogId>,
    segments: Vec<Segment>,
    /// Index of the segment that is read next.
    next: usize,
    reader: Option<Reader>,
    /// The segments that were read to their end.
    finished: Vec<Report>,
    history: History,
    options: ReadOptions,
    /// So many records of the next segment are left out.
    to_pass: u64,
    listed: Option<Listed>,
}

impl ReadOptions {
    /// Opens the log that the file at `path` is a segment of; see [`LogDir::open`].
    ///
    /// # Errors
    ///
    /// As [`LogDir::open`].
    pub fn open_log(self, path: impl AsRef<Path>) -> Result<LogDir, Error> {
        LogDir::open_with(path.as_ref(), self)
    }

    /// Opens all logs of a directory; see [`LogDir::scan`].
    ///
    /// # Errors
    ///
    /// As [`LogDir::scan`].
    pub fn scan(self, dir: impl AsRef<Path>) -> Result<Vec<LogDir>, Error> {
        LogDir::scan_with(dir.as_ref(), self)
    }
}

impl LogDir {
    /// The log that the file at `path` is a segment of, with all others in its directory. A file of the
    /// original is a log of its own, and so is an empty file.
    ///
    /// # Errors
    ///
    /// `NotAFile`, `NotALog`, `UnsupportedVersion` or `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<LogDir, Error> {
        LogDir::open_with(path.as_ref(), ReadOptions::new())
    }

    pub(super) fn open_with(path: &Path, options: ReadOptions) -> Result<LogDir, Error> {
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let Some((log_id, own)) = segments::identify_path(path)? else {
            return Ok(LogDir::new(dir, None, vec![segments::single(path)?], options));
        };
        let mut listing = segments::list(dir)?;
        let mut found = listing.logs.remove(&log_id).unwrap_or_default();
        if !found.iter().any(|segment| segment.id == own.id) {
            // Its name does not end in `.log`.
            found.push(own);
            found.sort_by_key(|segment| segment.id);
        }
        Ok(LogDir::new(dir, Some(log_id), found, options))
    }

    /// All logs of a directory, each with its segments; files of the original, and empty ones, are logs of
    /// their own. Files that are no logs are passed over.
    ///
    /// # Errors
    ///
    /// `Io`, if the directory or a file cannot be read.
    pub fn scan(dir: impl AsRef<Path>) -> Result<Vec<LogDir>, Error> {
        LogDir::scan_with(dir.as_ref(), ReadOptions::new())
    }

    pub(super) fn scan_with(dir: &Path, options: ReadOptions) -> Result<Vec<LogDir>, Error> {
        let listing = segments::list(dir)?;
        let ours = listing.logs.into_iter();
        let mut logs: Vec<LogDir> =
            ours.map(|(log_id, found)| LogDir::new(dir, Some(log_id), found, options)).collect();
        for path in listing.others {
            match segments::single(&path) {
                Ok(segment) => logs.push(LogDir::new(dir, None, vec![segment], options)),
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(_) => {}
            }
        }
        Ok(logs)
    }

    fn new(
        dir: &Path,
        log_id: Option<LogId>,
        segments: Vec<Segment>,
        options: ReadOptions,
    ) -> LogDir {
        LogDir {
            dir: dir.to_path_buf(),
            log_id,
            segments,
            next: 0,
            reader: None,
            finished: Vec::new(),
            history: History::default(),
            options,
            to_pass: 0,
            listed: None,
        }
    }

    /// The id that the segments share; `None` for a file of the original and an empty file.
    #[must_use]
    pub fn log_id(&self) -> Option<LogId> {
        self.log_id
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The numbers of segments that are not there, though one before and one after them is.
    #[must_use]
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

    /// Forgets about the segments that are not to be `keep`-ed, as if they were not there. To be called
    /// before anything is read; [`refresh`](LogDir::refresh) adds those that come later.
    pub fn retain(&mut self, keep: impl FnMut(&Segment) -> bool) {
        self.segments.retain(keep);
    }

    /// Goes to the last `count` records of the log: they are what is read next, and what is written
    /// meanwhile. To find them only heads of blocks are read, of the last segments; the records of a
    /// damaged block count as if they were there. Files of the original are read as a whole.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`] and [`Reader::next_record`].
    pub fn seek_last(&mut self, count: u64) -> Result<(), Error> {
        let (mut first, mut found) = (self.segments.len(), 0);
        // With a count of 0, too: the place is then behind what the last segment has now.
        while first > 0 && (found < count || first == self.segments.len()) {
            first -= 1;
            found = self.count_records(first)?.saturating_add(found);
        }
        (self.reader, self.history, self.finished) = (None, History::default(), Vec::new());
        (self.next, self.to_pass) = (first, found.saturating_sub(count));
        Ok(())
    }

    /// The records of a segment, by the heads of its blocks.
    fn count_records(&mut self, index: usize) -> Result<u64, Error> {
        let Some(source) = self.open_segment(index)? else { return Ok(0) };
        let mut reader = Reader::new(source, self.options.layout)?;
        reader.set_selection(Selection::NOTHING);
        let report = reader.read_to_end()?;
        Ok(report.skipped_records.saturating_add(report.records))
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
            if self.options.follow && self.next < self.segments.len() {
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
    #[must_use]
    pub fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// The reports of the segments that were read to their end, before the one at hand.
    pub fn finished(&self) -> &[Report] {
        &self.finished
    }

    /// What was found so far; of all that was asked for once the end was met.
    pub fn report(&self) -> LogReport {
        let last = self.reader.as_ref().map(|reader| reader.report().clone());
        let reports = self.finished.iter().cloned().chain(last).collect();
        let history = self.reader.as_ref().and_then(Reader::history);
        LogReport::new(self.log_id, reports, self.missing(), history)
    }

    /// Looks at the directory again: segments with higher numbers than the last are added, and renamed ones
    /// get their new paths. What is being read is not interrupted. Where nothing seems to have changed the
    /// files are only looked at every few seconds, so that this can be called often.
    ///
    /// # Errors
    ///
    /// `Io`, if the directory or a file cannot be read.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let fresh = Listed::now(&self.dir);
        if self.listed.as_ref().is_some_and(|listed| listed.is_still_right(&fresh)) {
            return Ok(());
        }
        self.list_again()?;
        self.listed = Some(fresh);
        Ok(())
    }

    fn list_again(&mut self) -> Result<(), Error> {
        self.learn_log();
        let Some(log_id) = self.log_id else { return Ok(()) };
        let missing = self.missing();
        for _ in 0..LOOKS {
            let mut listing = segments::list(&self.dir)?;
            self.merge(listing.logs.remove(&log_id).unwrap_or_default());
            if self.missing() == missing {
                break;
            }
        }
        Ok(())
    }

    /// Adds what is new, unless something behind it is read already, and takes over new paths.
    fn merge(&mut self, mut found: Vec<Segment>) {
        // Of several copies the first is the best.
        found.dedup_by_key(|segment| segment.id);
        for fresh in found {
            let index = self.segments.partition_point(|known| known.id < fresh.id);
            match self.segments.get_mut(index).filter(|known| known.id == fresh.id) {
                Some(known) => *known = fresh,
                None if index >= self.next => self.segments.insert(index, fresh),
                None => {}
            }
        }
    }

    /// A file that was empty may have got a start meanwhile.
    fn learn_log(&mut self) {
        let report = self.reader.as_ref().map(Reader::report);
        if let (None, Some(report), [segment]) = (self.log_id, report, &mut self.segments[..]) {
            (self.log_id, segment.id) = (report.log_id, report.segment);
        }
    }

    /// Reads the whole log, from its first segment, and reports on it.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`] and [`Reader::next_record`]. Damage and missing segments are no errors.
    pub fn verify(&self) -> Result<LogReport, Error> {
        let options = ReadOptions::new().layout(self.options.layout);
        let mut log = LogDir::new(&self.dir, self.log_id, self.segments.clone(), options);
        while log.open_next()? {
            if let Some(reader) = &mut log.reader {
                reader.read_to_end()?;
            }
        }
        Ok(log.report())
    }

    /// Turns to the next segment; `false`: there is none.
    fn open_next(&mut self) -> Result<bool, Error> {
        let source = loop {
            let Some(mut source) = self.open_segment(self.next)? else { return Ok(false) };
            if self.options.selection.is_all() {
                break source;
            }
            let Some(span) = segments::span(&mut source)? else {
                break source;
            };
            if self.options.selection.is_before(&span) {
                // Those behind it are later. To read one of them without this one would leave a gap.
                self.next = self.segments.len();
                return Ok(false);
            }
            // Once something is read, every segment is: only at the beginning is nothing missed.
            if self.reader.is_some() || !self.options.selection.is_after(&span) {
                break source;
            }
            self.next += 1;
        };
        // Nothing is given up before the next file is open: after an error the call can be repeated.
        let mut reader = Reader::with(source, &self.options)?;
        reader.pass(self.to_pass)?;
        self.to_pass = 0;
        if let Some(last) = self.reader.take() {
            self.finished.push(last.report().clone());
            self.history = last.into_history().unwrap_or_default();
        }
        reader.set_history(std::mem::take(&mut self.history));
        self.reader = Some(reader);
        self.next += 1;
        Ok(true)
    }

    /// Opens a segment, under another name if it was archived or compressed since the directory was read.
    fn open_segment(&mut self, index: usize) -> Result<Option<Source>, Error> {
        let Some(segment) = self.segments.get(index).cloned() else { return Ok(None) };
        if let Some(source) = segment.open()? {
            return Ok(Some(source));
        }
        self.list_again()?;
        let renamed = self.segments.get(index).cloned().unwrap_or(segment);
        let source = renamed.open()?;
        source.map(Some).ok_or_else(|| gone(&renamed))
    }
}

fn gone(segment: &Segment) -> Error {
    let doing = format!("cannot find segment {}", segment.id);
    Error::io(doing, std::io::ErrorKind::NotFound).at_path(&segment.path)
}
