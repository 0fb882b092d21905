//! The active file of a log: where the next part goes, and what the parts say of it.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    Durability, EngineKind, Error, IoMode,
    format::{BlockInfo, ChunkEntry, Kind, Prefix, Start, Totals},
    io::{BlockFile, ClosedFile, Completion, FileState, Operation, ReopenForm, random},
    mem::AlignedBytes,
    write::{archive::Lineage, common::BlockMemory},
};

/// Space is taken ahead only by files that have grown to this: small ones stay small.
const RESERVE_FROM: u64 = 16 << 20;
/// How much is taken at a time: as much as there is, within these.
const RESERVE_MIN: u64 = 64 << 20;
const RESERVE_MAX: u64 = 256 << 20;

/// A file that takes the parts of one session: blocks, notes, an end.
pub(crate) struct Segment {
    file: Box<dyn BlockFile>,
    path: PathBuf,
    /// Where the next part goes; a multiple of the alignment.
    offset: u64,
    /// What all metadata of this session in this file have in common.
    prefix: Prefix,
    /// The session's part of this file.
    first_sequence: u64,
    records: u64,
    first_time: i64,
    last_time: i64,
    filled_since: Option<i64>,
    /// The longest it is to become.
    max_size: u64,
    /// Which file it is.
    identity: Option<(u64, u64)>,
    /// Space was taken, or is being taken, up to here; `None`: the file system does not let us.
    reserved: Option<u64>,
    /// Whether any was taken, or may have been.
    has_space: bool,
    /// Whether anything in it has become durable since it was opened.
    proven: bool,
    /// Whether the file is closed for now.
    suspended: bool,
}

