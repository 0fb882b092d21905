//! All segments of one log, read as one log.

mod blocks;

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use super::{
    gaps::gaps,
    history::History,
    listed::Listed,
    listing::{Files, Listing, list},
    log_report::LogReport,
    options::ReadOptions,
    promise::Promise,
    reader::Reader,
    records::Record,
    report::{Layout, Report},
    segments::{self, Segment, identify},
    selection::Selection,
};
use crate::{
    Error, LogId,
    probe::{Search, Source},
};

/// How often a file is looked for under the name that its directory shows. The file can be renamed and
/// compressed between the look and the opening.
const LOOKS: usize = 10;

/// All segments of one log, in the order of their numbers.
///
/// A log that rotates is many files, and the files change while they are read: the logger renames the active
/// file, an archivist compresses and deletes others, an administrator copies and moves some. So a list of
/// names says little: a name sort mixes logs and counts copies twice, and a file that is read alone cannot
/// say whether records were lost between two files. A `LogDir` finds the segments by the log id and the
/// number in each file, whatever the names are. It reads each segment once, follows renamed files, delivers a
/// block that was written to two segments once, and keeps one account of each session over all segments. So
/// its [`report`](LogDir::report) also covers the records that are lost between files.
///
/// Opening reads the start of each file and nothing more. [`ReadOptions::open_log`] and [`ReadOptions::scan`]
/// open logs to follow them or to read a part of them.
#[derive(Debug)]
#[must_use]
pub struct LogDir {
    /// `None` if a program has given the segments: then there are no others.
    dir: Option<PathBuf>,
    log_id: Option<LogId>,
    segments: Vec<Segment>,
    /// Index of the segment that is read next.
    next: usize,
    reader: Option<Reader>,
    /// The reports of the segments that were read to their end.
    finished: Vec<Report>,
    /// The current segment cannot be read any further.
    is_given_up: bool,
    history: History,
    options: ReadOptions,
    /// How many records at the beginning of the next segment are left out.
    to_pass: u64,
    listed: Option<Listed>,
    /// The number of the segment whose path the log was opened by.
    named: Option<u64>,
    pub(super) copies: Vec<Segment>,
    /// Numbers of segments that disappeared before they were read.
    gone: Vec<u64>,
    unread: Vec<Error>,
    unreadable: Vec<Error>,
}

impl ReadOptions {
    /// Opens the log that the file at `path` is a segment of; see [`LogDir::open`].
    ///
    /// # Errors
    ///
    /// The same as [`LogDir::open`].
    pub fn open_log(self, path: impl AsRef<Path>) -> Result<LogDir, Error> {
        LogDir::open_with(path.as_ref(), self)
    }
}

