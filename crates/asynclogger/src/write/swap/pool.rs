//! The pool: all buffers of one or many logs, their states, and the stack of the free ones.

use std::{io, ptr::NonNull, sync::Arc};

#[cfg(loom)]
use super::buffer::Watched;
use super::{
    buffer::{Buffer, HEADER, SealedBuffer},
    wait::Waiters,
    word::{BufferIndex, BufferState, MAX_BUFFERS},
};
use crate::{
    Error, ErrorKind,
    format::block,
    mem::Region,
    sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

/// `next` of the last free buffer.
const END: u32 = u32::MAX;

/// What the pool knows of a buffer beside its bytes.
#[derive(Debug)]
struct Slot {
    /// A [`BufferState`].
    state: AtomicU64,
    /// Which log the state's shard belongs to; stored before the state that needs it.
    owner: AtomicU32,
    /// The free buffer below this one in the stack.
    next: AtomicU32,
    /// Bytes beyond the limit that were granted for the record in it.
    granted: AtomicUsize,
}

/// Buffers that have room for the longest record, and memory only for what is in them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elastic {
    /// Up to here, header included, a buffer takes what comes; beyond it, one record that is longer.
    pub(crate) limit: usize,
    /// What longer records may have beyond that in all buffers together, in bytes.
    pub(crate) beyond: usize,
    /// Of a buffer that is given back, so much stays resident, header included.
    pub(crate) keep: usize,
}

/// Buffers of one size, for one or many logs.
pub(crate) struct Pool {
    region: Region,
    slots: Box<[Slot]>,
    #[cfg(loom)]
    watched: Box<[Watched]>,
    /// The stack of free buffers, most recently freed first since its lines are still in the caches:
    /// `{ count of changes, top }`, so that a top that went and came back is not taken for unchanged.
    top: AtomicU64,
    align: usize,
    stride: usize,
    head_room: usize,
    capacity: usize,
    limit: usize,
    keep: usize,
    /// What is left of [`Elastic::beyond`].
    beyond: AtomicUsize,
    pub(super) waiters: Waiters,
}

impl Pool {
    /// `count` buffers whose header and records together have `capacity` bytes, for files of alignment
    /// `align`. None of their memory is resident yet.
    pub(crate) fn new(count: usize, capacity: usize, align: usize) -> Result<Pool, Error> {
        Pool::with(count, capacity, align, None)
    }

    /// The same; beyond `limit` bytes of header and records a buffer takes one record only, if that is longer.
    pub(crate) fn limited(
        count: usize,
        capacity: usize,
        align: usize,
        limit: usize,
    ) -> Result<Pool, Error> {
        // Each buffer has its memory, so there is always some for a long record.
        let (beyond, keep) = (usize::MAX / 2, usize::MAX);
        Pool::with(count, capacity, align, Some(Elastic { limit, beyond, keep }))
    }

    /// The same, with memory only for what is in the buffers.
    pub(crate) fn elastic(
        count: usize,
        capacity: usize,
        align: usize,
        elastic: Elastic,
    ) -> Result<Pool, Error> {
        Pool::with(count, capacity, align, Some(elastic))
    }

