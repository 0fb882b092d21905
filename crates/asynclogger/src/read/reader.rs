//! The reader of one file.

use std::path::Path;

#[cfg(feature = "zstd")]
use super::report::{Damage, DamageKind, Ending, Loss};
use super::{
    ahead::Ahead,
    heads::Head,
    history::History,
    loaded::{Cursor, Loaded},
    native::Native,
    options::ReadOptions,
    original::{self, Original},
    promise::Promise,
    records::{Block, OwnedRecord, Record},
    report::{Format, Layout, Report, SessionState},
    selection::Selection,
    step::Step,
    writer,
};
#[cfg(feature = "zstd")]
use crate::probe::Finding;
use crate::{
    Error, ErrorKind,
    format::{VERSION, metadata},
    probe::{Part, Place, Search, Source, later_version, look},
};

/// Reads the records of one file: a log of this library, or a file of the original.
///
/// A log is read most carefully when something is wrong: after a crash, on a failing disk, while a program
/// still writes it. A reader that stops at the first bad byte loses all good records behind that byte. A
/// reader that skips damage and goes on without a word hides the loss. A `Reader` does neither: it searches
/// for the next valid part behind the damage, delivers every record that a valid checksum covers, and counts
/// the rest in its [`report`](Reader::report), from the numbers that each block carries. Damage is therefore
/// no error; an error means that the system could not read the file, or that a later version wrote it.
///
/// A file can be read while it is written. After the end (`None`), a later call checks whether the file has
/// grown and then continues.
#[derive(Debug)]
#[must_use]
pub struct Reader {
    pub(crate) source: Source,
    walk: Walk,
    loaded: Loaded,
    cursor: Cursor,
    /// The reading has reached the end of the source at its current length.
    at_end: bool,
}

#[derive(Debug)]
enum Walk {
    Native(Box<Native>),
    Original(Box<Original>),
}