impl LogDir {
    /// Opens the log that the file at `path` is a segment of, with all other segments in the same directory.
    /// A file of the original is a log of its own, and so is an empty file.
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
        let mut source = Source::open(path)?;
        let Some((log_id, own)) = identify(&mut source, &mut Search::default())? else {
            return Ok(LogDir::new(Some(dir), None, vec![segments::single(source)?], options));
        };
        let mut log = LogDir::new(Some(dir), Some(log_id), Vec::new(), options);
        log.named = Some(own.id);
        let mut listing = list(dir, path.file_name())?;
        log.take_files(&mut listing, Some(own));
        Ok(log)
    }

    pub(super) fn new(
        dir: Option<&Path>,
        log_id: Option<LogId>,
        segments: Vec<Segment>,
        options: ReadOptions,
    ) -> LogDir {
        LogDir {
            dir: dir.map(Path::to_path_buf),
            log_id,
            segments,
            next: 0,
            reader: None,
            finished: Vec::new(),
            is_given_up: false,
            history: History::default(),
            options,
            to_pass: 0,
            listed: None,
            named: None,
            copies: Vec::new(),
            gone: Vec::new(),
            unread: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// The id that all segments share; `None` for a file of the original or an empty file.
    #[must_use]
    pub fn log_id(&self) -> Option<LogId> {
        self.log_id
    }

    /// The segments, in the order of their numbers.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The number of the segment whose path the log was opened by; `None` if [`scan`](LogDir::scan) found the
    /// log, or if the log has no numbers.
    #[must_use]
    pub fn named(&self) -> Option<u64> {
        self.named
    }

    /// Copies: further files with the number of a segment that is read from another file. Other names of the
    /// same file are not copies, nor is a file beside its compressed form.
    #[must_use]
    pub fn copies(&self) -> &[Segment] {
        &self.copies
    }

    /// The numbers of missing segments: those between two existing segments, and those that existed when the
    /// directory was first read and then disappeared.
    #[must_use]
    pub fn missing(&self) -> Vec<RangeInclusive<u64>> {
        gaps(&self.segments, &self.gone)
    }

    /// The errors of the segments of this log that could not be read, or not to their end. Such a segment is
    /// passed over; the numbers of the records in the other segments show how many records are lost.
    #[must_use]
    pub fn unread(&self) -> &[Error] {
        &self.unread
    }

    /// The errors of files with a log's name that could not be read when the directory was last read. The
    /// files may be segments of this log.
    #[must_use]
    pub fn unreadable(&self) -> &[Error] {
        &self.unreadable
    }

    /// Forgets the segments for which `keep` returns `false`, as if they did not exist. Call `retain` before
    /// anything is read; [`refresh`](LogDir::refresh) adds later segments.
    pub fn retain(&mut self, keep: impl FnMut(&Segment) -> bool) {
        self.segments.retain(keep);
    }

    /// Moves to the last `count` records of the log. The next calls deliver these records, and then the
    /// records that are written later. To find the place, `seek_last` reads only the heads of the blocks in
    /// the last segments; the records of a damaged block count as if they could be read. Files of the
    /// original are read as a whole.
    ///
    /// # Errors
    ///
    /// The same as [`Reader::open`] and [`Reader::next_record`].
    pub fn seek_last(&mut self, count: u64) -> Result<(), Error> {
        (self.reader, self.history, self.finished) = (None, History::default(), Vec::new());
        (self.next, self.is_given_up) = (0, false);
        let (mut found, mut is_whole, mut first) = (0u64, true, None);
        // One segment is counted even for a count of 0: the place is then behind the present records of the
        // last segment.
        while let Some(id) = self.last_before(first).filter(|_| found < count || first.is_none()) {
            if let Some(report) = self.count_records(id)? {
                found = found.saturating_add(report.skipped_records).saturating_add(report.records);
                is_whole &= report.is_whole();
                first = Some(id);
            }
        }
        // A damaged block may stand in the next segment again.
        is_whole |= self.log_id.is_none() || self.options.layout != Layout::Auto;
        while !is_whole {
            found = self.count_records_from(first)?;
            let before = self.last_before(first).filter(|_| found < count);
            is_whole = before.is_none();
            first = before.or(first);
        }
        let is_before = |segment: &Segment| first.is_none_or(|first| segment.id < first);
        self.next = self.segments.partition_point(is_before);
        self.to_pass = found.saturating_sub(count);
        Ok(())
    }

    /// The number of the last segment, or of the last one before `first`.
    fn last_before(&self, first: Option<u64>) -> Option<u64> {
        let mut ids = self.segments.iter().rev().map(|segment| segment.id);
        ids.find(|id| first.is_none_or(|first| *id < first))
    }

    /// Counts the records of a segment by the heads of its blocks; `None` if the segment has disappeared.
    fn count_records(&mut self, id: u64) -> Result<Option<Report>, Error> {
        let counted = self.open_segment(id).and_then(|source| {
            let Some(source) = source else { return Ok(None) };
            let mut reader = Reader::new(source, self.options.layout)?;
            reader.set_selection(Selection::NOTHING);
            reader.read_to_end().cloned().map(Some)
        });
        counted.or_else(|error| self.pass_over(id, error).map(|()| None))
    }

    /// Counts the records of all segments from `first` on, each record once.
    fn count_records_from(&self, first: Option<u64>) -> Result<u64, Error> {
        let mut history = History::default();
        for segment in self.segments.iter().filter(|it| first.is_some_and(|first| first <= it.id)) {
            let Some(source) = segment.open(self.log_id)? else { continue };
            let mut reader = Reader::new(source, self.options.layout)?;
            reader.set_selection(Selection::NOTHING);
            reader.set_history(history);
            reader.read_to_end()?;
            history = reader.into_history().unwrap_or_default();
        }
        let sessions = history.sessions();
        let records = sessions.iter().flat_map(|it| [it.records, it.skipped_records]);
        Ok(records.fold(0, u64::saturating_add))
    }

    /// The next record of the log; `None` at its current end. A later call continues if the last segment has
    /// grown. A block that is in two segments (because a write failed and was repeated) is delivered once. A
    /// segment that cannot be read is passed over (see [`unread`](LogDir::unread)), unless the log is
    /// followed and the segment is its last one: then the call returns an error, and a later call tries
    /// again.
    ///
    /// # Errors
    ///
    /// The same as [`Reader::open`] and [`Reader::next_record`].
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        while !self.has_record()? {
            if !self.open_next()? {
                return Ok(None);
            }
        }
        self.reader.as_mut().map_or(Ok(None), Reader::next_record)
    }

    /// Whether the current segment has another record.
    fn has_record(&mut self) -> Result<bool, Error> {
        let Some(reader) = self.reader.as_mut().filter(|_| !self.is_given_up) else {
            return Ok(false);
        };
        let is_over = self.next < self.segments.len();
        let mut has_record = reader.has_record();
        if self.options.follow && is_over && matches!(has_record, Ok(false)) {
            // A later segment exists, so nothing is written to this one any more.
            reader.set_follow(false);
            has_record = reader.has_record();
        }
        match has_record {
            Err(error) if is_over || !self.options.follow => {
                self.unread.push(error);
                self.is_given_up = true;
                Ok(false)
            }
            has_record => has_record,
        }
    }

    /// Reads to the end of the log without delivering records.
    fn read_to_end(mut self) -> Result<LogReport, Error> {
        loop {
            while self.has_record()? {
                let Some(reader) = &mut self.reader else { break };
                if let Err(error) = reader.read_to_end() {
                    self.unread.push(error);
                    self.is_given_up = true;
                }
            }
            if !self.open_next()? {
                return Ok(self.report());
            }
        }
    }

    /// The reader of the current segment.
    #[must_use]
    pub fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// The reports of the segments that were read to their end, without the current one.
    pub fn finished(&self) -> &[Report] {
        &self.finished
    }

    /// The report on everything that was read so far; complete once the end was reached.
    pub fn report(&self) -> LogReport {
        let last = self.reader.as_ref().map(|reader| reader.report().clone());
        let reports = self.finished.iter().cloned().chain(last).collect();
        let history = self.reader.as_ref().and_then(Reader::history);
        let unread = self.unread.clone();
        LogReport::new(self.log_id, reports, self.missing(), unread, history)
    }

    /// Reads the directory again: adds segments with higher numbers than the last one, and updates the paths
    /// of renamed segments. The reading of the current segment is not interrupted. If the directory seems
    /// unchanged, its files are only looked at every few seconds, so a program can call `refresh` often.
    ///
    /// # Errors
    ///
    /// `Io`, if the directory or a file cannot be read.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let fresh = Listed::now(dir);
        if self.listed.as_ref().is_some_and(|listed| listed.is_still_right(&fresh)) {
            return Ok(());
        }
        self.list_again()?;
        self.listed = Some(fresh);
        Ok(())
    }

    fn list_again(&mut self) -> Result<(), Error> {
        self.learn_log();
        if let (Some(dir), Some(_)) = (&self.dir, self.log_id) {
            let mut listing = list(dir, None)?;
            self.take_files(&mut listing, None);
        }
        Ok(())
    }

    /// Takes over the new paths, and the new segments behind the last one that was read. Segments that were
    /// still to be read and have disappeared are noted as gone.
    fn take_files(&mut self, listing: &mut Listing, own: Option<Segment>) {
        let Some(log_id) = self.log_id else { return };
        let Files { segments: mut found, copies } =
            listing.logs.remove(&log_id).unwrap_or_default();
        if let Some(own) = own {
            let index = found.partition_point(|segment| segment.id < own.id);
            if found.get(index).is_none_or(|segment| segment.id != own.id) {
                found.insert(index, own);
            }
        }
        (self.copies, self.unreadable) = (copies, listing.unreadable.clone());
        let read = self.next.min(self.segments.len());
        let (mut segments, to_read) = (self.segments.clone(), self.segments.split_off(read));
        segments.truncate(read);
        let last_read = segments.last().map(|segment| segment.id);
        for fresh in found {
            if last_read.is_none_or(|last| last < fresh.id) {
                segments.push(fresh);
            } else if let Some(known) = segments.iter_mut().find(|known| known.id == fresh.id) {
                *known = fresh;
            }
        }
        let is_there = |id: u64| segments.iter().any(|segment| segment.id == id);
        self.gone.retain(|id| !is_there(*id));
        self.gone.extend(to_read.iter().map(|known| known.id).filter(|id| !is_there(*id)));
        self.segments = segments;
    }

    /// Takes over the log id and the number from a file that was empty at first and has a start now.
    fn learn_log(&mut self) {
        let report = self.reader.as_ref().map(Reader::report);
        if let (None, Some(report), [segment]) = (self.log_id, report, &mut self.segments[..]) {
            (self.log_id, segment.id) = (report.log_id, report.segment);
        }
    }

    /// Reads the whole log from its first segment and reports on it.
    ///
    /// # Errors
    ///
    /// The same as [`Reader::open`] and [`Reader::next_record`]. Damage and missing segments are not errors.
    pub fn verify(&self) -> Result<LogReport, Error> {
        let options = ReadOptions::new().layout(self.options.layout);
        LogDir::new(self.dir.as_deref(), self.log_id, self.segments.clone(), options).read_to_end()
    }

    /// Turns to the next segment that can be read; `false` if none is left.
    fn open_next(&mut self) -> Result<bool, Error> {
        let (mut reader, promise) = loop {
            let Some(id) = self.segments.get(self.next).map(|segment| segment.id) else {
                return Ok(false);
            };
            match self.open_reader(id) {
                Ok(Some(opened)) => break opened,
                Ok(None) => {}
                Err(error) => self.pass_over(id, error)?,
            }
        };
        // The current reader is kept until the next file is open, so that the call can be repeated after an
        // error.
        if let Err(error) = reader.pass(self.to_pass) {
            let id = self.segments.get(self.next).map_or(0, |segment| segment.id);
            return self.pass_over(id, error).and_then(|()| self.open_next());
        }
        self.to_pass = 0;
        if let Some(last) = self.reader.take() {
            self.end_segment(last, promise);
        }
        reader.set_history(std::mem::take(&mut self.history));
        (self.reader, self.is_given_up) = (Some(reader), false);
        self.next += 1;
        Ok(true)
    }

    /// Takes over the accounts of a segment that was read. Accounts are dropped until the first requested
    /// block was found: damage and losses before that block are not requested either.
    fn end_segment(&mut self, last: Reader, promise: Option<Promise>) {
        let mut report = last.report().clone();
        let is_asked_for = self.options.selection.is_all() || report.blocks > 0;
        if self.finished.is_empty() && !is_asked_for && !self.is_given_up {
            self.history = History::default();
            return;
        }
        if let Some(promise) = promise {
            last.settle(&mut report, promise);
        }
        self.finished.push(report);
        self.history = last.into_history().unwrap_or_default();
    }

    /// A reader of a segment, and the promise of its start; `None` if the segment is gone.
    fn open_reader(&mut self, id: u64) -> Result<Option<(Reader, Option<Promise>)>, Error> {
        let Some(mut source) = self.open_segment(id)? else { return Ok(None) };
        let promise = Promise::of(&mut source)?;
        Ok(Some((Reader::with(source, &self.options)?, promise)))
    }

    /// Opens a segment, under its new name if it was archived or compressed since the directory was read.
    /// `None` if the segment is gone (it is then no longer among the segments), or if another one is in its
    /// place.
    fn open_segment(&mut self, id: u64) -> Result<Option<Source>, Error> {
        for _ in 0..LOOKS {
            let Some(segment) = self.segments.iter().find(|segment| segment.id == id) else {
                return Ok(None);
            };
            if self.log_id.is_none() {
                return segment.source().map(Some);
            }
            let (path, opened) = (segment.path.clone(), segment.open(self.log_id));
            if let Ok(Some(source)) = opened {
                return Ok(Some(source));
            }
            self.list_again()?;
            // Another file may have the same segment.
            let is_elsewhere = |segment: &Segment| segment.id == id && segment.path != path;
            if let (Err(error), false) = (opened, self.segments.iter().any(is_elsewhere)) {
                return Err(error);
            }
        }
        self.drop_segment(id);
        Ok(None)
    }

    /// Passes over a segment that cannot be read. Returns the error instead if the segment may become
    /// readable later, or if the directory itself cannot be read.
    fn pass_over(&mut self, id: u64, error: Error) -> Result<(), Error> {
        let is_last = self.segments.last().is_none_or(|last| last.id <= id);
        let is_of_dir = error.path().is_some() && error.path() == self.dir.as_deref();
        if (self.options.follow && is_last) || is_of_dir {
            return Err(error);
        }
        self.unread.push(error);
        self.drop_segment(id);
        Ok(())
    }

    fn drop_segment(&mut self, id: u64) {
        let is_read = |segment: &&Segment| segment.id == id;
        self.next -= self.segments.iter().take(self.next).filter(is_read).count();
        self.segments.retain(|segment| segment.id != id);
        if self.log_id.is_some() {
            self.gone.push(id);
        }
    }
}
