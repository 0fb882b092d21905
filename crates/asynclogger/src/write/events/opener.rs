//! Opens the logs of events.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    callers::Callers,
    event::Event,
    file_names::{Chosen, FileNames},
    name::EventName,
    shared::Shared,
};
use crate::{
    Config, DirectIo, Error, ErrorKind, Opened,
    io::{Directory, Driver, EventsLock, alignment_in},
    sync::{Arc, Ordering},
    write::{
        archive::{Archivist, WholeDirectory},
        crash::{Identity, NUMBER_STEP},
        flush::{Archiving, Counts, Intake, LogWriter, Session},
        segments::{EventOpening, LogFiles, Past, Zone, new_session},
    },
};

/// How long an event that could not be opened is not tried again: otherwise each of its records would cost its caller
/// an attempt.
const HOLD: Duration = Duration::from_secs(1);
/// The most names of such events that are remembered.
const HELD: usize = 1024;

/// Opens events, and has all that this needs.
pub(crate) struct Opener {
    directory: Arc<Directory>,
    lock: EventsLock,
    driver: Driver,
    zone: Zone,
    file_names: FileNames,
    archivist: Arc<Archivist>,
    whole: Option<Arc<WholeDirectory>>,
    held: HashMap<Box<str>, (Instant, Error)>,
    numbers: Numbers,
    max_open: usize,
    /// The longest record that the shared buffers take.
    max_record: usize,
}

/// The numbers of the events. No number is given twice, so a call that still has the number of a closed event does no
/// harm to another event.
#[derive(Default)]
struct Numbers {
    next: u32,
}

impl Numbers {
    /// # Errors
    /// All numbers have been given.
    fn take(&mut self) -> Result<u32, Error> {
        let number = self.next;
        let none = || {
            let times = number / NUMBER_STEP;
            let what = format!("a manager opens events {times} times at most, all together");
            Error::new(ErrorKind::InvalidConfig, what)
        };
        self.next = number.checked_add(NUMBER_STEP).ok_or_else(none)?;
        Ok(number)
    }
}

/// Whether the file of an event with this full name can have the name `base`.
fn is_name_of(base: &OsStr, full_name: &[u8]) -> bool {
    let name = std::str::from_utf8(full_name).ok().and_then(|name| EventName::of(name).ok());
    name.is_some_and(|name| {
        [name.plain(), Some(name.hashed())].into_iter().flatten().any(|may_be| base == may_be)
    })
}

/// Why an event is not open.
pub(crate) struct NotOpened {
    pub(crate) error: Error,
    /// Whether this call made an attempt.
    pub(crate) is_new: bool,
}

/// An event that was opened, and the flusher's side of it.
pub(crate) struct NewEvent {
    event: Arc<Event>,
    writer: LogWriter,
}

impl Opener {
    /// Locks the directory that the config's path is in, making it if it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another manager has it; those of the system.
    pub(crate) fn new(
        config: &Config,
        driver: Driver,
        archivist: Arc<Archivist>,
        max_open: usize,
    ) -> Result<Opener, Error> {
        let parent = config.path().parent().unwrap_or(Path::new(""));
        let directory = Arc::new(Directory::open_or_create(parent)?);
        let lock = EventsLock::take(&directory, directory.path())?;
        let whole = WholeDirectory::of(config, &directory, is_name_of)?;
        if let Some(whole) = &whole {
            archivist.retain_whole(whole.clone());
        }
        Ok(Opener {
            zone: Zone::of(&config.rotation)?,
            file_names: FileNames::read(directory.clone())?,
            directory,
            lock,
            driver,
            archivist,
            whole,
            held: HashMap::new(),
            numbers: Numbers::default(),
            max_open,
            max_record: usize::MAX,
        })
    }

    /// Limits the records of all events.
    pub(super) fn limit_records(&mut self, max: usize) {
        self.max_record = max;
    }

    /// The directory, and the right to write its events.
    pub(super) fn directory(&self) -> (&Arc<Directory>, &EventsLock) {
        (&self.directory, &self.lock)
    }

    /// The alignment that the events' files will have.
    pub(crate) fn alignment(&self, direct: DirectIo) -> usize {
        alignment_in(&self.directory, direct)
    }