impl Reader {
    /// Opens `path` for reading.
    ///
    /// # Errors
    ///
    /// `NotAFile`, `NotALog`, `UnsupportedVersion`, `MissingFeature` or `Io`. An empty file is an empty log.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader, Error> {
        ReadOptions::new().open(path)
    }

    /// Reads a file that is in memory.
    ///
    /// # Errors
    ///
    /// `NotALog` or `UnsupportedVersion`.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Reader, Error> {
        Reader::new(Source::from_bytes(bytes), Layout::Auto)
    }

    pub(super) fn with(source: Source, options: &ReadOptions) -> Result<Reader, Error> {
        let mut reader = Reader::new(source, options.layout)?;
        reader.set_follow(options.follow);
        reader.set_selection(options.selection);
        Ok(reader)
    }

    pub(crate) fn new(mut source: Source, layout: Layout) -> Result<Reader, Error> {
        let layout = match layout {
            Layout::Auto => recognise(&mut source)?,
            forced => Some(forced),
        };
        if layout.is_some() && source.is_compressed() {
            // A file of the original has no checksums, so the remains of a damaged frame would be read as
            // records.
            let text =
                "compressed, but not a log of asynclogger inside: restore the file with `zstd -d`";
            return Err(Error::new(ErrorKind::NotALog, text).at_path(source.path()));
        }
        let report = |format| Report::new(&source, format);
        let walk = match layout {
            None => {
                let format = Format::Native { version: VERSION };
                Walk::Native(Box::new(Native::new(report(format))))
            }
            Some(layout) => {
                let report = report(Format::Original { layout });
                Walk::Original(Box::new(Original::new(report, layout)))
            }
        };
        let (loaded, cursor) = (Loaded::default(), Cursor::default());
        Ok(Reader { source, walk, loaded, cursor, at_end: false })
    }

    /// The next record; `None` at the current end of the file.
    ///
    /// # Errors
    ///
    /// `Io` with the offset (the next call tries the same place again), or `UnsupportedVersion` if a later
    /// version of the library continued the file.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        let located = loop {
            if let Some(located) = self.cursor.next(&self.loaded.data) {
                break located;
            }
            if !self.advance()? {
                return Ok(None);
            }
        };
        let Loaded { meta, times, data, .. } = &self.loaded;
        Ok(Record::new(meta, times, data, located))
    }

    /// The next block; `None` at the current end of the file. The records of the block before that
    /// [`next_record`](Reader::next_record) has not delivered yet are passed over.
    ///
    /// # Errors
    ///
    /// The same as [`next_record`](Reader::next_record).
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, Error> {
        let is_loaded = self.load()?;
        self.cursor = Cursor::default();
        if !is_loaded {
            return Ok(None);
        }
        self.cursor.pass(&self.loaded.runs);
        Ok(Some(Block::new(&self.loaded)))
    }

    /// The report on the part of the file that was read so far; on the whole file once the end was reached. A
    /// block counts as soon as its first record was delivered.
    pub fn report(&self) -> &Report {
        match &self.walk {
            Walk::Native(native) => &native.state.report,
            Walk::Original(original) => &original.report,
        }
    }

    /// Reads to the end of the file without delivering records.
    ///
    /// # Errors
    ///
    /// The same as [`next_record`](Reader::next_record).
    pub fn read_to_end(&mut self) -> Result<&Report, Error> {
        while self.load()? {}
        Ok(self.report())
    }

    /// See [`ReadOptions::follow`].
    pub(crate) fn set_follow(&mut self, follow: bool) {
        let follow = follow && !self.source.is_compressed();
        if let Walk::Native(native) = &mut self.walk {
            // The hole that the reader waited at is looked at once more.
            self.at_end &= !native.is_waiting() || follow;
            if !self.at_end && native.is_waiting() {
                native.grow(self.source.len());
            }
            native.follow = follow;
        }
    }

    /// See [`ReadOptions::since`].
    pub(super) fn set_selection(&mut self, selection: Selection) {
        if let Walk::Native(native) = &mut self.walk {
            native.selection = selection;
        }
    }

    /// Leaves out the next `records` records.
    pub(super) fn pass(&mut self, records: u64) -> Result<(), Error> {
        match &mut self.walk {
            Walk::Native(native) => native.pass(records),
            // Only the records of a shard of the original show where the shard ends.
            Walk::Original(_) => {
                let mut left = records;
                while left > 0 && self.next_record()?.is_some() {
                    left -= 1;
                }
            }
        }
        Ok(())
    }

    /// Continues the accounts of the segments before this one.
    pub(crate) fn set_history(&mut self, history: History) {
        if let Walk::Native(native) = &mut self.walk {
            native.state.history = Some(history);
        }
    }

    /// Ends the reading of a segment, and returns the accounts of its log for the next segment.
    pub(crate) fn into_history(self) -> Option<History> {
        match self.walk {
            Walk::Original(_) => None,
            Walk::Native(native) => {
                let mut state = native.state;
                if let Some(history) = &mut state.history {
                    history.end_segment(&state.ledger, &state.report);
                }
                state.history
            }
        }
    }

    /// See [`Native::settle`].
    pub(super) fn settle(&self, report: &mut Report, promise: Promise) {
        if let Walk::Native(native) = &self.walk {
            native.settle(report, promise);
        }
    }

    /// The accounts of the log, as if the reading ended here.
    pub(super) fn history(&self) -> Option<History> {
        let Walk::Native(native) = &self.walk else { return None };
        let mut history = native.state.history.clone()?;
        history.end_segment(&native.state.ledger, &native.state.report);
        Some(history)
    }

    /// Reads the heads of all blocks, and adds what they say to `found`.
    pub(super) fn look_ahead(mut self, segment: u64, found: &mut Vec<Ahead>) -> Result<(), Error> {
        let Walk::Native(native) = &mut self.walk else {
            found.push(Ahead::unknown(segment));
            return Ok(());
        };
        native.ahead = Some(std::mem::take(found));
        let read = self.read_to_end().map(|_| ());
        if let Walk::Native(native) = &mut self.walk {
            *found = native.ahead.take().unwrap_or_default();
        }
        read
    }

    /// The loaded block, whose records count as delivered.
    pub(super) fn take_loaded(&mut self) -> &mut Loaded {
        self.cursor.pass(&self.loaded.runs);
        &mut self.loaded
    }

    /// Whether [`next_record`](Reader::next_record) will have a record.
    pub(super) fn has_record(&mut self) -> Result<bool, Error> {
        Ok(self.cursor.has_next() || self.advance()?)
    }

    /// Moves to the run of the next record, in this block or in the next block with a run.
    #[cold]
    fn advance(&mut self) -> Result<bool, Error> {
        while !self.cursor.next_run(&self.loaded.runs) {
            if !self.load()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Loads the next block; `false` at the end of the file.
    fn load(&mut self) -> Result<bool, Error> {
        if self.at_end && !self.look_for_more()? {
            return Ok(false);
        }
        loop {
            match self.step()? {
                Step::Block => return Ok(true),
                Step::Other => {}
                Step::End => return Ok(false),
            }
        }
    }

    /// Reads the next part of the file.
    pub(super) fn step(&mut self) -> Result<Step, Error> {
        self.cursor = Cursor::default();
        let step = match &mut self.walk {
            Walk::Native(native) => native.step(&mut self.source, &mut self.loaded),
            Walk::Original(original) => original.step(&mut self.source, &mut self.loaded),
        };
        if !matches!(step, Ok(Step::Block)) {
            self.loaded.runs.clear();
        }
        #[cfg(feature = "zstd")]
        self.note_findings(matches!(step, Ok(Step::End)));
        if matches!(step, Ok(Step::End)) {
            self.at_end = true;
            self.look_for_writer();
        }
        step
    }

    /// The next part of the file, by its metadata alone; `None` at the current end of the file. The data of the blocks
    /// is neither read nor checked: the blocks count as [skipped](Report::skipped_blocks). Records of the block before
    /// that [`next_record`](Reader::next_record) has not delivered yet are passed over. The data of a file of the
    /// original is read, since only the records show where a shard ends. A block that the end of the file cuts comes again
    /// when the file has grown, unless the file is [followed](ReadOptions::follow): then it comes when it is complete.
    ///
    /// # Errors
    ///
    /// The same as [`next_record`](Reader::next_record).
    pub fn next_head(&mut self) -> Result<Option<Head>, Error> {
        if self.at_end && !self.look_for_more()? {
            return Ok(None);
        }
        loop {
            if let Walk::Native(native) = &mut self.walk {
                native.heads_only = true;
            }
            let step = self.step();
            let head = match &mut self.walk {
                Walk::Native(native) => {
                    native.heads_only = false;
                    native.seen.as_ref().map(|part| Head::of(part, native.fresh))
                }
                Walk::Original(_) => {
                    self.cursor.pass(&self.loaded.runs);
                    matches!(step, Ok(Step::Block)).then(|| Head::of_shard(&self.loaded))
                }
            };
            match step? {
                Step::End => return Ok(None),
                Step::Block | Step::Other if head.is_some() => return Ok(head),
                Step::Block | Step::Other => {}
            }
        }
    }

    /// The part that the last step read, and its block if the step loaded one.
    pub(super) fn seen(&self) -> (Option<&Part>, &Loaded) {
        match &self.walk {
            Walk::Native(native) => (native.seen.as_ref(), &self.loaded),
            Walk::Original(_) => (None, &self.loaded),
        }
    }

    /// At the end of the file: finds out whether the last session is being written, if it has no end.
    fn look_for_writer(&mut self) {
        let Walk::Native(native) = &mut self.walk else { return };
        let is_alone = native.state.history.is_none();
        let report = &mut native.state.report;
        report.is_complete = true;
        let Some(last) = report.sessions.last().filter(|last| !last.state.has_end()) else {
            return;
        };
        let state = match report.has_damaged_end() {
            true => SessionState::Open,
            false => writer::state_of(&self.source, report, last.session, is_alone),
        };
        if let Some(last) = report.sessions.last_mut() {
            last.state = state;
        }
    }

    /// Adds the damage of a compressed file to the report. (A compressed file does not grow, so this damage
    /// is never taken back.)
    #[cfg(feature = "zstd")]
    fn note_findings(&mut self, is_end: bool) {
        let Walk::Native(native) = &mut self.walk else { return };
        let report = &mut native.state.report;
        for finding in self.source.take_findings() {
            let (offset, len, kind) = match finding {
                Finding::Frame { offset, len } => (offset, len, DamageKind::Frame),
                Finding::SeekTable => (self.source.len(), 0, DamageKind::SeekTable),
            };
            report.add_damage(Damage { offset, len, kind, lost: Loss::exact(0) });
        }
        if is_end && report.ending != Ending::Clean {
            // More frames may have been cut off together with the table.
            let table = report.damage.iter_mut().find(|it| it.kind == DamageKind::SeekTable);
            if let Some(table) = table {
                (table.lost.at_most, report.lost.at_most) = (None, None);
            }
        }
    }

    /// Whether the file has grown since the end was reached.
    fn look_for_more(&mut self) -> Result<bool, Error> {
        let before = self.source.len();
        let len = self.source.refresh()?;
        let is_waiting = match &self.walk {
            Walk::Native(native) => native.is_waiting(),
            Walk::Original(_) => false,
        };
        if len < before || (len == before && !is_waiting) {
            return Ok(false);
        }
        if before == 0 && matches!(self.report().format, Format::Native { .. }) {
            // The file was empty; only its first bytes show its kind.
            match recognise(&mut self.source) {
                Ok(None) => {}
                Ok(Some(layout)) => {
                    let report = Report::new(&self.source, Format::Original { layout });
                    self.walk = Walk::Original(Box::new(Original::new(report, layout)));
                }
                Err(error) => {
                    self.source.forget();
                    return Err(error);
                }
            }
        }
        self.at_end = false;
        match &mut self.walk {
            Walk::Native(native) => native.grow(len),
            Walk::Original(original) => original.grow(len),
        }
        Ok(true)
    }
}

/// The records from the current place on, each with its own memory.
impl IntoIterator for Reader {
    type Item = Result<OwnedRecord, Error>;
    type IntoIter = IntoRecords;

    fn into_iter(self) -> IntoRecords {
        IntoRecords { reader: self }
    }
}

/// The iterator of a [`Reader`]: the records from its current place on, each with its own memory.
#[derive(Debug)]
pub struct IntoRecords {
    reader: Reader,
}

impl IntoRecords {
    /// Gives the reader back, with its report.
    pub fn into_reader(self) -> Reader {
        self.reader
    }
}

impl Iterator for IntoRecords {
    type Item = Result<OwnedRecord, Error>;

    fn next(&mut self) -> Option<Result<OwnedRecord, Error>> {
        let next = self.reader.next_record();
        next.map(|record| record.map(Record::into_owned)).transpose()
    }
}

/// Recognises the kind of the file: `None` for a log of this library, otherwise the rule for reading a file
/// of the original.
fn recognise(source: &mut Source) -> Result<Option<Layout>, Error> {
    let mut search = Search::default();
    if source.len() == 0 {
        return Ok(None);
    }
    match look(source, 0, &mut search.buffer)? {
        Place::Valid(_) => return Ok(None),
        Place::Later(version) => return Err(later_version(source, version, 0)),
        Place::Nothing if metadata::has_magic(&search.buffer) => return Ok(None),
        Place::Nothing => {}
    }
    // Without a sign near its beginning, the file can be one of the original.
    if search.sign(source)?.is_some() {
        return Ok(None);
    }
    if let Some(layout) = original::layout_of(source)? {
        return Ok(Some(layout));
    }
    let all = search.run(source, (0, source.len()), None, |_| ())?;
    if all.part.is_some() {
        return Ok(None);
    }
    if let Some(version) = all.later {
        return Err(later_version(source, version, 0));
    }
    Err(Error::new(ErrorKind::NotALog, "not a log").at_path(source.path()))
}
