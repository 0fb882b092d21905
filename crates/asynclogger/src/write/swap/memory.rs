//! The memory of a pool's buffers: places in one region, all alike.

use std::{io, ptr::NonNull};

#[cfg(loom)]
use super::buffer::Watched;
use super::buffer::{Buffer, HEADER};
use crate::{Error, format::block, mem::Region};

/// Equal buffers one behind the other in one region: `{ head room, header and records, tail room }`.
///
/// One mapping instead of an allocation each, so that a buffer's address is a multiplication away from the
/// number that a shard's word has room for.
pub(super) struct Memory {
    region: Region,
    /// The header of the first buffer.
    first: NonNull<u8>,
    count: usize,
    stride: usize,
    head_room: usize,
    capacity: usize,
    align: usize,
    #[cfg(loom)]
    watched: Box<[Watched]>,
}

// SAFETY: `first` points into the region, which is `Send`; the bytes of a buffer have one owner at a time by the
// swap protocol, which is the business of whoever uses a `Buffer`.
unsafe impl Send for Memory {}
// SAFETY: as above; nothing changes after `new`.
unsafe impl Sync for Memory {}

impl Memory {
    /// `count` buffers whose header and records together have `capacity` bytes, for files of alignment
    /// `align`. `whole`: each buffer is used up, so huge pages are worth it. `None`: there is no such thing.
    pub(super) fn new(
        count: usize,
        capacity: usize,
        align: usize,
        whole: bool,
    ) -> Option<Result<Memory, Error>> {
        if count == 0 || capacity <= HEADER {
            return None;
        }
        let data_len = block::data_len(capacity - HEADER);
        let head_room = block::head_len(data_len, align);
        let stride = head_room + data_len + block::tail_len(data_len, align);
        let bytes = stride.checked_mul(count)?;
        // Huge pages would cost a buffer with little in it 2 MiB for its first byte.
        let part = if whole { stride } else { align };
        let region = match Region::anonymous(bytes, align, part) {
            Ok(region) => region,
            Err(error) => return Some(Err(error)),
        };
        // SAFETY: within the region, which begins at no null pointer and has `stride > head_room` bytes.
        let first = unsafe { NonNull::new_unchecked(region.as_ptr().add(head_room)) };
        Some(Ok(Memory {
            region,
            first,
            count,
            stride,
            head_room,
            capacity,
            align,
            #[cfg(loom)]
            watched: (0..count).map(|_| Watched::new(capacity)).collect(),
        }))
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of header and records of each buffer.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn align(&self) -> usize {
        self.align
    }

    pub(super) fn head_room(&self) -> usize {
        self.head_room
    }

    /// From the header to where the next buffer begins.
    pub(super) fn room_after_header(&self) -> usize {
        self.stride - self.head_room
    }

    /// The buffer with this number.
    #[inline]
    pub(super) fn buffer(&self, number: u32) -> Buffer<'_> {
        let number = number as usize;
        assert!(number < self.count, "a buffer of this pool");
        // SAFETY: one of the `count` buffers, so within the region, which lives as long as the borrow of `self`.
        unsafe {
            Buffer::new(
                self.first.add(number * self.stride),
                #[cfg(loom)]
                &self.watched[number],
            )
        }
    }

    /// Gives the memory of a buffer back, apart from so many bytes of header and records in front; of a buffer
    /// that keeps nothing, its head room, too.
    ///
    /// # Safety
    /// Nobody else may use the buffer, and whoever uses it next must expect nothing of its bytes.
    pub(super) unsafe fn shrink(&self, number: u32, keep: usize) {
        let used = self.head_room + HEADER + self.buffer(number).valid() as usize + self.align * 2;
        let kept = if keep == 0 { 0 } else { self.head_room.saturating_add(keep) };
        if used > kept {
            // All of the rest: more than was written may have been made resident.
            let start = number as usize * self.stride;
            // SAFETY: passed on to the caller.
            unsafe { self.region.discard(start + kept..start + self.stride) };
        }
    }

    /// Makes a buffer's memory resident, without changing it: so many bytes of header and records, or all.
    pub(super) fn populate(&self, number: u32, limit: usize) -> io::Result<()> {
        let start = number as usize * self.stride;
        let len = if limit < self.capacity { self.head_room + limit } else { self.stride };
        self.region.populate(start..start + len)
    }
}
