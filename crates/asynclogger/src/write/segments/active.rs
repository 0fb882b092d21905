//! The active segment, the segment prepared to follow it, and the change from one to the other.

use std::time::{Duration, Instant};

use super::{
    next_segment::{NextSegment, Promoted},
    segment::Segment,
    standing::Standing,
};
use crate::{Error, ErrorKind, io::KeepWhen, write::archive::ArchivedSegment};

/// The interval between attempts to return from the failover directory.
const HOME_EVERY: Duration = Duration::from_secs(5);

/// The state of a log on its way from one segment to the next.
enum Turn {
    /// All of the active segment becomes durable; then the names are changed. If the change fails, the log stays in its
    /// segment.
    Draining,
    /// The next segment has the log's path. The active segment gets its end, and is left once the end is durable.
    Ending { next: Box<Segment>, over: Option<ArchivedSegment>, home: bool },
}

/// A change of segments: the log continues in another one.
pub(in crate::write) struct Changed {
    /// The segment that the log has left.
    pub(in crate::write) old: Segment,
    /// The left segment for the archivist, if its archived name is known.
    pub(in crate::write) over: Option<ArchivedSegment>,
    /// Whether the log is back in its own directory.
    pub(in crate::write) home: bool,
    /// An error of the change of names that does not affect the change itself.
    pub(in crate::write) remark: Option<Error>,
}

/// The segment that is written, and its successor.
///
/// When a segment is over, the log must continue at once, although making a file, reserving space and syncing a
/// directory take time. So the next file is made before it is needed.
///
/// A change of segments can fail at each step: the disk is full, or something else has the name. If the active segment
/// got its end first, a failed change would leave the log without a file to write to. So the next segment takes the
/// log's path first, and the active one gets its end only then; until that moment the log can stay in its segment, and
/// has lost nothing.
///
/// This object decides only which segment is written. The flusher knows the blocks in flight, and calls
/// [`change_names`](Active::change_names) and [`take_turn`](Active::take_turn) when they are durable.
pub(in crate::write) struct Active {
    segment: Segment,
    files: Box<dyn NextSegment>,
    prepared: Option<Segment>,
    turn: Option<Turn>,
    /// The time of the next attempt to return to the log's own directory, if the log is in the other one.
    home_at: Option<Instant>,
}

