//! The active segment, the one that is prepared to follow it, and how one takes the place of the other.

use std::time::{Duration, Instant};

use super::{
    next_segment::{NextSegment, Promoted},
    segment::Segment,
    standing::Standing,
};
use crate::{Error, write::archive::ArchivedSegment};

/// How often the way back from the other directory is tried.
const HOME_EVERY: Duration = Duration::from_secs(5);

/// Between flushes, how often the active file is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the lock is looked after, while there is something to write.
const LOCK_EVERY: Duration = Duration::from_secs(1);

/// How far a log is on its way from one segment to the next.
enum Turn {
    /// All of the active segment becomes durable; then the names are changed. If that fails, the log stays.
    Draining,
    /// The next segment has its place. The active one gets its end, and is left once that is durable.
    Ending { next: Box<Segment>, over: Option<ArchivedSegment>, home: bool },
}

/// The log goes on in another segment.
pub(in crate::write) struct Changed {
    /// The one that it left.
    pub(in crate::write) old: Segment,
    /// That one, if it is known under which name.
    pub(in crate::write) over: Option<ArchivedSegment>,
    /// Back in the log's own directory.
    pub(in crate::write) home: bool,
    /// What went wrong with the names, and changes nothing.
    pub(in crate::write) remark: Option<Error>,
}

/// The segment that is written, and its successor.
///
/// A log must be able to go on at once when its segment is over, so the next file is made before it is needed. And a
/// change that cannot be made must not have cost anything: so the active segment gets its end only when the next one
/// has the log's path already, and until then the log can stay where it is. Whoever has parts on their way tells this
/// object when they are durable; it knows nothing of them.
pub(in crate::write) struct Active {
    segment: Segment,
    files: Box<dyn NextSegment>,
    prepared: Option<Segment>,
    turn: Option<Turn>,
    /// When the way back to the log's own directory is tried, if the log is in the other one.
    home_at: Option<Instant>,
    /// When the active file was looked for last.
    looked: Instant,
    /// When the lock was looked after last.
    locked: Instant,
}

impl Active {
    pub(in crate::write) fn new(segment: Segment, files: Box<dyn NextSegment>) -> Active {
        let (prepared, turn, home_at, now) = (None, None, None, Instant::now());
        Active { segment, files, prepared, turn, home_at, looked: now, locked: now }
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
    /// The system's errors.
    pub(in crate::write) fn prepare(&mut self) -> Result<(), Error> {
        self.prepared = match self.take_prepared() {
            None => Some(self.files.prepare(&self.segment)?),
            prepared => prepared,
        };
        if let Some(next) = &mut self.prepared
            && next.lacks_space_after(&self.segment)
        {
            next.reserve_now();
        }
        Ok(())
    }

    /// Whether the log is on its way to the next segment: nothing more is put into this one.
    pub(in crate::write) fn is_turning(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether the names are to be changed as soon as all of this segment is durable.
    pub(in crate::write) fn is_draining(&self) -> bool {
        matches!(self.turn, Some(Turn::Draining))
    }

    /// The log is to go on in the next segment, once all of this one is durable.
    pub(in crate::write) fn begin_turn(&mut self) {
        self.turn = Some(Turn::Draining);
    }

    /// Gives the next segment its place; put this one's end in then. All of this one is durable. Returned is what
    /// went wrong and changes nothing.
    ///
    /// # Errors
    /// The system's errors; then the log stays in this segment, which has not ended.
    pub(in crate::write) fn change_names(
        &mut self,
        first_sequence: u64,
    ) -> Result<Option<Error>, Error> {
        self.turn = None;
        // Another writer may have the log by now, and then its path is not ours.
        self.files.keep_lock()?;
        let (next, Promoted { over, remark }) = self.promote_next(first_sequence)?;
        self.turn = Some(Turn::Ending { next: Box::new(next), over, home: false });
        Ok(remark)
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
        self.turn = Some(Turn::Ending { next: Box::new(next), over: None, home: true });
        true
    }

    /// When something is to be done though nothing completes.
    pub(in crate::write) fn wake_at(&self) -> Option<Instant> {
        self.home_at
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

    /// Leaves this segment, whose end is durable, if the next one has its place.
    pub(in crate::write) fn take_turn(&mut self) -> Option<Changed> {
        match self.turn.take() {
            Some(Turn::Ending { next, over, home }) => {
                let old = std::mem::replace(&mut self.segment, *next);
                Some(Changed { old, over, home, remark: None })
            }
            other => {
                self.turn = other;
                None
            }
        }
    }

    /// Leaves this segment at once, whatever its state.
    ///
    /// # Errors
    /// The system's errors; then the log stays in this segment, and this can be tried again.
    pub(in crate::write) fn leave(
        &mut self,
        first_sequence: u64,
        elsewhere: bool,
        now: Instant,
    ) -> Result<Changed, Error> {
        if let Some(changed) = self.take_turn() {
            return Ok(changed);
        }
        self.turn = None;
        if elsewhere {
            // What is prepared is here, where nothing works. The next start removes it.
            let next = self.files.elsewhere(&self.segment, first_sequence)?;
            self.prepared = None;
            self.home_at = now.checked_add(HOME_EVERY);
            let old = std::mem::replace(&mut self.segment, next);
            return Ok(Changed { old, over: None, home: false, remark: None });
        }
        let (next, Promoted { over, remark }) = self.promote_next(first_sequence)?;
        let old = std::mem::replace(&mut self.segment, next);
        Ok(Changed { old, over, home: false, remark })
    }

    fn promote_next(&mut self, first_sequence: u64) -> Result<(Segment, Promoted), Error> {
        let mut next = match self.take_prepared() {
            Some(next) => next,
            None => self.files.prepare(&self.segment)?,
        };
        match self.files.promote(&mut self.segment, &mut next, first_sequence) {
            Ok(promoted) => Ok((next, promoted)),
            Err(error) => {
                self.prepared = Some(next);
                Err(error)
            }
        }
    }

    /// What was prepared, if nobody has removed or replaced it since.
    fn take_prepared(&mut self) -> Option<Segment> {
        self.prepared.take().filter(|next| self.files.has_prepared(next))
    }

    /// The next file is not needed any more.
    pub(in crate::write) fn discard_prepared(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.files.discard(prepared);
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
    /// The system's errors.
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

    /// Whether the lock was not looked after since a while.
    pub(in crate::write) fn is_lock_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.locked) >= LOCK_EVERY
    }

    /// Sees to it that nobody else may write the log.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if another writer has the lock by now; the system's errors.
    pub(in crate::write) fn keep_lock(&mut self, now: Instant) -> Result<(), Error> {
        self.locked = now;
        self.files.keep_lock()
    }

    /// Looks for the active file, of which so many bytes are written, where it should be.
    pub(in crate::write) fn look(&mut self, written: u64, now: Instant) -> Standing {
        self.looked = now;
        self.files.standing(&self.segment, written)
    }
}
