//! The work on the archivist's thread.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    catalog::{self, Candidate},
    deleting,
    queue::{ArchivedSegment, Queue, Work},
    settings::ArchiveSettings,
};
use crate::{
    Archived, Compression, Error,
    format::{Lineage, time::from_nanoseconds},
    io::{Cause, FileState},
    probe::{Packing, Tally},
    sync::lock,
    write::{
        archive::{names::compressed_name, past::open_proved},
        common::{fault, panicked},
    },
};

pub(super) struct Archiver<'a> {
    queue: &'a Queue,
}

/// How long a segment's compression waits for the segment's writer.
#[cfg(feature = "zstd")]
const WRITTEN_FOR: std::time::Duration = std::time::Duration::from_secs(1);

/// An open segment, proved to be the one that the work names.
struct OpenSegment {
    name: OsString,
    #[cfg(feature = "zstd")]
    file: std::fs::File,
    state: FileState,
    lineage: Lineage,
    /// The segment's records and times, if a callback wants them.
    tally: Tally,
}

/// The result for a segment.
enum Final {
    /// The segment has its final form.
    Done { name: OsString, bytes: u64, compressed: bool },
    /// The segment is left as it is, for the next sweep, or does not exist any more.
    Left,
}

impl<'a> Archiver<'a> {
    pub(super) fn new(queue: &'a Queue) -> Archiver<'a> {
        Archiver { queue }
    }

    pub(super) fn work(&self) {
        while let Some(work) = self.queue.next() {
            self.perform(work);
        }
    }

    /// Performs one piece of work, and reports its errors. Undone work is left to the next sweep.
    pub(super) fn perform(&self, work: Work) {
        let shelf = work.shelf().clone();
        // A panic is a bug of the library: this piece of work is given up, and the next one is done.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.perform_now(work))) {
            let error = panicked("the archivist", &*panic);
            shelf.tell(&error.at_path(shelf.directory.path()));
        }
    }

    fn perform_now(&self, work: Work) {
        fault::step("archivist");
        match work {
            Work::Archived(segment) => self.archived(&segment),
            Work::Sweep { settings, active } => self.sweep(&settings, active),
            Work::MakeRoom { settings, active, made } => {
                let deleted = tell_or(&settings, deleting::make_room(&settings, active), false);
                made(deleted);
            }
            Work::Whole(whole) => {
                whole.retain().inspect_err(|error| whole.shelf.tell(error)).ok();
            }
        }
    }

    fn archived(&self, segment: &ArchivedSegment) {
        let ArchivedSegment { settings, file, lineage, active } = segment;
        match open(settings, file, *lineage) {
            // The file was moved away by somebody, or deleted to make room.
            Ok(None) => {}
            Ok(Some(open)) => {
                if self.finish(settings, &open).is_err() {
                    lock(&settings.shelf.catalog).is_behind = true;
                } else if lock(&settings.shelf.catalog).is_behind && !self.queue.is_stopping() {
                    lock(&settings.shelf.catalog).is_behind = false;
                    let files = tell_or(
                        settings,
                        catalog::list(&settings.shelf.directory, &settings.name),
                        Vec::new(),
                    );
                    self.compress_rest(settings, &files, *active);
                }
            }
            Err(error) => settings.tell(&error),
        }
        tell_or(settings, deleting::retain(settings, *active), ());
        settings.done_below.raise(active.segment);
    }

    fn sweep(&self, settings: &ArchiveSettings, active: Lineage) {
        tell_or(settings, deleting::remove_parts(settings, active), ());
        let files =
            tell_or(settings, catalog::list(&settings.shelf.directory, &settings.name), Vec::new());
        let left = self.settle_pairs(settings, files, active);
        self.compress_rest(settings, &left, active);
        tell_or(settings, deleting::retain(settings, active), ());
    }