impl Active {
    pub(in crate::write) fn new(segment: Segment, files: Box<dyn NextSegment>) -> Active {
        let (prepared, turn, home_at) = (None, None, None);
        Active { segment, files, prepared, turn, home_at }
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

    /// Whether the next file is ready, with reserved space if it will need any.
    pub(in crate::write) fn is_prepared(&self) -> bool {
        self.prepared.as_ref().is_some_and(|next| !next.lacks_space_after(&self.segment))
    }

    /// Prepares the next file, under a hidden name.
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

    /// Whether the log is on its way to the next segment: this segment takes no more blocks.
    pub(in crate::write) fn is_turning(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether the names are to be changed as soon as all of this segment is durable.
    pub(in crate::write) fn is_draining(&self) -> bool {
        matches!(self.turn, Some(Turn::Draining))
    }

    /// Begins the change to the next segment, which is made once all of this one is durable.
    pub(in crate::write) fn begin_turn(&mut self) {
        self.turn = Some(Turn::Draining);
    }

    /// Gives the next segment the log's path. All of this segment must be durable; the caller writes its end
    /// afterwards. Returns an error that does not affect the change, if one occurred.
    ///
    /// # Errors
    /// The system's errors; then the log stays in this segment, which has not ended.
    pub(in crate::write) fn change_names(
        &mut self,
        first_sequence: u64,
    ) -> Result<Option<Error>, Error> {
        self.turn = None;
        // Another writer may have the log by now; then the path is not ours to change.
        self.files.keep_lock(KeepWhen::Now)?;
        let (next, Promoted { over, remark }) = self.promote_next(first_sequence)?;
        self.turn = Some(Turn::Ending { next: Box::new(next), over, home: false });
        Ok(remark)
    }

    /// Whether a return to the log's own directory is to be tried now.
    pub(in crate::write) fn may_go_home(&self, now: Instant) -> bool {
        self.home_at.is_some_and(|at| now >= at) && !self.is_turning()
    }

    /// Opens a segment in the log's own directory again. Returns whether that succeeded; the caller then writes this
    /// segment's end, and the log continues there once the end is durable.
    pub(in crate::write) fn begin_turn_home(&mut self, first_sequence: u64, now: Instant) -> bool {
        // The prepared file is in the directory that the log leaves, and has the number of the next segment.
        self.discard_prepared();
        let Ok(next) = self.files.home(&self.segment, first_sequence) else {
            self.home_at = now.checked_add(HOME_EVERY);
            return false;
        };
        self.home_at = None;
        self.turn = Some(Turn::Ending { next: Box::new(next), over: None, home: true });
        true
    }

    /// The time at which work is due although no operation completes.
    pub(in crate::write) fn wake_at(&self) -> Option<Instant> {
        self.home_at
    }

    /// Whether no change of segments or directories is pending.
    pub(in crate::write) fn is_at_rest(&self) -> bool {
        !self.is_turning() && self.home_at.is_none()
    }

    /// Gives back reserved space and the prepared file: no more blocks will come.
    pub(in crate::write) fn tidy_up(&mut self) {
        self.discard_prepared();
        self.segment.trim();
    }

    /// Leaves this segment, whose end is durable, if the next one has the log's path.
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

    /// Leaves this segment at once, in any state.
    ///
    /// # Errors
    /// The system's errors; then the log stays in this segment, and the call can be repeated.
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
            // The prepared file is in the failing directory. The next start removes it.
            let next = self.files.elsewhere(&self.segment, first_sequence)?;
            self.prepared = None;
            self.home_at = now.checked_add(HOME_EVERY);
            let old = std::mem::replace(&mut self.segment, next);
            return Ok(Changed { old, over: None, home: false, remark: None });
        }
        // Only another writer keeps the log from the path: without a lock file the log is still to be written.
        match self.files.keep_lock(KeepWhen::Now) {
            Err(error) if error.kind() == ErrorKind::InUse => return Err(error),
            _ => {}
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
        let mut promoted = self.files.promote(&mut self.segment, &mut next, first_sequence);
        if promoted.is_err() && !self.files.has_prepared(&next) {
            // Somebody has removed or replaced the prepared file during the change.
            next = self.files.prepare(&self.segment)?;
            promoted = self.files.promote(&mut self.segment, &mut next, first_sequence);
        }
        match promoted {
            Ok(promoted) => Ok((next, promoted)),
            Err(error) => {
                self.prepared = Some(next);
                Err(error)
            }
        }
    }

    /// The prepared segment, if it can still follow this one.
    fn take_prepared(&mut self) -> Option<Segment> {
        let prepared = self.prepared.take()?;
        if self.files.has_prepared(&prepared) {
            return Some(prepared);
        }
        self.files.discard(prepared);
        None
    }

    /// Removes the prepared file, which is not needed any more.
    pub(in crate::write) fn discard_prepared(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.files.discard(prepared);
        }
    }

    /// Closes the active file, to save its descriptor. Nothing may be in flight.
    pub(in crate::write) fn suspend(&mut self) {
        self.discard_prepared();
        self.segment.suspend();
    }

    /// Opens the active file again. Returns whether the log's path still names the same file.
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

    /// Keeps the right to write the log: takes the lock again if its file was removed.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if another writer has the lock by now; the system's errors.
    pub(in crate::write) fn keep_lock(&mut self) -> Result<(), Error> {
        self.files.keep_lock(KeepWhen::Sometimes)
    }

    /// Looks for the active file at the log's path. `written`: the bytes written to the file.
    pub(in crate::write) fn look(&self, written: u64) -> Standing {
        self.files.standing(&self.segment, written)
    }
}