/// Nanoseconds since the epoch, for labels; not for order.
pub(crate) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
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
            offset,
            prefix,
            first_sequence,
            records: 0,
            filled_since: None,
            max_size: u64::MAX,
            identity,
            first_time: 0,
            last_time: 0,
            reserved: Some(0),
            has_space: false,
            proven: false,
            suspended: false,
        }
    }

    pub(crate) fn align(&self) -> usize {
        self.prefix.align as usize
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It has this path from now on.
    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// No space is taken ahead beyond this length.
    pub(super) fn set_max_size(&mut self, bytes: u64) {
        self.max_size = bytes;
    }

    /// Which file it is: device and inode.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    /// The file as the system sees it now; `None` if it does not say.
    pub(super) fn state(&self) -> Option<FileState> {
        self.file.state().ok()
    }

    /// Gives the file the permissions that `old`'s has by now.
    pub(super) fn take_mode_of(&self, old: &Segment) {
        if let (Some(old), Some(own)) = (old.state(), self.state())
            && old.mode != own.mode
        {
            // Somebody else's file system, or file: the records matter more.
            let _ = self.file.set_mode(old.mode);
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
        self.records > 0 || self.filled_since.is_some()
    }

    /// Writes its start again, before its first block, which is known only now.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub(in crate::write) fn begin_with(
        &mut self,
        previous: u64,
        first_sequence: u64,
        name: &[u8],
    ) -> Result<(), Error> {
        if first_sequence == self.first_sequence {
            return Ok(());
        }
        let mut bytes = AlignedBytes::new(self.align(), self.align())?;
        Start { previous, first_sequence, name }.encode(&self.prefix, &mut bytes);
        let written = self.file.write_now(&bytes, self.prefix.offset);
        written.map_err(|error| Error::io("cannot write", error).at_path(&self.path))?;
        self.first_sequence = first_sequence;
        Ok(())
    }

    pub(crate) fn mode(&self) -> IoMode {
        self.file.mode()
    }

    pub(crate) fn engine(&self) -> EngineKind {
        self.file.engine()
    }

    /// Which log it is of, and its place in it.
    pub(crate) fn lineage(&self) -> Lineage {
        Lineage { log_id: self.prefix.log_id, segment: self.prefix.segment }
    }

    /// Where the next part goes.
    pub(in crate::write) fn offset(&self) -> u64 {
        self.offset
    }

    /// Completes a block in its memory, for the place where the next part goes: header, padding, table,
    /// head and tail. What `info` says of lengths and records is filled in.
    pub(in crate::write) fn encode_block(
        &self,
        memory: &mut dyn BlockMemory,
        info: &mut BlockInfo,
        time: i64,
        table: &mut Vec<ChunkEntry>,
    ) {
        info.set_lengths(memory.valid(), self.align());
        info.records = memory.finish(info, table);
        let (head_len, data_len) = (info.head_len as usize, info.data_len as usize);
        let prefix = Prefix { offset: self.offset, time, ..self.prefix };
        memory.write_head(head_len, &mut |bytes| info.encode(Kind::Head, &prefix, table, bytes));
        let tail_at = self.offset + (head_len + data_len) as u64;
        let prefix = Prefix { offset: tail_at, time, ..self.prefix };
        let tail_len = info.tail_len as usize;
        memory.write_tail(data_len, tail_len, &mut |bytes| {
            info.encode(Kind::Tail, &prefix, table, bytes);
        });
        memory.set_block(head_len, data_len + tail_len);
    }

    /// Encodes a note or an end for the place where the next part goes; what it says of this segment is
    /// filled in here.
    pub(in crate::write) fn encode_totals(&self, kind: Kind, totals: Totals, bytes: &mut [u8]) {
        let totals = Totals {
            first_sequence: self.first_sequence,
            segment_records: self.records,
            first_time: self.first_time,
            last_time: self.last_time,
            ..totals
        };
        let prefix = Prefix { offset: self.offset, time: wall_clock(), ..self.prefix };
        totals.encode(kind, &prefix, bytes);
    }

    /// The block that was encoded has its place: the next part goes behind it.
    pub(in crate::write) fn place_block(&mut self, info: &BlockInfo, time: i64) {
        if self.records == 0 {
            self.first_time = time;
        }
        self.last_time = time;
        self.records += u64::from(info.records);
        self.offset += info.block_len();
    }

    /// The note or end that was encoded has its place.
    pub(in crate::write) fn place_totals(&mut self) {
        self.offset += self.prefix.align as u64;
    }

    /// Ends the file of a session that never took a record.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn end_unused(&mut self) -> Result<(), Error> {
        let mut bytes = AlignedBytes::new(self.align(), self.align())?;
        self.encode_totals(
            Kind::End,
            Totals { session_over: true, ..Totals::default() },
            &mut bytes,
        );
        let written = self.file.write_now(&bytes, self.offset);
        written.map_err(|error| Error::io("cannot write", error).at_path(&self.path))
    }

    /// Begins an operation on the file.
    pub(in crate::write) fn submit(&mut self, tag: u64, operation: Operation) {
        self.file.submit(tag, operation);
    }

    /// The next operation that has completed.
    pub(in crate::write) fn reap(&mut self) -> Option<Completion> {
        self.file.reap()
    }

    /// Whether a file that is to follow `old` should have space by now, and was not given any.
    pub(super) fn lacks_space_after(&self, old: &Segment) -> bool {
        self.reserved == Some(0) && old.offset >= RESERVE_FROM
    }

    /// Takes space for a file that is to follow one which came to need it: before it is needed.
    pub(super) fn reserve_now(&mut self) {
        let len = RESERVE_MIN.min(self.max_size);
        // Asked once: later it takes its space as it grows.
        self.reserved = Some(self.offset);
        if self.file.room().is_none_or(|room| room / 4 >= len) {
            self.has_space = true;
            match self.file.reserve_now(self.offset, len) {
                Ok(()) => self.reserved = Some(self.offset + len),
                Err(_) => {
                    self.reserved = None;
                    self.trim();
                }
            }
        }
    }

    /// The space to take now, ahead of the parts, if it is time: in steps that grow with the file.
    pub(in crate::write) fn due_reservation(&mut self) -> Option<Operation> {
        let reserved = self.reserved?;
        let step = self.offset.clamp(RESERVE_MIN, RESERVE_MAX);
        if self.offset < RESERVE_FROM || reserved >= self.offset + step / 2 {
            return None;
        }
        let offset = reserved.max(self.offset);
        let len = step.min(self.max_size.saturating_sub(offset));
        self.reserved = Some(offset + step);
        // On a disk that is nearly full it would take from the writes in flight what they need.
        let is_roomy = self.file.room().is_none_or(|room| room / 4 >= len);
        let is_taken = len > 0 && is_roomy;
        self.has_space |= is_taken;
        is_taken.then_some(Operation::Reserve { offset, len })
    }

    /// Takes no more space ahead, since that failed.
    pub(in crate::write) fn stop_reserving(&mut self) {
        self.reserved = None;
    }

    /// How its file is to be opened again.
    pub(super) fn form(&self, durability: Durability) -> ReopenForm {
        ReopenForm { align: self.align(), durability, mode: self.mode() }
    }

    /// Closes the file, to save its descriptor: [`resume`](Segment::resume) it before the next operation.
    /// Nothing may be in flight.
    pub(in crate::write) fn suspend(&mut self) {
        self.trim();
        if self.reserved.is_some() {
            self.reserved = Some(0);
        }
        self.file = Box::new(ClosedFile::new(self.mode(), self.engine()));
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

    /// Gives back the space that was taken and not used. Nothing may be in flight.
    pub(in crate::write) fn trim(&mut self) {
        if self.has_space {
            // What cannot be given back is the file's, and nobody's loss.
            let _ = self.file.trim();
        }
    }

    /// Whether it did go on through the page cache instead.
    pub(in crate::write) fn leave_direct(&mut self) -> bool {
        self.file.leave_direct().is_ok()
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