    fn with(
        count: usize,
        capacity: usize,
        align: usize,
        elastic: Option<Elastic>,
    ) -> Result<Pool, Error> {
        let too_many =
            || Error::new(ErrorKind::InvalidConfig, format!("{count} buffers of {capacity} bytes"));
        if count == 0 || count > MAX_BUFFERS || capacity <= HEADER {
            return Err(too_many());
        }
        let data_len = block::data_len(capacity - HEADER);
        let head_room = block::head_len(data_len, align);
        let stride = head_room + data_len + block::tail_len(data_len, align);
        let bytes = stride.checked_mul(count).ok_or_else(too_many)?;
        // Huge pages would cost an elastic buffer 2 MiB for its first byte.
        let gives_back = elastic.is_some_and(|elastic| elastic.keep < usize::MAX);
        let part = if gives_back { align } else { stride };
        let region = Region::anonymous(bytes, align, part)?;
        let whole = Elastic { limit: capacity, beyond: 0, keep: usize::MAX };
        let Elastic { limit, beyond, keep } = elastic.unwrap_or(whole);
        let slots = (0..count as u32)
            .map(|index| Slot {
                state: AtomicU64::new(BufferState::Free.bits()),
                owner: AtomicU32::new(0),
                next: AtomicU32::new(if index + 1 == count as u32 { END } else { index + 1 }),
                granted: AtomicUsize::new(0),
            })
            .collect();
        let (top, waiters) = (AtomicU64::new(0), Waiters::new());
        #[cfg(loom)]
        let watched = (0..count).map(|_| Watched::new(capacity)).collect();
        Ok(Pool {
            region,
            slots,
            #[cfg(loom)]
            watched,
            top,
            align,
            stride,
            head_room,
            capacity,
            limit: limit.min(capacity),
            keep,
            beyond: AtomicUsize::new(beyond),
            waiters,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Writers that wait for a buffer.
    pub(in crate::write) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Bytes of header and records of each buffer.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of header and records beyond which nothing is appended but to an empty buffer.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn head_room(&self) -> usize {
        self.head_room
    }

    pub(super) fn room_after_header(&self) -> usize {
        self.stride - self.head_room
    }

    #[inline]
    pub(super) fn buffer(&self, index: BufferIndex) -> Buffer<'_> {
        debug_assert!((index as usize) < self.slots.len());
        let offset = index as usize * self.stride + self.head_room;
        // SAFETY: indices come from this pool, so the header is within the region, which lives as long
        // as the borrow of `self`, and its pointer is not null.
        unsafe {
            Buffer::new(
                NonNull::new_unchecked(self.region.as_ptr().add(offset)),
                #[cfg(loom)]
                &self.watched[index as usize],
            )
        }
    }

    pub(crate) fn state(&self, index: BufferIndex) -> BufferState {
        // Acquire pairs with the Release of whoever stored the state: ACTIVE's owner and zeroed tail,
        // SEALED's records, are visible.
        BufferState::from_bits(self.slots[index as usize].state.load(Ordering::Acquire))
    }

    fn set_state(&self, index: BufferIndex, state: BufferState) {
        // Release: what was done to the buffer in its last state is visible to who sees the new one.
        self.slots[index as usize].state.store(state.bits(), Ordering::Release);
    }

    /// Which log a buffer that is not free belongs to; after [`Pool::state`] said so.
    pub(crate) fn owner(&self, index: BufferIndex) -> u32 {
        // Relaxed: stored before the state, whose load acquired it.
        self.slots[index as usize].owner.load(Ordering::Relaxed)
    }

    /// How many buffers wait to be written, for any log.
    pub(crate) fn sealed_count(&self) -> usize {
        let waiting =
            |state| matches!(state, BufferState::Sealed { .. } | BufferState::Writing { .. });
        (0..self.slots.len() as u32).filter(|index| waiting(self.state(*index))).count()
    }

    /// Takes the most recently freed buffer out of the stack; it stays FREE until it is activated.
    pub(crate) fn take(&self) -> Option<BufferIndex> {
        // Acquire pairs with the Release of `push`: the slot's `next` is visible, and whatever the
        // flusher did to the buffer happened before.
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            let index = top as u32;
            if index == END {
                return None;
            }
            let next = self.slots[index as usize].next.load(Ordering::Relaxed);
            // A `next` that is stale belongs to an older count of changes, so this fails.
            let below = changed(top, next);
            match self.top.compare_exchange_weak(top, below, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(current) => top = current,
            }
        }
    }

    /// [`take`](Pool::take), for a record that needs so many bytes with the header. One that is longer than
    /// the limit needs a grant, too.
    pub(crate) fn take_for(&self, needed: usize) -> Option<BufferIndex> {
        let more = needed.saturating_sub(self.limit);
        if more == 0 {
            return self.take();
        }
        if !self.grant(more) {
            return None;
        }
        let taken = self.take();
        match taken {
            Some(index) => self.slots[index as usize].granted.store(more, Ordering::Relaxed),
            None => {
                self.beyond.fetch_add(more, Ordering::Relaxed);
            }
        }
        taken
    }

    /// Takes so much of what longer records may have. Relaxed: a count, no data.
    fn grant(&self, more: usize) -> bool {
        let mut left = self.beyond.load(Ordering::Relaxed);
        while left >= more {
            let relaxed = Ordering::Relaxed;
            match self.beyond.compare_exchange_weak(left, left - more, relaxed, relaxed) {
                Ok(_) => return true,
                Err(current) => left = current,
            }
        }
        false
    }

    /// Whether [`take_for`](Pool::take_for) would find a buffer now.
    pub(crate) fn has_room_for(&self, needed: usize) -> bool {
        let more = needed.saturating_sub(self.limit);
        self.has_free() && (more == 0 || self.beyond.load(Ordering::Relaxed) >= more)
    }

    fn push(&self, index: BufferIndex) {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            self.slots[index as usize].next.store(top as u32, Ordering::Relaxed);
            // Release pairs with the Acquire in `take`.
            let above = changed(top, index);
            match self.top.compare_exchange_weak(top, above, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => top = current,
            }
        }
    }

