//! The seam between a log and the files in which the log continues.

use super::{segment::Segment, standing::Standing};
use crate::{
    Error,
    io::{BlockFile, KeepWhen},
    write::archive::ArchivedSegment,
};

/// The source of a log's next segment.
pub(crate) trait NextSegment: Send {
    /// Makes a segment to follow `old`, under a hidden name.
    ///
    /// # Errors
    /// The system's errors; then nothing has changed.
    fn prepare(&mut self, old: &Segment) -> Result<Segment, Error>;

    /// Whether a prepared segment's file still has its hidden name.
    fn has_prepared(&self, next: &Segment) -> bool;

    /// Gives `next`, a prepared segment, the place of `old`, and gives `old` an archived name. The first block of
    /// `next` will be `first_sequence`.
    ///
    /// # Errors
    /// The system's errors; then `old` is still in its place, and the call can be repeated.
    fn promote(
        &mut self,
        old: &mut Segment,
        next: &mut Segment,
        first_sequence: u64,
    ) -> Result<Promoted, Error>;

    /// Whether a failover directory is configured, and the log is not in it.
    fn has_elsewhere(&self) -> bool;

    /// Makes a segment in the failover directory to follow `old`, which stays as it is.
    ///
    /// # Errors
    /// The system's errors; then the log stays where it is.
    fn elsewhere(&mut self, old: &Segment, first_sequence: u64) -> Result<Segment, Error>;

    /// Makes a segment in the log's own directory to follow `away`.
    ///
    /// # Errors
    /// The same as for [`elsewhere`](NextSegment::elsewhere).
    fn home(&mut self, away: &Segment, first_sequence: u64) -> Result<Segment, Error>;

    /// Removes a prepared segment that is not needed any more.
    fn discard(&mut self, prepared: Segment);

    /// Keeps the right to write the log: makes and locks the lock file again if it was removed.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another writer has the lock by now; the system's errors.
    fn keep_lock(&mut self, _when: KeepWhen) -> Result<(), Error> {
        // An implementation without a lock file has nothing to do.
        Ok(())
    }

    /// Opens the file of a segment again, which was closed to save a descriptor. `None`: the log's path names another
    /// file, or none.
    ///
    /// # Errors
    /// The system's errors.
    fn reopen(&mut self, _segment: &Segment) -> Result<Option<Box<dyn BlockFile>>, Error> {
        // An implementation that never closes a file for a while is never asked.
        Ok(None)
    }

    /// Looks for the active file at the log's path. `written`: the bytes written to the file.
    fn standing(&self, active: &Segment, written: u64) -> Standing;
}

/// The result of [`promote`](NextSegment::promote): the next segment has its place.
#[derive(Default)]
pub(crate) struct Promoted {
    /// The segment before, for the archivist, if its file was still at the log's path.
    pub(in crate::write) over: Option<ArchivedSegment>,
    /// An error after the names were changed: they may not be durable.
    pub(in crate::write) remark: Option<Error>,
}