    /// Opens an event and makes it known.
    ///
    /// # Errors
    /// Those of opening a logger. For [`HOLD`] after a failed attempt the same error, without another attempt.
    pub(crate) fn open(
        &mut self,
        shared: &Shared,
        callers: &Callers,
        name: &str,
    ) -> Result<Arc<Event>, NotOpened> {
        let now = Instant::now();
        if let Some((until, error)) = self.held.get(name) {
            if now < *until {
                return Err(NotOpened { error: error.clone(), is_new: false });
            }
            self.held.remove(name);
        }
        let opened = EventName::of(name).and_then(|name| {
            let number = self.numbers.take()?;
            self.open_now(shared, callers, &name, number)
        });
        match opened {
            Ok(NewEvent { event, writer }) => {
                let is_made = *event.opened() != Opened::Continued;
                shared.publish(&event, writer, is_made.then(|| self.directory.clone()));
                Ok(event)
            }
            Err(error) => {
                if self.held.len() >= HELD {
                    self.held.retain(|_, (until, _)| now < *until);
                }
                // A name that is not remembered is tried again by the next call.
                if self.held.len() < HELD && name.len() <= super::name::MAX_EVENT_NAME {
                    self.held.insert(name.into(), (now + HOLD, error.clone()));
                }
                Err(NotOpened { error, is_new: true })
            }
        }
    }

    fn open_now(
        &mut self,
        shared: &Shared,
        callers: &Callers,
        name: &EventName,
        number: u32,
    ) -> Result<NewEvent, Error> {
        self.directory.find_again()?;
        let Chosen { base, has_past, has_few } = self.file_names.choose(name)?;
        let mut config = shared.config.clone();
        config.path = self.directory.path().join(format!("{base}.log"));
        let id = new_session()?;
        let opening = EventOpening {
            directory: self.directory.clone(),
            lock: &self.lock,
            full_name: name.full(),
            past: match has_past {
                true if has_few => Past::Looked,
                true => Past::Possible,
                false => Past::None,
            },
            whole: self.whole.clone(),
        };
        let (files, mut segment, opened) =
            LogFiles::open_event(opening, &config, self.driver.clone(), id)?;
        let identity =
            |log_id| Identity { number, session: id, log_id, name: name.full().to_owned(), base };
        let taken =
            shared.places.as_ref().map(|places| places.take(&identity(segment.lineage().log_id)));
        let (place, account) = match taken.transpose() {
            Ok(taken) => taken.unzip(),
            Err(error) => {
                let _ = segment.end_unused();
                return Err(error.at_path(&config.path));
            }
        };
        let counts = Arc::new(Counts::new(account));
        let session = Session::new(id, Intake::Gathered(counts.clone()), shared.bell.clone());
        let session = Arc::new(session);
        let max_record = config.max_record().min(self.max_record);
        let entry = callers.names().entry(name.full());
        let shards = shared.shards.len();
        let event = Event::new(entry, number, max_record, opened, session.clone(), counts, shards)
            .at(place);
        let settings = files.archive_settings();
        self.archivist.opened(&settings, segment.lineage());
        if has_past || *event.opened() != Opened::Created {
            self.archivist.sweep(settings.clone(), segment.lineage());
        }
        if shared.open_files.load(Ordering::Relaxed) >= self.max_open {
            segment.suspend();
        } else {
            shared.open_files.fetch_add(1, Ordering::Relaxed);
        }
        let archiving = Some(Archiving { archivist: self.archivist.clone(), settings });
        let files = Box::new(files);
        let zone = self.zone.clone();
        let writer = LogWriter::new(session, segment, files, &config, zone, archiving);
        Ok(NewEvent { event: Arc::new(event), writer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice() {
        // It is a multiple of the step.
        let (last, step) = (u32::MAX, NUMBER_STEP);
        let mut numbers = Numbers { next: last - 2 * step };
        let mut take = || numbers.take().expect("one is left");
        assert_eq!((take(), take()), (last - 2 * step, last - step));
        for _ in 0..2 {
            let error = numbers.take().expect_err("all are given");
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains("1431655765 times"), "{error}");
        }
    }
}