    /// For each segment in both forms, deletes the plain file. Returns the files of segments in one form.
    fn settle_pairs(
        &self,
        settings: &ArchiveSettings,
        files: Vec<Candidate>,
        active: Lineage,
    ) -> Vec<Candidate> {
        let compressed: HashSet<OsString> = names_of(&files, Packing::Compressed);
        let (pairs, rest): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| {
            file.packing == Packing::Plain && compressed.contains(&compressed_name(&file.name))
        });
        for (name, lineage) in self.of_log(settings, &pairs, active) {
            if self.queue.is_stopping() {
                break;
            }
            let Some(open) = tell_or(settings, open(settings, &name, lineage), None) else {
                continue;
            };
            match self.give_way(settings, &open) {
                Ok(Final::Done { name, bytes, compressed }) => {
                    tell_archived(settings, &open, (&name, bytes, compressed));
                }
                Ok(Final::Left) => {}
                Err(error) => settings.tell(&error),
            }
        }
        rest
    }

    /// Compresses all plain segments, the oldest first, if the settings demand compression.
    fn compress_rest(&self, settings: &ArchiveSettings, files: &[Candidate], active: Lineage) {
        if settings.compression == Compression::Off {
            return;
        }
        let compressed = names_of(files, Packing::Compressed);
        let plain: Vec<Candidate> = files
            .iter()
            .filter(|file| file.packing == Packing::Plain)
            .filter(|file| !compressed.contains(&compressed_name(&file.name)))
            .cloned()
            .collect();
        for (index, (name, lineage)) in
            self.of_log(settings, &plain, active).into_iter().enumerate()
        {
            // The next opening does the rest. One segment is compressed even in a process that ends at once: a log
            // written only by such processes would never be compressed otherwise.
            if index > 0 && self.queue.is_stopping() {
                return;
            }
            let Some(open) = tell_or(settings, open(settings, &name, lineage), None) else {
                continue;
            };
            if let Err(cause) = self.finish(settings, &open) {
                lock(&settings.shelf.catalog).is_behind = true;
                if matches!(cause, Cause::Space | Cause::Gone) {
                    return;
                }
            }
        }
    }

    /// The archived segments of the log among the files, the oldest first.
    fn of_log(
        &self,
        settings: &ArchiveSettings,
        files: &[Candidate],
        active: Lineage,
    ) -> Vec<(OsString, Lineage)> {
        let mut catalog = lock(&settings.shelf.catalog);
        let mut found: Vec<(OsString, Lineage)> = files
            .iter()
            .filter_map(|file| {
                let lineage =
                    catalog.lineage(&settings.shelf.directory, file, &settings.full_name)?;
                let is_ours = lineage.log_id == active.log_id && lineage.segment < active.segment;
                is_ours.then(|| (file.name.clone(), lineage))
            })
            .collect();
        found.sort_by_key(|(_, lineage)| lineage.segment);
        found
    }

    /// Gives a segment its final form, and reports the segment to the user.
    fn finish(&self, settings: &ArchiveSettings, open: &OpenSegment) -> Result<(), Cause> {
        match self.compress(settings, open) {
            Ok(Final::Done { name, bytes, compressed }) => {
                tell_archived(settings, open, (&name, bytes, compressed));
                Ok(())
            }
            Ok(Final::Left) => Ok(()),
            Err(error) => {
                settings.tell(&error);
                // Retention may delete the segment before a later attempt succeeds.
                if lock(&settings.shelf.catalog).told_plain.insert(open.name.clone()) {
                    tell_archived(settings, open, (&open.name, open.state.len, false));
                }
                Err(error.io_error().map_or(Cause::Other, Cause::of))
            }
        }
    }

    #[cfg(not(feature = "zstd"))]
    fn compress(&self, _: &ArchiveSettings, open: &OpenSegment) -> Result<Final, Error> {
        Ok(Final::of_plain(open))
    }

    #[cfg(feature = "zstd")]
    fn compress(&self, settings: &ArchiveSettings, open: &OpenSegment) -> Result<Final, Error> {
        let Compression::Zstd { level } = settings.compression else {
            return Ok(Final::of_plain(open));
        };
        if settings.shelf.directory.identity_of(&compressed_name(&open.name))?.is_some() {
            return self.give_way(settings, open);
        }
        self.wait_for_writer(settings, open)?;
        let pace = super::pace::Pace::new(settings.rate);
        let became = open.segment(settings).compress(level, |done| self.between(pace.due(done)))?;
        Ok(became.into())
    }

    #[cfg(not(feature = "zstd"))]
    fn give_way(&self, _: &ArchiveSettings, _: &OpenSegment) -> Result<Final, Error> {
        Ok(Final::Left)
    }

    #[cfg(feature = "zstd")]
    fn give_way(&self, settings: &ArchiveSettings, open: &OpenSegment) -> Result<Final, Error> {
        self.wait_for_writer(settings, open)?;
        let pace = super::pace::Pace::new(settings.rate);
        Ok(open.segment(settings).give_way(|done| self.between(pace.due(done)))?.into())
    }

    /// Waits until nothing writes a segment: a process that was just killed can have writes in flight.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if the segment is written for long: its writer has lost its lock to
    /// this one.
    #[cfg(feature = "zstd")]
    fn wait_for_writer(&self, settings: &ArchiveSettings, open: &OpenSegment) -> Result<(), Error> {
        use std::time::Instant;

        use crate::write::archive::over::MARKED;
        let until = Instant::now() + WRITTEN_FOR;
        while crate::io::is_marked(&open.file) {
            let now = Instant::now();
            if now >= until
                || self.queue.is_stopping()
                || self.between(now + WRITTEN_FOR / 20).is_break()
            {
                let path = settings.shelf.directory.path().join(&open.name);
                return Err(Error::new(crate::ErrorKind::InUse, MARKED).at_path(&path));
            }
        }
        Ok(())
    }

    /// Waits within a long piece of work, and does urgent work meanwhile.
    #[cfg(feature = "zstd")]
    fn between(&self, due: std::time::Instant) -> std::ops::ControlFlow<()> {
        use super::queue::Pause;
        loop {
            match self.queue.pause(due) {
                Pause::Over => return std::ops::ControlFlow::Break(()),
                Pause::Go => return std::ops::ControlFlow::Continue(()),
                Pause::Urgent(work) => self.perform(work),
            }
        }
    }
}

