//! The memory of a pool's buffers: places of equal size in one region.

use std::{io, ops::Range, ptr::NonNull};

#[cfg(loom)]
use super::buffer::Watched;
use super::buffer::{Buffer, HEADER};
use crate::{
    Error,
    format::{MAX_CAPACITY, block, column::times_upto},
    mem::{Region, SharedMemory},
    sync::Arc,
};

/// Equal buffers one behind the other in one region: `{ head room, header and records, tail room }`.
///
/// All buffers are in one mapping, so that one multiplication makes the address of a buffer from its number; the word
/// of a shard has no room for an address.
pub(super) struct Memory {
    region: Region,
    /// The header of the first buffer.
    first: NonNull<u8>,
    count: usize,
    stride: usize,
    head_room: usize,
    form: Form,
    #[cfg(loom)]
    watched: Box<[Watched]>,
}

// SAFETY: `first` points into the region, which is `Send`. The bytes of a buffer have one owner at a time by the swap
// protocol, and every user of a `Buffer` has to keep to that protocol.
unsafe impl Send for Memory {}
// SAFETY: as above; no field changes after `new`.
unsafe impl Sync for Memory {}

/// What the places of a buffer's parts follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) struct Form {
    /// Bytes of header and records.
    capacity: usize,
    /// The alignment of the file.
    align: usize,
    /// Whether the head has a column of times. The column stands in front of the header, where it is in the file, and
    /// grows away from the records.
    is_timed: bool,
}

impl Form {
    /// Buffers without times.
    pub(in crate::write) fn new(capacity: usize, align: usize) -> Form {
        Form { capacity, align, is_timed: false }
    }

    /// The same buffers with times, or without.
    pub(in crate::write) fn timed(self, is_timed: bool) -> Form {
        Form { is_timed, ..self }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn align(&self) -> usize {
        self.align
    }

    /// The head room of a buffer, and the distance from one buffer to the next.
    fn rooms(&self) -> (usize, usize) {
        let head_room = self.head(self.capacity);
        (head_room, head_room + self.rest(self.capacity))
    }

    /// The bytes in front of the header of a block with `upto` bytes of header and records.
    fn head(&self, upto: usize) -> usize {
        if self.is_timed {
            block::timed_head_len(block::data_len(upto - HEADER), times_upto(upto), self.align)
        } else {
            block::head_len(block::data_len(self.capacity - HEADER), self.align)
        }
    }

    /// The bytes from the header on of a block with `upto` bytes of header and records.
    fn rest(&self, upto: usize) -> usize {
        let data_len = block::data_len(upto - HEADER);
        data_len
            + match self.is_timed {
                true => block::timed_tail_len(data_len, self.align),
                false => block::tail_len(data_len, self.align),
            }
    }
}

impl Memory {
    /// Makes `count` buffers of this form. `whole` says that buffers are used up to their end, so that huge pages pay. `None` if such memory is
    /// impossible.
    pub(super) fn new(count: usize, form: Form, whole: bool) -> Option<Result<Memory, Error>> {
        if count == 0 || form.capacity <= HEADER {
            return None;
        }
        let (_, stride) = form.rooms();
        let bytes = stride.checked_mul(count)?;
        // Huge pages would cost a buffer with little in it 2 MiB for its first byte.
        let part = if whole { stride } else { form.align };
        let region = match Region::anonymous(bytes, form.align, part) {
            Ok(region) => region,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(Memory::of(region, count, form)))
    }

    /// The bytes that such buffers need; `None` if such memory is impossible.
    pub(super) fn bytes(count: usize, form: Form) -> Option<usize> {
        let is_possible = count > 0 && form.capacity > HEADER && form.capacity <= MAX_CAPACITY;
        is_possible.then(|| form.rooms().1.checked_mul(count)).flatten()
    }

    /// The bytes of buffer `number` that a block of at most `upto` bytes of header and records needs, with head and tail:
    /// a range of the memory that [`bytes`](Memory::bytes) measures.
    pub(super) fn block_in(form: Form, number: usize, upto: usize) -> Range<usize> {
        let (head_room, stride) = form.rooms();
        let header = number * stride + head_room;
        header - form.head(upto)..header + form.rest(upto)
    }

