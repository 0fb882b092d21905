//! The active segment, the one that is prepared to follow it, and how one takes the place of the other.

use std::time::{Duration, Instant};

use super::{files::NextSegment, segment::Segment, standing::Standing};
use crate::{
    Error,
    write::{archive::ArchivedSegment, common::backoff},
};

/// The first wait before a change that failed is tried again.
const BACKOFF_TURN: Duration = Duration::from_millis(50);

/// How often the way back from the other directory is tried.
const HOME_EVERY: Duration = Duration::from_secs(5);

/// Between flushes, how often the active file is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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

/// The log goes on in another segment.
pub(in crate::write) struct Changed {
    /// The one that it left.
    pub(in crate::write) old: Segment,
    /// That one, if it is known under which name.
    pub(in crate::write) over: Option<ArchivedSegment>,
    /// Back in the log's own directory.
    pub(in crate::write) home: bool,
}

/// The segment that is written, and its successor.
///
/// A log must be able to go on at once when its segment is over, so the next file is made before it is needed, and
/// the change from one to the other is a step that can fail and be tried again: it is made here and nowhere else.
/// Whoever has parts on their way tells this object when they are durable; it knows nothing of them.
pub(in crate::write) struct Active {
    segment: Segment,
    files: Box<dyn NextSegment>,
    prepared: Option<Segment>,
    turn: Option<Turn>,
    /// When the way back to the log's own directory is tried, if the log is in the other one.
    home_at: Option<Instant>,
    /// When the active file was looked for last.
    looked: Instant,
}

impl Active {
    pub(in crate::write) fn new(segment: Segment, files: Box<dyn NextSegment>) -> Active {
        let (prepared, turn, home_at, looked) = (None, None, None, Instant::now());
        Active { segment, files, prepared, turn, home_at, looked }
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

    /// Whether the way back to the log's own directory is to be tried now.
    pub(in crate::write) fn may_go_home(&self, now: Instant) -> bool {
        self.home_at.is_some_and(|at| now >= at) && !self.is_turning()
    }

    /// Opens a segment in the log's own directory again; whether that worked. Then put this one's end in: the log
    /// goes on there once the end is durable.
    pub(in crate::write) fn begin_turn_home(&mut self, first_sequence: u64, now: Instant) -> bool {
        // What is prepared is in the directory that is left, and has the number of the segment to come.
        self.discard_prepared();
        let Ok(next) = self.files.home(&self.segment, first_sequence) else {
            self.home_at = now.checked_add(HOME_EVERY);
            return false;
        };
        self.home_at = None;
        self.turn = Some(Turn { next: Next::Home(Box::new(next)), at: None, failures: 0 });
        true
    }

    /// When something is to be done though nothing completes.
    pub(in crate::write) fn wake_at(&self) -> Option<Instant> {
        self.turn_at().into_iter().chain(self.home_at).min()
    }

    /// Whether nothing is to come.
    pub(in crate::write) fn is_at_rest(&self) -> bool {
        !self.is_turning() && self.home_at.is_none()
    }

    /// Gives back what was taken ahead, space and the next file: nothing more comes.
    pub(in crate::write) fn tidy_up(&mut self) {
        self.discard_prepared();
        self.segment.trim();
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
        now: Instant,
    ) -> Result<Changed, Error> {
        let changed = self.leave_for(first_sequence, elsewhere)?;
        if elsewhere {
            self.home_at = now.checked_add(HOME_EVERY);
        }
        Ok(changed)
    }

    fn leave_for(&mut self, first_sequence: u64, elsewhere: bool) -> Result<Changed, Error> {
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

    /// Whether the active file was not looked for since a while.
    pub(in crate::write) fn is_look_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked) >= LOOK_EVERY
    }

    /// Looks for the active file, of which so many bytes are written, where it should be.
    pub(in crate::write) fn look(&mut self, written: u64, now: Instant) -> Standing {
        self.looked = now;
        self.files.standing(&self.segment, written)
    }
}
