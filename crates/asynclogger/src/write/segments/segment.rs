//! One file of a log while it is written.

use std::path::{Path, PathBuf};

use super::{
    layout::{Layout, Spot},
    space::SpaceAhead,
};
use crate::{
    Durability, Error,
    format::{Kind, Prefix, Totals},
    io::{BlockFile, ClosedFile, Operation, ReopenForm, random},
    mem::AlignedBytes,
    write::{archive::Lineage, crash::Whereabouts},
};

/// A file that takes the parts of one session: blocks, notes, an end.
///
/// A segment is identified by its open file, never by its path: users and other programs rename, delete and replace log
/// files, and a path can name another file a moment after a look. So the identity is taken once, from the open file,
/// and each function that acts on a name compares the name's file with it.
///
/// A file that is written has three jobs, each an object of its own: the places and contents of parts ([`Layout`]), the
/// reserved space ([`SpaceAhead`]), and the writing itself (the [`BlockFile`]). So a part can be encoded again for
/// another file, and a file can be closed for a while and opened again, without the others noticing.
pub(crate) struct Segment {
    file: Box<dyn BlockFile>,
    path: PathBuf,
    /// The file's identity: device and inode.
    identity: Option<(u64, u64)>,
    layout: Layout,
    space: SpaceAhead,
    filled_since: Option<i64>,
    /// Whether any part of the file has become durable since the file was opened.
    proven: bool,
    /// Whether the file is closed for now.
    suspended: bool,
}

/// The id of a new session: random and not 0.
pub(crate) fn new_session() -> Result<u64, Error> {
    Ok(u64::from_le_bytes(random()?).max(1))
}

impl Segment {
    /// A segment in an open file, in which the session's start ends at `offset`.
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

    /// Sets the file's path after a change of names.
    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// The file's identity: device and inode.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    /// Continues a session at this place of the file.
    pub(super) fn resume_at(&mut self, spot: &Spot) {
        self.layout.resume(spot);
    }

    /// Where the file is, and where the session begins in it.
    pub(in crate::write) fn whereabouts(&self) -> Whereabouts {
        let (start, begin) = self.layout.beginning();
        Whereabouts {
            segment: self.lineage().segment,
            identity: self.identity.unwrap_or_default(),
            start,
            begin,
            first_sequence: self.layout.first_sequence(),
            align: self.align() as u64,
        }
    }

    /// The file, to ask for its state, mode and engine.
    pub(in crate::write) fn file(&self) -> &dyn BlockFile {
        &*self.file
    }

    /// The file, to begin operations on and to take over completions from.
    pub(in crate::write) fn file_mut(&mut self) -> &mut dyn BlockFile {
        &mut *self.file
    }

    /// The place of the next part, and the session's totals in this file.
    pub(in crate::write) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(in crate::write) fn layout_mut(&mut self) -> &mut Layout {
        &mut self.layout
    }

    /// The alignment of offsets and lengths, in bytes.
    pub(crate) fn align(&self) -> usize {
        self.layout.align()
    }

    /// The log's id and the number of this segment.
    pub(crate) fn lineage(&self) -> Lineage {
        self.layout.lineage()
    }

    /// The permissions of the file; `None` if the system does not report them.
    pub(super) fn mode(&self) -> Option<u32> {
        self.file.state().ok().map(|state| state.mode)
    }

    /// Gives the file the permissions that `old`'s file has now.
    pub(super) fn take_mode_of(&self, old: &Segment) {
        if let Some(mode) = old.mode()
            && self.mode() != Some(mode)
        {
            // Ignored: the file system, or the file, may belong to another user, and the records matter more.
            let _ = self.file.set_mode(mode);
        }
    }

    /// Sets the time since which the file holds records of earlier sessions.
    pub(super) fn set_filled_since(&mut self, time: i64) {
        self.filled_since = Some(time);
    }

    /// The time since which the file holds records of earlier sessions; `None` if it holds none.
    pub(in crate::write) fn filled_since(&self) -> Option<i64> {
        self.filled_since
    }

    /// Whether the file holds a record.
    pub(in crate::write) fn has_records(&self) -> bool {
        self.layout.records() > 0 || self.filled_since.is_some()
    }

    /// Writes the file's start again, before its first block: the number of that block is known only now.
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

    /// Reserves no space beyond this length.
    pub(super) fn set_max_size(&mut self, bytes: u64) {
        self.space.set_max_size(bytes);
    }

    /// Whether this file, which is to follow `old`, should have reserved space by now and has none.
    pub(super) fn lacks_space_after(&self, old: &Segment) -> bool {
        self.space.is_missing_after(old.layout.offset())
    }

    /// Reserves space for a file that is to follow a long one, before the space is needed.
    pub(super) fn reserve_now(&mut self) {
        self.space.take_now(&mut *self.file, self.layout.offset());
    }

    /// The next reservation ahead of the parts, if one is due.
    pub(in crate::write) fn due_reservation(&mut self) -> Option<Operation> {
        self.space.due(&*self.file, self.layout.offset())
    }

    /// Reserves no more space, since a reservation failed.
    pub(in crate::write) fn stop_reserving(&mut self) {
        self.space.stop();
    }

    /// Gives back reserved space that is not used. Nothing may be in flight.
    pub(in crate::write) fn trim(&mut self) {
        self.space.give_back(&mut *self.file);
    }

    /// The form in which the file is to be opened again.
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

    /// Continues with the file, which was opened again.
    pub(super) fn resume(&mut self, file: Box<dyn BlockFile>) {
        (self.file, self.suspended) = (file, false);
    }

    /// Whether the file is closed for now.
    pub(in crate::write) fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Performs a barrier and waits. Nothing may be in flight.
    ///
    /// # Errors
    /// The errors of a barrier, with the path.
    pub(in crate::write) fn sync_now(&mut self) -> Result<(), Error> {
        let synced = self.file.sync_now();
        synced.map_err(|error| Error::io("cannot sync", error).at_path(&self.path))
    }

    /// Reports that a part of the file has become durable.
    pub(in crate::write) fn prove(&mut self) {
        self.proven = true;
    }

    /// Whether any part of the file has become durable since the file was opened.
    pub(in crate::write) fn is_proven(&self) -> bool {
        self.proven
    }
}