    /// [`block_in`](Memory::block_in) for these buffers.
    pub(super) fn block(&self, number: u32, upto: usize) -> Range<usize> {
        Memory::block_in(self.form, number as usize, upto)
    }

    /// What [`block`](Memory::block) is for `upto` bytes and not for `from` bytes: a range in front of the header, and one
    /// behind it. `from` can be 0: then all of the block.
    pub(super) fn parts(&self, number: u32, from: usize, upto: usize) -> [Range<usize>; 2] {
        let whole = self.block(number, upto);
        if from == 0 {
            return [whole.start..whole.start, whole];
        }
        let known = self.block(number, from);
        [whole.start..known.start, known.end..whole.end]
    }

    /// The bytes in front of the header of buffer `number`, from the start of a head of this length on.
    pub(super) fn head_of(&self, number: u32, len: usize) -> Range<usize> {
        let header = number as usize * self.stride + self.head_room;
        header - len.min(self.head_room)..header
    }

    /// The same buffers in the memory of a map; `None` if the memory is too short for them.
    pub(super) fn shared(memory: &Arc<SharedMemory>, count: usize, form: Form) -> Option<Memory> {
        let bytes = Memory::bytes(count, form)?;
        let region = (bytes <= memory.bytes()).then(|| Region::shared(memory.clone(), 0, bytes))?;
        region.as_ptr().addr().is_multiple_of(form.align).then(|| Memory::of(region, count, form))
    }

    /// Divides a region.
    ///
    /// Panics if the region is too short for all buffers.
    fn of(region: Region, count: usize, form: Form) -> Memory {
        let (head_room, stride) = form.rooms();
        let _end = region.at(count * stride);
        let first = region.at(head_room);
        Memory {
            region,
            first,
            count,
            stride,
            head_room,
            form,
            #[cfg(loom)]
            watched: (0..count).map(|_| Watched::new(form.capacity)).collect(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of header and records of each buffer.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.form.capacity
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn head_room(&self) -> usize {
        self.head_room
    }

    /// Bytes from the header to the start of the next buffer.
    pub(super) fn room_after_header(&self) -> usize {
        self.stride - self.head_room
    }

    /// The buffer with this number.
    #[inline]
    pub(super) fn buffer(&self, number: u32) -> Buffer<'_> {
        let number = number as usize;
        assert!(number < self.count, "a buffer of this pool");
        // SAFETY: this is one of the `count` buffers, each `stride` bytes from the one before, so it is within the
        // region, which was mapped for `count * stride` bytes and lives as long as `self` is borrowed.
        unsafe {
            Buffer::new(
                self.first.add(number * self.stride),
                #[cfg(loom)]
                &self.watched[number],
            )
        }
    }

    /// Gives the memory of a buffer back, except the first `keep` bytes of header and records. If `keep` is 0, the
    /// head room is given back, too.
    ///
    /// # Safety
    /// No other thread may use the buffer, and its next user must expect nothing of its bytes.
    pub(super) unsafe fn shrink(&self, number: u32, keep: usize) {
        let used =
            self.head_room + HEADER + self.buffer(number).valid() as usize + self.form.align * 2;
        let kept = if keep == 0 { 0 } else { self.head_room.saturating_add(keep) };
        if used > kept {
            // All of the rest: more bytes than were written can be resident.
            let start = number as usize * self.stride;
            // SAFETY: the caller vouches for it.
            unsafe { self.region.discard(start + kept..start + self.stride) };
        }
    }

    /// Lets memory that becomes resident from now on have huge pages.
    pub(super) fn use_huge_pages(&self) {
        self.region.use_huge_pages();
    }

    /// Makes a buffer's memory resident, without changing it: what a block of at most `upto` bytes of header and records
    /// needs, except what a block of `from` bytes needs.
    pub(super) fn populate(&self, number: u32, from: usize, upto: usize) -> io::Result<()> {
        let parts = self.parts(number, from, upto).into_iter();
        parts.filter(|part| !part.is_empty()).try_for_each(|part| self.region.populate(part))
    }
}
