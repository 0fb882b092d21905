//! The seam between a log that goes on and the files that it goes on in.

use super::{segment::Segment, standing::Standing};
use crate::{Error, io::BlockFile, write::archive::ArchivedSegment};

/// Where a log's next segment comes from.
pub(crate) trait NextSegment: Send {
    /// Makes a segment to follow `old`, under a hidden name.
    ///
    /// # Errors
    /// The system's errors; then nothing has changed.
    fn prepare(&mut self, old: &Segment) -> Result<Segment, Error>;

    /// Whether a segment that was prepared is still where it was made.
    fn has_prepared(&self, next: &Segment) -> bool;

    /// Gives `next`, which was prepared, the place of `old`, and `old` an archived name. The first block of `next`
    /// will be `first_sequence`.
    ///
    /// # Errors
    /// The system's errors; then `old` is still in its place, and this can be tried again.
    fn promote(
        &mut self,
        old: &mut Segment,
        next: &mut Segment,
        first_sequence: u64,
    ) -> Result<Promoted, Error>;

    /// Whether there is another directory to go to, and the log is not in it.
    fn has_elsewhere(&self) -> bool;

    /// Makes a segment in the other directory to go on with after `old`, which stays as it is.
    ///
    /// # Errors
    /// The system's errors; then the log stays where it is.
    fn elsewhere(&mut self, old: &Segment, first_sequence: u64) -> Result<Segment, Error>;

    /// Makes a segment in the log's own directory to go on with after `away`.
    ///
    /// # Errors
    /// As [`elsewhere`](NextSegment::elsewhere).
    fn home(&mut self, away: &Segment, first_sequence: u64) -> Result<Segment, Error>;

    /// A segment that was prepared is not needed any more.
    fn discard(&mut self, prepared: Segment);

    /// Sees to it that nobody else may write the log: a lock file that was removed is made and locked again.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another writer has the lock by now; the system's errors.
    fn keep_lock(&mut self) -> Result<(), Error> {
        // Who has no lock file has none to lose.
        Ok(())
    }

    /// Opens the file of a segment again, which was closed to save a descriptor. `None`: it is not where it
    /// was.
    ///
    /// # Errors
    /// The system's errors.
    fn reopen(&mut self, _segment: &Segment) -> Result<Option<Box<dyn BlockFile>>, Error> {
        // Who never closes one for a while is never asked.
        Ok(None)
    }

    /// Looks for the active file, of which so many bytes are written, where it should be.
    fn standing(&self, active: &Segment, written: u64) -> Standing;
}

/// The next segment has its place.
#[derive(Default)]
pub(crate) struct Promoted {
    /// The one before, if it was still where it should be.
    pub(in crate::write) over: Option<ArchivedSegment>,
    /// The names are changed, and something was not as it should be: they may not be durable.
    pub(in crate::write) remark: Option<Error>,
}
