//! The rounds of a shipper: from what is in the directory to what is in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use asynclogger::{Archive, ArchivedSegment};

use crate::{
    Error, ErrorKind, Event, OverLimit, Summary,
    facts::form_of,
    fault,
    journal::{Journal, Line},
    layout::{Form, encode},
    manifest::{self, FileEntry, GapEntry},
    outlook::Outlook,
    sending::{Sent, Way},
    shipper::Settings,
};

/// Segments that share a manifest, at most.
const BATCH: usize = 64;

/// When a segment that was left alone is tried again.
const LEFT_ALONE: Duration = Duration::from_secs(600);

type Id = (String, u64);

/// What a thread that sends has to say.
enum Told<'a> {
    /// The upload of a segment in its plain form begins when the journal knows of it.
    Begins(&'a ArchivedSegment, mpsc::Sender<()>),
    Sent(&'a ArchivedSegment, Result<Sent, Error>),
}

/// A shipper at work on one directory.
#[derive(Debug)]
pub(crate) struct Run {
    settings: Settings,
    way: Way,
    archive: Archive,
    journal: Journal,
    pub(crate) outlook: Outlook,
    summary: Summary,
    /// Read back in this run.
    verified: BTreeSet<Id>,
    /// Not tried again for a while; since when.
    left_alone: BTreeMap<Id, Instant>,
    /// What older manifests list; read when it is needed.
    listed: Option<BTreeMap<Id, FileEntry>>,
}

impl Run {
    pub(crate) fn new(
        settings: Settings,
        way: Way,
        archive: Archive,
        outlook: Outlook,
    ) -> Result<Run, Error> {
        let destination = way.store.location().to_string();
        let journal = Journal::open(archive.path(), &destination)?;
        let (summary, listed) = (Summary::default(), None);
        let (verified, left_alone) = (BTreeSet::new(), BTreeMap::new());
        Ok(Run { settings, way, archive, journal, outlook, summary, verified, left_alone, listed })
    }

    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Ships until nothing is left to ship.
    ///
    /// # Errors
    ///
    /// The store did not answer for as long as the settings say, or the directory failed.
    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let mut last_good = begun;
        loop {
            let before = self.summary.clone();
            match self.round() {
                Ok(is_done) => {
                    self.outlook.good(self.left_alone.is_empty());
                    last_good = Instant::now();
                    if is_done {
                        return Ok(());
                    }
                }
                Err(error) if error.is_of_the_store() || self.is_patient_with(&error) => {
                    if before != self.summary {
                        last_good = Instant::now();
                        self.outlook.progress();
                    }
                    let patience = self.settings.patience;
                    if patience.is_some_and(|patience| last_good.elapsed() >= patience) {
                        return Err(error);
                    }
                    let delay = self.outlook.trouble(error);
                    self.way.control.pause(delay);
                    self.way.control.check()?;
                    self.make_room()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A shipper that watches outlives a disk that is full: what it ships makes room.
    fn is_patient_with(&self, error: &Error) -> bool {
        self.settings.patience.is_none() && error.kind() == ErrorKind::Local
    }

    /// One look at the directory; whether nothing is left to do.
    fn round(&mut self) -> Result<bool, Error> {
        self.way.control.check()?;
        if self.settings.finish {
            let finished = self.archive.finish().map_err(|error| Error::of_log(&error))?;
            for error in &finished.left {
                self.outlook.tell(&Event::NotFinished { error: Error::of_log(error) });
            }
        }
        self.write_open_manifest()?;
        let segments = self.segments()?;
        self.declare_missing(&segments)?;
        let state = self.journal.state();
        let is_due = |one: &&ArchivedSegment| {
            let id = id_of(one);
            !state.is_shipped(&id.0, id.1) && !self.is_left_alone(&id)
        };
        let due: Vec<ArchivedSegment> = segments.iter().filter(is_due).cloned().collect();
        let mut is_done = true;
        for batch in due.chunks(BATCH) {
            is_done &= self.ship(batch)?;
            self.write_manifest()?;
        }
        self.write_manifest()?;
        if self.settings.delete {
            is_done &= self.delete(&segments)?;
        }
        Ok(is_done)
    }

    fn segments(&self) -> Result<Vec<ArchivedSegment>, Error> {
        self.archive.segments().map_err(|error| Error::of_log(&error))
    }

    /// Ships segments, several at a time; whether all were the files that were listed.
    ///
    /// A segment has one form for ever: the one in which its upload has begun. A request of a shipper that was killed can
    /// reach the store long afterwards. If the archivist compresses the file meanwhile, and the next shipper shipped the
    /// compressed form, the store would then have both. So the plain form is noted in the journal before the first byte of
    /// an upload; the late request and the new one have the same name and the same bytes.
    fn ship(&mut self, batch: &[ArchivedSegment]) -> Result<bool, Error> {
        let way = self.way.clone();
        let with_form = |segment| {
            let (log, number) = id_of(segment);
            let has_begun = self.journal.state().has_begun(&log, number);
            (segment, if has_begun { Form::Plain } else { form_of(segment) }, has_begun)
        };
        let todo: Vec<_> = batch.iter().map(with_form).collect();
        let todo = Mutex::new(todo.into_iter());
        let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next();
        let (tell, told) = mpsc::channel();
        let mut all_there = true;
        let mut failed = None;
        thread::scope(|scope| {
            for _ in 0..self.settings.concurrency.min(batch.len()) {
                let tell = tell.clone();
                let (way, next) = (&way, &next);
                scope.spawn(move || {
                    while let Some((segment, form, has_begun)) = next() {
                        let begin = || match form == Form::Plain && !has_begun {
                            true => begin(segment, &tell),
                            false => Ok(()),
                        };
                        let sent = way.send((segment, form), begin);
                        let is_over = sent.as_ref().is_err_and(ends_the_round);
                        if tell.send(Told::Sent(segment, sent)).is_err() || is_over {
                            return;
                        }
                    }
                });
            }
            drop(tell);
            for told in told {
                let (segment, sent) = match told {
                    Told::Sent(segment, sent) => (segment, sent),
                    Told::Begins(segment, go) => {
                        let (log, segment) = id_of(segment);
                        let noted = self.journal.add(Line::Begun { log, segment });
                        // Where the journal fails, `go` is dropped, and the upload does not begin.
                        match noted {
                            Ok(()) => drop(go.send(())),
                            Err(error) => failed = failed.take().or(Some(error)),
                        }
                        continue;
                    }
                };
                match sent {
                    Ok(sent) => {
                        // What fails here is the journal or the store, and no matter of the segment.
                        failed = failed.take().or(self.shipped(segment, sent).err());
                    }
                    Err(error) if error.kind() == ErrorKind::Gone => all_there = false,
                    Err(error) if ends_the_round(&error) => failed = failed.take().or(Some(error)),
                    Err(error) => self.leave_alone(segment, error),
                }
            }
        });
        failed.map_or(Ok(all_there), Err)
    }

    fn shipped(&mut self, segment: &ArchivedSegment, sent: Sent) -> Result<(), Error> {
        let Sent { file, was_there } = sent;
        let id = id_of(segment);
        self.left_alone.remove(&id);
        if self.way.read_back {
            self.verified.insert(id.clone());
        }
        // Without a journal, what is there may be in a manifest.
        if was_there && self.listed()?.contains_key(&id) {
            let (log, segment) = id.clone();
            let over = vec![(segment, segment)];
            self.journal.add(Line::Log { log, over, lost: Vec::new() })?;
        } else {
            self.journal.add(Line::Shipped { file: file.clone() })?;
        }
        fault::point("after-journal");
        match was_there {
            true => self.summary.were_there += 1,
            false => {
                self.summary.shipped += 1;
                self.summary.bytes += file.bytes;
            }
        }
        let FileEntry { key, bytes, records, .. } = file;
        let path = segment.path().to_path_buf();
        self.outlook.tell(&Event::Shipped { path, key, bytes, records, was_there });
        Ok(())
    }

    fn listed(&mut self) -> Result<&BTreeMap<Id, FileEntry>, Error> {
        let listed = match self.listed.take() {
            Some(listed) => listed,
            None => manifest::listed(&self.way.store, &self.way.host, &self.way.control)?,
        };
        Ok(self.listed.insert(listed))
    }

    /// Writes what is in no manifest yet.
    fn write_manifest(&mut self) -> Result<(), Error> {
        let state = self.journal.state();
        let (files, gaps) = (&state.files, &state.gaps);
        if state.batch.is_none() {
            if files.is_empty() && gaps.is_empty() {
                return Ok(());
            }
            let bytes = manifest::render(files, gaps)?;
            let key = manifest::name(&self.way.host, files, gaps, &bytes);
            let (files, gaps) = (files.len(), gaps.len());
            fault::point("before-batch");
            self.journal.add(Line::Batch { key, files, gaps })?;
        }
        fault::point("before-manifest");
        self.write_open_manifest()
    }

    /// Writes the manifest that was begun, in this life or an earlier one. Its bytes and its name follow from the journal, so
    /// that to write it again changes nothing.
    fn write_open_manifest(&mut self) -> Result<(), Error> {
        let state = self.journal.state();
        let Some(batch) = state.batch.clone() else { return Ok(()) };
        let files = state.files.get(..batch.files).unwrap_or_default();
        let gaps = state.gaps.get(..batch.gaps).unwrap_or_default();
        let bytes = manifest::render(files, gaps)?;
        let put = self.way.store.put_small(&batch.key, bytes, Default::default(), true);
        match put {
            Ok(_) => {}
            Err(error) if error.kind() == asynclogger_store::ErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
        fault::point("after-manifest");
        if let Some(listed) = &mut self.listed {
            listed
                .extend(files.iter().map(|file| ((file.log.clone(), file.segment), file.clone())));
        }
        let (key, files, gaps) = (batch.key, batch.files as u64, batch.gaps as u64);
        self.journal.add(Line::Done { key: key.clone() })?;
        fault::point("after-done");
        self.summary.manifests += 1;
        self.outlook.tell(&Event::Manifest { key, files, gaps });
        Ok(())
    }

    /// Deletes the files of segments that are in the store and in a manifest; whether all that could be deleted are.
    fn delete(&mut self, segments: &[ArchivedSegment]) -> Result<bool, Error> {
        let mut is_done = true;
        for segment in segments {
            let id = id_of(segment);
            if !self.journal.state().is_shipped(&id.0, id.1) || self.is_left_alone(&id) {
                continue;
            }
            match self.delete_one(segment, &id) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Gone => is_done = false,
                Err(error) if ends_the_round(&error) => return Err(error),
                Err(error) => self.leave_alone(segment, error),
            }
        }
        Ok(is_done)
    }

    fn delete_one(&mut self, segment: &ArchivedSegment, id: &Id) -> Result<(), Error> {
        if !self.verified.contains(id) {
            let way = self.way.clone();
            way.verify(segment, |_| {
                let file = self.listed()?.get(id);
                Ok(file.and_then(|file| u32::from_str_radix(&file.crc32c, 16).ok()))
            })?;
            self.verified.insert(id.clone());
        }
        fault::point("before-delete");
        let deleted = segment.delete().map_err(|error| Error::of_log(&error))?;
        fault::point("after-delete");
        if !deleted {
            let text = format!("{}: the file is gone", segment.path().display());
            return Err(Error::new(ErrorKind::Gone, text));
        }
        self.verified.remove(id);
        self.left_alone.remove(id);
        self.summary.deleted += 1;
        self.outlook.tell(&Event::Deleted { path: segment.path().to_path_buf() });
        Ok(())
    }

    /// Declares the segments that went before they were shipped. A file that gets another name while the directory is
    /// read can be missed, so that what is missing is looked for once more.
    fn declare_missing(&mut self, segments: &[ArchivedSegment]) -> Result<(), Error> {
        if self.missing(segments).is_empty() {
            return Ok(());
        }
        let again = self.segments()?;
        for gap in self.missing(&again) {
            self.declare(gap)?;
        }
        Ok(())
    }

    fn missing(&self, segments: &[ArchivedSegment]) -> Vec<GapEntry> {
        let mut logs: BTreeMap<String, (Vec<u64>, &[u8])> = BTreeMap::new();
        for segment in segments {
            let (log, number) = id_of(segment);
            logs.entry(log).or_insert((Vec::new(), segment.name())).0.push(number);
        }
        let gaps = logs.into_iter().flat_map(|(log, (here, name))| {
            let missing = self.journal.state().missing(&log, &here);
            missing.into_iter().map(move |(from_segment, to_segment)| GapEntry {
                log: log.clone(),
                event: encode(name),
                from_segment,
                to_segment,
                reason: "deleted before it was shipped".to_owned(),
            })
        });
        gaps.collect()
    }

    fn declare(&mut self, gap: GapEntry) -> Result<(), Error> {
        self.journal.add(Line::Gap { gap: gap.clone() })?;
        fault::point("after-gap");
        let GapEntry { log, from_segment, to_segment, reason, .. } = gap;
        self.summary.lost += (to_segment - from_segment).saturating_add(1);
        self.outlook.tell(&Event::Gap { log, from_segment, to_segment, reason });
        Ok(())
    }

    /// Keeps the segments that wait within the limit, if the settings say how. Only while the store takes none: else they
    /// are about to be shipped.
    fn make_room(&mut self) -> Result<(), Error> {
        let Some((limit, over_limit)) = self.settings.keep_local else { return Ok(()) };
        let mut waiting = self.segments()?;
        waiting.retain(|one| {
            let (log, segment) = id_of(one);
            !self.journal.state().is_shipped(&log, segment)
        });
        let mut bytes: u64 = waiting.iter().map(ArchivedSegment::stored_bytes).sum();
        if over_limit == OverLimit::Wait {
            self.outlook.room(bytes, limit);
            return Ok(());
        }
        waiting.sort_by_key(modified);
        for segment in waiting {
            if bytes <= limit {
                break;
            }
            bytes = bytes.saturating_sub(segment.stored_bytes());
            if !segment.delete().map_err(|error| Error::of_log(&error))? {
                continue;
            }
            let (log, number) = id_of(&segment);
            self.declare(GapEntry {
                log,
                event: encode(segment.name()),
                from_segment: number,
                to_segment: number,
                reason: format!("deleted unshipped: more than {limit} bytes waited"),
            })?;
        }
        Ok(())
    }

    fn is_left_alone(&self, id: &Id) -> bool {
        self.left_alone.get(id).is_some_and(|since| since.elapsed() < LEFT_ALONE)
    }

    fn leave_alone(&mut self, segment: &ArchivedSegment, error: Error) {
        self.left_alone.insert(id_of(segment), Instant::now());
        self.summary.left_alone = self.left_alone.len() as u64;
        self.outlook.left_alone(&error);
        self.outlook.tell(&Event::LeftAlone { path: segment.path().to_path_buf(), error });
    }
}

/// Waits until the journal knows that the upload begins.
fn begin<'a>(segment: &'a ArchivedSegment, tell: &mpsc::Sender<Told<'a>>) -> Result<(), Error> {
    let (go, may_go) = mpsc::channel();
    let asked = tell.send(Told::Begins(segment, go)).is_ok();
    match asked && may_go.recv().is_ok() {
        true => Ok(()),
        false => Err(Error::stopped()),
    }
}

fn id_of(segment: &ArchivedSegment) -> Id {
    (segment.log_id().to_string(), segment.segment())
}

/// When the file got its last byte; a file that cannot be asked is the last one to be deleted.
fn modified(segment: &ArchivedSegment) -> Option<std::time::SystemTime> {
    let found = std::fs::metadata(segment.path()).and_then(|metadata| metadata.modified());
    found.ok().or(Some(std::time::SystemTime::now()))
}

/// Whether the other segments would meet the same error.
fn ends_the_round(error: &Error) -> bool {
    error.is_of_the_store() || matches!(error.kind(), ErrorKind::Stopped | ErrorKind::Settings)
}
