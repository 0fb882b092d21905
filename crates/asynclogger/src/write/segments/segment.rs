//! One file of a log while it is written.

use std::path::{Path, PathBuf};

use super::{layout::Layout, space::SpaceAhead};
use crate::{
    Durability, Error,
    format::{Kind, Prefix, Totals},
    io::{BlockFile, ClosedFile, Operation, ReopenForm, random},
    mem::AlignedBytes,
    write::archive::Lineage,
};

/// A file that takes the parts of one session: blocks, notes, an end.
///
/// The file is known by what we hold open, never by its path: a path may name another file a moment after it was
/// looked at. So the identity is taken once, from the open file, and everything that acts on a name compares with
/// it. The three jobs that a file under way has are objects of their own: where parts go and what they say
/// ([`Layout`]), space taken ahead ([`SpaceAhead`]), and the writing itself (the [`BlockFile`]).
pub(crate) struct Segment {
    file: Box<dyn BlockFile>,
    path: PathBuf,
    /// Which file it is: device and inode.
    identity: Option<(u64, u64)>,
    layout: Layout,
    space: SpaceAhead,
    filled_since: Option<i64>,
    /// Whether anything in it has become durable since it was opened.
    proven: bool,
    /// Whether the file is closed for now.
    suspended: bool,
}

/// A new session's id: random and not 0.
pub(crate) fn new_session() -> Result<u64, Error> {
    Ok(u64::from_le_bytes(random()?).max(1))
}

impl Segment {
    /// An open file whose session's start stands before `offset`.
    pub(in crate::write) fn new(
        file: Box<dyn BlockFile>,
        path: PathBuf,
        prefix: Prefix,
        offset: u64,
        first_sequence: u64,
    ) -> Segment {
        let identity = file.state().ok().map(|state| state.identity);
        Segment {
            file,
            path,
            identity,
            layout: Layout::new(prefix, offset, first_sequence),
            space: SpaceAhead::none(),
            filled_since: None,
            proven: false,
            suspended: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It has this path from now on.
    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Which file it is: device and inode.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    /// How the file is written, and what it has completed.
    pub(in crate::write) fn file(&self) -> &dyn BlockFile {
        &*self.file
    }

    /// The file, to begin operations on and to take over completions from.
    pub(in crate::write) fn file_mut(&mut self) -> &mut dyn BlockFile {
        &mut *self.file
    }

    /// Where the next part goes, and what it says of this file.
    pub(in crate::write) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(in crate::write) fn layout_mut(&mut self) -> &mut Layout {
        &mut self.layout
    }

    /// What offsets and lengths are multiples of.
    pub(crate) fn align(&self) -> usize {
        self.layout.align()
    }

    /// Which log it is of, and its place in it.
    pub(crate) fn lineage(&self) -> Lineage {
        self.layout.lineage()
    }

    /// The permissions of its file; `None`: the system does not say.
    pub(super) fn mode(&self) -> Option<u32> {
        self.file.state().ok().map(|state| state.mode)
    }

    /// Gives the file the permissions that `old`'s has by now.
    pub(super) fn take_mode_of(&self, old: &Segment) {
        if let Some(mode) = old.mode()
            && self.mode() != Some(mode)
        {
            // Somebody else's file system, or file: the records matter more.
            let _ = self.file.set_mode(mode);
        }
    }

    /// It holds records of earlier sessions, since then.
    pub(super) fn set_filled_since(&mut self, time: i64) {
        self.filled_since = Some(time);
    }

    /// Since when it holds records of earlier sessions, if it does.
    pub(in crate::write) fn filled_since(&self) -> Option<i64> {
        self.filled_since
    }

    /// Whether it holds a record.
    pub(in crate::write) fn has_records(&self) -> bool {
        self.layout.records() > 0 || self.filled_since.is_some()
    }

    /// Writes its start again, before its first block, which is known only now.
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub(in crate::write) fn begin_with(
        &mut self,
        previous: u64,
        first_sequence: u64,
        name: &[u8],
    ) -> Result<(), Error> {
        if first_sequence == self.layout.first_sequence() {
            return Ok(());
        }
        let align = self.align();
        let mut bytes = AlignedBytes::new(align, align)?;
        let offset = self.layout.encode_start(previous, first_sequence, name, &mut bytes);
        let written = self.file.write_now(&bytes, offset);
        written.map_err(|error| Error::io("cannot write", error).at_path(&self.path))?;
        self.layout.set_first_sequence(first_sequence);
        Ok(())
    }

    /// Ends the file of a session that never took a record.
    ///
    /// # Errors
    /// The system's errors.
    pub(crate) fn end_unused(&mut self) -> Result<(), Error> {
        let align = self.align();
        let mut bytes = AlignedBytes::new(align, align)?;
        let totals = Totals { session_over: true, ..Totals::default() };
        self.layout.encode_totals(Kind::End, totals, &mut bytes);
        let written = self.file.write_now(&bytes, self.layout.offset());
        written.map_err(|error| Error::io("cannot write", error).at_path(&self.path))
    }

    /// No space is taken ahead beyond this length.
    pub(super) fn set_max_size(&mut self, bytes: u64) {
        self.space.set_max_size(bytes);
    }

    /// Whether a file that is to follow `old` should have space by now, and was not given any.
    pub(super) fn lacks_space_after(&self, old: &Segment) -> bool {
        self.space.is_missing_after(old.layout.offset())
    }

    /// Takes space for a file that is to follow one which came to need it: before it is needed.
    pub(super) fn reserve_now(&mut self) {
        self.space.take_now(&mut *self.file, self.layout.offset());
    }

    /// The space to take now, ahead of the parts, if it is time.
    pub(in crate::write) fn due_reservation(&mut self) -> Option<Operation> {
        self.space.due(&*self.file, self.layout.offset())
    }

    /// Takes no more space ahead, since that failed.
    pub(in crate::write) fn stop_reserving(&mut self) {
        self.space.stop();
    }

    /// Gives back the space that was taken and not used. Nothing may be in flight.
    pub(in crate::write) fn trim(&mut self) {
        self.space.give_back(&mut *self.file);
    }

    /// How its file is to be opened again.
    pub(super) fn form(&self, durability: Durability) -> ReopenForm {
        ReopenForm { align: self.align(), durability, mode: self.file.mode() }
    }

    /// Closes the file, to save its descriptor: [`resume`](Segment::resume) it before the next operation.
    /// Nothing may be in flight.
    pub(in crate::write) fn suspend(&mut self) {
        self.trim();
        self.space.begin_again();
        self.file = Box::new(ClosedFile::new(self.file.mode(), self.file.engine()));
        self.suspended = true;
    }

    /// Goes on with the file, opened again.
    pub(super) fn resume(&mut self, file: Box<dyn BlockFile>) {
        (self.file, self.suspended) = (file, false);
    }

    /// Whether the file is closed for now.
    pub(in crate::write) fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// A barrier, waited for. Nothing may be in flight.
    ///
    /// # Errors
    /// As of a barrier, with the path.
    pub(in crate::write) fn sync_now(&mut self) -> Result<(), Error> {
        let synced = self.file.sync_now();
        synced.map_err(|error| Error::io("cannot sync", error).at_path(&self.path))
    }

    /// Something in it has become durable.
    pub(in crate::write) fn prove(&mut self) {
        self.proven = true;
    }

    /// Whether anything in it has become durable since it was opened.
    pub(in crate::write) fn is_proven(&self) -> bool {
        self.proven
    }
}
