//! The active segment, the one that is prepared to follow it, and how one takes the place of the other.

use std::{
    ffi::OsString,
    time::{Duration, Instant},
};

use super::{files::NextSegment, segment::Segment};
use crate::{
    Error,
    sync::Arc,
    write::{
        archive::{ArchiveSettings, Lineage},
        flush::backoff,
    },
};

/// The first wait before a change that failed is tried again.
const BACKOFF_TURN: Duration = Duration::from_millis(50);

/// A segment that is over: complete, durable, and under its archived name.
pub(crate) struct Over {
    pub(crate) settings: Arc<ArchiveSettings>,
    /// Its name in the directory of the settings.
    pub(crate) file: OsString,
    pub(crate) lineage: Lineage,
}

/// What has become of the active file, as its directory sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is where it was.
    Here,
    /// Its path names something else, or nothing: it has another name.
    Renamed,
    /// It has no name any more.
    Deleted,
    /// It is shorter than what was written.
    Truncated,
}

/// Where a log goes on after a segment's end.
enum Next {
    /// In the file that is prepared, or in a new one.
    Here,
    /// In the log's own directory again.
    Home(Box<Segment>),
}

/// A change of segments that waits for the end of the old one to be durable.
struct Turn {
    next: Next,
    /// After a failure, when it is tried again.
    at: Option<Instant>,
    failures: u32,
}

pub(in crate::write) struct Active {
    segment: Segment,
    files: Box<dyn NextSegment>,
    prepared: Option<Segment>,
    turn: Option<Turn>,
}

impl Active {
    pub(in crate::write) fn new(segment: Segment, files: Box<dyn NextSegment>) -> Active {
        Active { segment, files, prepared: None, turn: None }
    }

    pub(in crate::write) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(in crate::write) fn segment_mut(&mut self) -> &mut Segment {
        &mut self.segment
    }

    pub(in crate::write) fn has_elsewhere(&self) -> bool {
        self.files.has_elsewhere()
    }

    /// Whether the next file is ready, with its space if it will need any.
    pub(in crate::write) fn is_prepared(&self) -> bool {
        self.prepared.as_ref().is_some_and(|next| !next.lacks_space_after(&self.segment))
    }

    /// Makes the next file ready, under a hidden name.
    ///
    /// # Errors
    /// Those of the system.
    pub(in crate::write) fn prepare(&mut self) -> Result<(), Error> {
        if self.prepared.is_none() {
            self.prepared = Some(self.files.prepare(&self.segment)?);
        }
        if let Some(next) = &mut self.prepared
            && next.lacks_space_after(&self.segment)
        {
            next.reserve_now();
        }
        Ok(())
    }

    /// Whether a change waits for the end of this segment.
    pub(in crate::write) fn is_turning(&self) -> bool {
        self.turn.is_some()
    }

    /// When the change, which failed, is to be tried again.
    pub(in crate::write) fn turn_at(&self) -> Option<Instant> {
        self.turn.as_ref().and_then(|turn| turn.at)
    }

    /// Tries it again at once.
    pub(in crate::write) fn hurry(&mut self) {
        if let Some(turn) = &mut self.turn {
            turn.at = None;
        }
    }

    /// The end of this segment was put in: once it is durable, the log goes on in the next one.
    pub(in crate::write) fn begin_turn(&mut self) {
        self.turn = Some(Turn { next: Next::Here, at: None, failures: 0 });
    }

    /// The same, in the log's own directory again.
    ///
    /// # Errors
    /// Those of the system; then nothing has changed.
    pub(in crate::write) fn begin_turn_home(&mut self, first_sequence: u64) -> Result<(), Error> {
        // What is prepared is in the directory that is left, and has the number of the segment to come.
        self.discard_prepared();
        let next = Next::Home(Box::new(self.files.home(&self.segment, first_sequence)?));
        self.turn = Some(Turn { next, at: None, failures: 0 });
        Ok(())
    }

    /// Makes the change, if it is time: nothing is in flight, and all is durable.
    ///
    /// # Errors
    /// Those of the system; it is tried again after a while.
    pub(in crate::write) fn take_turn(
        &mut self,
        first_sequence: u64,
        now: Instant,
    ) -> Result<Option<Changed>, Error> {
        let Some(Turn { next, at, failures }) = self.turn.take() else {
            return Ok(None);
        };
        if at.is_some_and(|at| now < at) {
            self.turn = Some(Turn { next, at, failures });
            return Ok(None);
        }
        if let Next::Home(next) = next {
            let old = std::mem::replace(&mut self.segment, *next);
            return Ok(Some(Changed { old, over: None, home: true }));
        }
        match self.replace(first_sequence, false) {
            Ok(changed) => Ok(Some(changed)),
            Err(error) => {
                let failures = failures + 1;
                let at = now.checked_add(backoff(BACKOFF_TURN, failures));
                self.turn = Some(Turn { next: Next::Here, at, failures });
                Err(error)
            }
        }
    }

    /// Leaves this segment at once, whatever its state.
    ///
    /// # Errors
    /// Those of the system; then the old file may have its archived name already, and this can be tried
    /// again.
    pub(in crate::write) fn leave(
        &mut self,
        first_sequence: u64,
        elsewhere: bool,
    ) -> Result<Changed, Error> {
        match self.turn.take() {
            Some(Turn { next: Next::Home(next), .. }) => {
                let old = std::mem::replace(&mut self.segment, *next);
                Ok(Changed { old, over: None, home: true })
            }
            _ => self.replace(first_sequence, elsewhere),
        }
    }

    fn replace(&mut self, first_sequence: u64, elsewhere: bool) -> Result<Changed, Error> {
        if elsewhere {
            // What is prepared is here, where nothing works. The next start removes it.
            let next = self.files.elsewhere(&self.segment, first_sequence)?;
            self.prepared = None;
            let old = std::mem::replace(&mut self.segment, next);
            return Ok(Changed { old, over: None, home: false });
        }
        let mut next = match self.prepared.take() {
            Some(next) => next,
            None => self.files.prepare(&self.segment)?,
        };
        let over = match self.files.promote(&self.segment, &mut next, first_sequence) {
            Ok(over) => over,
            Err(error) => {
                self.prepared = Some(next);
                return Err(error);
            }
        };
        let old = std::mem::replace(&mut self.segment, next);
        Ok(Changed { old, over, home: false })
    }

    /// The next file is not needed any more.
    pub(in crate::write) fn discard_prepared(&mut self) {
        if self.prepared.take().is_some() {
            self.files.discard();
        }
    }

    /// Closes the active file, to save its descriptor; nothing may be in flight.
    pub(in crate::write) fn suspend(&mut self) {
        self.discard_prepared();
        self.segment.suspend();
    }

    /// Opens it again; whether it is still the same file.
    ///
    /// # Errors
    /// Those of the system.
    pub(in crate::write) fn resume(&mut self) -> Result<bool, Error> {
        let reopened = self.files.reopen(&self.segment)?;
        let is_same = reopened.is_some();
        if let Some(file) = reopened {
            self.segment.resume(file);
        }
        Ok(is_same)
    }

    /// Looks for the active file where it should be.
    pub(in crate::write) fn standing(&self, written: u64) -> Standing {
        self.files.standing(&self.segment, written)
    }
}

/// The log goes on in another segment.
pub(in crate::write) struct Changed {
    /// The one that it left.
    pub(in crate::write) old: Segment,
    /// That one, if it is known under which name.
    pub(in crate::write) over: Option<Over>,
    /// Back in the log's own directory.
    pub(in crate::write) home: bool,
}