impl Final {
    fn of_plain(open: &OpenSegment) -> Final {
        Final::Done { name: open.name.clone(), bytes: open.state.len, compressed: false }
    }
}

#[cfg(feature = "zstd")]
impl From<super::compressing::Became> for Final {
    fn from(became: super::compressing::Became) -> Final {
        use super::compressing::Became;
        match became {
            Became::Compressed { name, bytes } => Final::Done { name, bytes, compressed: true },
            Became::Stopped | Became::Gone => Final::Left,
        }
    }
}

#[cfg(feature = "zstd")]
impl OpenSegment {
    fn segment<'a>(&'a self, settings: &'a ArchiveSettings) -> super::compressing::Segment<'a> {
        let OpenSegment { name, file, state, lineage, .. } = self;
        let (state, lineage) = (*state, *lineage);
        super::compressing::Segment {
            directory: &settings.shelf.directory,
            name,
            file,
            state,
            lineage,
        }
    }
}

/// Opens a plain file, if the file still is this segment. `None`: the file does not exist any more.
fn open(
    settings: &ArchiveSettings,
    name: &OsStr,
    lineage: Lineage,
) -> Result<Option<OpenSegment>, Error> {
    let (directory, segment) = (&settings.shelf.directory, (lineage, &settings.full_name[..]));
    let proved = open_proved(directory, (name, Packing::Plain), segment)?;
    let Some((mut source, state, origin)) = proved else {
        return Ok(None);
    };
    let tally = match settings.has_on_archived() {
        true => tell_or(settings, origin.tally(&mut source), Tally::default()),
        false => Tally::default(),
    };
    let name = name.to_owned();
    #[cfg(not(feature = "zstd"))]
    return Ok(Some(OpenSegment { name, state, lineage, tally }));
    #[cfg(feature = "zstd")]
    Ok(source.into_file().map(|file| OpenSegment { name, file, state, lineage, tally }))
}

fn tell_archived(
    settings: &ArchiveSettings,
    open: &OpenSegment,
    (name, file_bytes, compressed): (&OsStr, u64, bool),
) {
    let Tally { records, payload, times } = open.tally;
    settings.tell_archived(&Archived {
        path: settings.shelf.directory.path().join(name),
        log_id: open.lineage.log_id,
        segment: open.lineage.segment,
        records,
        payload_bytes: payload,
        file_bytes,
        first_time: times.map(|(first, _)| from_nanoseconds(first)),
        last_time: times.map(|(_, last)| from_nanoseconds(last)),
        compressed,
    });
}

fn names_of(files: &[Candidate], packing: Packing) -> HashSet<OsString> {
    files.iter().filter(|file| file.packing == packing).map(|file| file.name.clone()).collect()
}

/// The value; or, after reporting the error, `otherwise`.
fn tell_or<T>(settings: &ArchiveSettings, result: Result<T, Error>, otherwise: T) -> T {
    result.unwrap_or_else(|error| {
        settings.tell(&error);
        otherwise
    })
}