    /// The buffer that the next swap will take, if nothing happens before it.
    pub(crate) fn next_free(&self) -> Option<BufferIndex> {
        let index = self.top.load(Ordering::Relaxed) as u32;
        (index != END).then_some(index)
    }

    /// Whether a swap would find a buffer now.
    pub(crate) fn has_free(&self) -> bool {
        self.next_free().is_some()
    }

    /// How many buffers are free, or on the way into or out of the stack.
    pub(crate) fn free_count(&self) -> usize {
        let is_free = |index: &u32| self.state(*index) == BufferState::Free;
        (0..self.slots.len() as u32).filter(is_free).count()
    }

    /// Whether fewer than a quarter of the buffers are free; after the caller's news.
    pub(crate) fn is_short(&self) -> bool {
        // Of several who take buffers at once the last one sees what all of them took.
        fence(Ordering::SeqCst);
        self.free_count() * 4 < self.len()
    }

    /// Makes a taken buffer the active one of a shard: empty, and then ACTIVE.
    pub(super) fn activate(&self, index: BufferIndex, owner: u32, shard: u32, generation: u64) {
        self.buffer(index).publish(0);
        self.slots[index as usize].owner.store(owner, Ordering::Relaxed);
        self.set_state(index, BufferState::Active { shard, generation });
    }

    /// Marks a buffer that its shard has given up.
    pub(super) fn seal(&self, index: BufferIndex, shard: u32, generation: u64) {
        self.set_state(index, BufferState::Sealed { shard, generation });
    }

    /// Takes a sealed buffer for writing; `None` if it is not sealed (any more).
    pub(crate) fn take_sealed(self: &Arc<Pool>, index: BufferIndex) -> Option<SealedBuffer> {
        let state @ BufferState::Sealed { shard, generation } = self.state(index) else {
            return None;
        };
        let writing = BufferState::Writing { shard, generation }.bits();
        let slot = &self.slots[index as usize];
        // Acquire as in `state`. An RMW, so that of two takers one gets it.
        slot.state
            .compare_exchange(state.bits(), writing, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        // SAFETY: we just moved it from SEALED to WRITING.
        Some(unsafe { SealedBuffer::new(self.clone(), index) })
    }

    /// Gives a buffer back and wakes a waiting writer, if there is one.
    pub(super) fn free(&self, index: BufferIndex) {
        self.shrink(index);
        let granted = self.slots[index as usize].granted.swap(0, Ordering::Relaxed);
        self.set_state(index, BufferState::Free);
        self.push(index);
        if granted == 0 {
            self.waiters.buffer_freed();
        } else {
            // Who waits for a grant and who waits for a buffer are in the same queues.
            self.beyond.fetch_add(granted, Ordering::Relaxed);
            self.waiters.look_again();
        }
    }

    /// Gives the memory of a buffer back that it does not keep. It is still the caller's alone.
    fn shrink(&self, index: BufferIndex) {
        if self.keep == usize::MAX {
            return;
        }
        let end = self.head_room + HEADER + self.buffer(index).valid() as usize + self.align * 2;
        // Of one that keeps nothing, the head goes too.
        let kept = if self.keep == 0 { 0 } else { self.head_room + self.keep };
        if end > kept {
            // All of the rest: more than was written may have been made resident.
            let start = index as usize * self.stride;
            let end = self.stride;
            // SAFETY: whoever frees a buffer is the last one to have it, and the next one begins with
            // `activate`, which expects nothing of its bytes.
            unsafe { self.region.discard(start + kept..start + end) };
        }
    }

    /// Wakes all writers that wait for a buffer of this log: it is closed.
    pub(crate) fn wake_writers(&self, log: u32) {
        self.waiters.wake_log(log);
    }

    /// A copy of what is published in a buffer that somebody may still write to, sealed, in memory of
    /// its own. `None` if there is no memory for it.
    pub(crate) fn copy_published(&self, index: BufferIndex) -> Option<SealedBuffer> {
        let pool = Arc::new(Pool::new(1, self.capacity, self.align).ok()?);
        let copy = pool.take()?;
        pool.activate(copy, 0, 0, 0);
        pool.buffer(copy).copy_published(self.buffer(index));
        pool.seal(copy, 0, 0);
        pool.take_sealed(copy)
    }

    /// Makes a buffer's memory resident, without changing it.
    pub(crate) fn populate(&self, index: BufferIndex) -> io::Result<()> {
        let start = index as usize * self.stride;
        // Of an elastic buffer, what it takes without a grant.
        let end =
            if self.limit < self.capacity { self.head_room + self.limit } else { self.stride };
        self.region.populate(start..start + end)
    }
}

/// `{ count of changes + 1, index }`.
fn changed(top: u64, index: u32) -> u64 {
    ((top >> 32) + 1) << 32 | u64::from(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::common::BlockMemory;

    #[test]
    fn the_free_list_is_a_stack() {
        let pool = Pool::new(3, 1 << 16, 4096).expect("pool");
        let order: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(order, [0, 1, 2]);
        assert!(!pool.has_free());
        pool.free(1);
        pool.free(0);
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some(0), Some(1), None));
    }

    #[test]
    fn a_sealed_buffer_is_taken_once() {
        let pool = Arc::new(Pool::new(2, 1 << 16, 4096).expect("pool"));
        let index = pool.take().expect("a free buffer");
        pool.activate(index, 5, 3, 9);
        assert!(pool.take_sealed(index).is_none());
        pool.seal(index, 3, 9);
        assert_eq!((pool.owner(index), pool.sealed_count()), (5, 1));
        let mut sealed = pool.take_sealed(index).expect("sealed");
        assert!(pool.take_sealed(index).is_none());
        sealed.free();
        assert_eq!(pool.state(index), BufferState::Free);
        assert_eq!(pool.take(), Some(index));
    }

    #[test]
    fn the_block_of_a_full_buffer_fits() {
        for (capacity, align) in [(1 << 16, 4096), ((1 << 16) + 1, 4096), (100_000, 65_536)] {
            let pool = Pool::new(1, capacity, align).expect("pool");
            let mut info = crate::format::BlockInfo::default();
            info.set_lengths((capacity - HEADER) as u32, align);
            assert!(info.head_len as usize <= pool.head_room());
            assert!((info.data_len + info.tail_len) as usize <= pool.room_after_header());
        }
    }
}
