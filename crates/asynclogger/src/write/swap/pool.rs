//! The pool: all buffers of a log, their states, and which of them are free.

use std::path::PathBuf;

use super::{
    buffer::Buffer,
    free_stack::FreeStack,
    grants::Grants,
    growth::Growth,
    memory::{Form, Memory},
    stages::Stages,
    wait::Waiters,
    word::{BufferState, MAX_BUFFERS},
};
use crate::{
    Error, ErrorKind,
    mem::Counter,
    sync::{Arc, AtomicU64, Ordering, fence},
    write::{
        common::fault,
        crash::{CrashMap, LogAccount},
    },
};

/// A buffer of this pool. Only the pool makes an index, from a number that the pool has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BufferIndex(u32);

impl BufferIndex {
    /// The number for the word of a shard, which has no room for more.
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// Settings for buffers that have address space for the longest record, and memory only for their content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elastic {
    /// Bytes, header included, up to which a buffer takes any record. Beyond them an empty buffer takes one longer
    /// record.
    pub(crate) limit: usize,
    /// Bytes beyond `limit` that longer records can have in all buffers together.
    pub(crate) beyond: usize,
    /// Bytes, header included, that stay resident of a buffer that is given back.
    pub(crate) keep: usize,
}

impl Elastic {
    /// A limit for buffers that each have memory of their own: a long record always finds enough.
    fn beyond(limit: usize) -> Elastic {
        Elastic { limit, beyond: usize::MAX / 2, keep: usize::MAX }
    }
}

/// The buffers of one log, all of one size.
///
/// Two fixed buffers for each shard would waste memory, because threads do not log at the same rate: a busy shard would
/// drop records while the buffers of idle shards stay empty. So a shard takes a buffer from the pool when it needs one,
/// and one busy thread can use nearly all of the memory while the flusher is behind. A queue of sealed buffers between
/// writers and flusher could hold them in another order than their shards sealed them. So the state of a buffer is a
/// word of its own that names the buffer's shard and generation: the flusher scans the states, and finds in them
/// which buffers to write and in which order.
pub(crate) struct Pool {
    memory: Memory,
    /// A [`BufferState`] for each buffer.
    states: Box<[AtomicU64]>,
    free: FreeStack,
    grants: Grants,
    /// Bytes, header included, that stay resident of a free buffer.
    keep: usize,
    waiters: Waiters,
    /// The map in which the buffers lie, if they are to outlive the process: the owner of each is noted there.
    map: Option<Arc<CrashMap>>,
    /// How much of a new map is allocated; `None`: all of the memory that is used.
    growth: Option<Growth>,
    stages: Stages,
    /// What the times of records are taken from, if they have times.
    counter: Option<Counter>,
}

impl Pool {
    /// Makes `count` buffers whose header and records together have `capacity` bytes, for files of alignment
    /// `align`. None of their memory is resident yet.
    ///
    /// # Errors
    /// If such a pool is impossible, or the system has no memory for it.
    #[cfg(test)]
    pub(crate) fn new(count: usize, capacity: usize, align: usize) -> Result<Pool, Error> {
        Pool::of(count, Form::new(capacity, align), None, None)
    }

    /// [`Pool::new`] with a limit: beyond `limit` bytes of header and records a buffer holds only a single record
    /// that is longer.
    ///
    /// # Errors
    /// Those of [`Pool::new`].
    pub(super) fn limited(
        count: usize,
        form: Form,
        limit: usize,
        counter: Option<Counter>,
    ) -> Result<Pool, Error> {
        let form = form.timed(counter.is_some());
        Pool::of(count, form, Some(Elastic::beyond(limit)), counter)
    }

    /// A pool of one buffer like those of another pool.
    ///
    /// # Errors
    /// Those of [`Pool::new`].
    pub(super) fn one_like(other: &Pool) -> Result<Pool, Error> {
        Pool::of(1, other.memory.form(), None, other.counter)
    }

    /// What the times of records are taken from; `None`: they have no times.
    #[inline]
    pub(super) fn counter(&self) -> Option<Counter> {
        self.counter
    }

    /// The map that the buffers lie in, if they are to outlive the process.
    pub(in crate::write) fn map(&self) -> Option<&Arc<CrashMap>> {
        self.map.as_ref()
    }

    /// The account of the one log that these buffers are written to; a manager's shared buffers have none.
    pub(in crate::write) fn account(&self) -> Option<LogAccount> {
        let map = self.map.as_ref().filter(|map| map.head().logs == 0);
        map.map(|map| LogAccount::of(map, 0))
    }

    /// [`Pool::limited`] with memory only for the content of the buffers.
    ///
    /// # Errors
    /// Those of [`Pool::new`].
    pub(crate) fn elastic(
        count: usize,
        capacity: usize,
        align: usize,
        elastic: Elastic,
        counter: Option<Counter>,
    ) -> Result<Pool, Error> {
        let form = Form::new(capacity, align).timed(counter.is_some());
        Pool::of(count, form, Some(elastic), counter)
    }

    pub(super) fn of(
        count: usize,
        form: Form,
        elastic: Option<Elastic>,
        counter: Option<Counter>,
    ) -> Result<Pool, Error> {
        // Huge pages would cost an elastic buffer 2 MiB for its first byte.
        let gives_back = elastic.is_some_and(|elastic| elastic.keep < usize::MAX);
        let memory =
            if count <= MAX_BUFFERS { Memory::new(count, form, !gives_back) } else { None };
        let memory = memory.unwrap_or_else(|| {
            let what = format!("{count} buffers of {} bytes", form.capacity());
            Err(Error::new(ErrorKind::InvalidConfig, what))
        })?;
        let mut pool = Pool::with(memory, elastic);
        pool.counter = counter;
        Ok(pool)
    }

    /// The buffers of a map, with a limit. `are_free`: writers can take them, and their first parts are allocated.
    pub(super) fn kept(memory: Memory, limit: usize, map: Arc<CrashMap>, are_free: bool) -> Pool {
        let mut pool = Pool::with(memory, Some(Elastic::beyond(limit)));
        pool.counter = map.head().times.checked_sub(1).and_then(Counter::of);
        pool.map = Some(map);
        if are_free {
            pool.growth = Some(Growth::new(pool.len(), pool.capacity()));
        } else {
            pool.free = FreeStack::empty(pool.len() as u32);
        }
        pool
    }

    fn with(memory: Memory, elastic: Option<Elastic>) -> Pool {
        let (count, capacity) = (memory.count(), memory.capacity());
        let grants = match elastic {
            None => Grants::none(count, capacity),
            Some(elastic) => Grants::new(count, elastic.limit.min(capacity), elastic.beyond),
        };
        let free = BufferState::Free.bits();
        Pool {
            memory,
            states: (0..count).map(|_| AtomicU64::new(free)).collect(),
            free: FreeStack::full(count as u32),
            grants,
            keep: elastic.map_or(usize::MAX, |elastic| elastic.keep),
            waiters: Waiters::new(),
            map: None,
            growth: None,
            stages: Stages::new(count),
            counter: None,
        }
    }

    /// The path of the map, if the logger is crash-safe.
    pub(crate) fn map_path(&self) -> Option<PathBuf> {
        self.map.as_ref().and_then(|map| map.path())
    }

    /// Removes the map if all its records are in files.
    pub(crate) fn give_up_map(&self) {
        if let Some(map) = &self.map {
            map.remove_if_empty();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.memory.count()
    }

    /// The writers that wait for a buffer.
    pub(in crate::write) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Bytes of header and records of each buffer.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// Bytes of header and records beyond which only an empty buffer takes a record.
    #[inline]
    pub(super) fn limit(&self) -> usize {
        self.grants.limit()
    }

    pub(super) fn stages(&self) -> &Stages {
        &self.stages
    }

    pub(super) fn growth(&self) -> Option<&Growth> {
        self.growth.as_ref()
    }

    pub(super) fn free_stack(&self) -> &FreeStack {
        &self.free
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The index for a number from the word of a shard.
    pub(super) fn index(&self, number: u32) -> BufferIndex {
        assert!((number as usize) < self.len(), "a buffer of this pool");
        BufferIndex(number)
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = BufferIndex> + use<> {
        (0..self.len() as u32).map(BufferIndex)
    }

    /// The place of the buffer for a number from the word of a shard.
    #[inline]
    pub(super) fn place(&self, number: u32) -> Buffer<'_> {
        self.memory.buffer(number)
    }

    pub(super) fn buffer(&self, index: BufferIndex) -> Buffer<'_> {
        self.memory.buffer(index.0)
    }

    pub(super) fn state(&self, index: BufferIndex) -> BufferState {
        // Acquire pairs with the Release in `set_state`: ACTIVE's zeroed tail and SEALED's records are visible.
        BufferState::from_bits(self.states[index.0 as usize].load(Ordering::Acquire))
    }

    fn set_state(&self, index: BufferIndex, state: BufferState) {
        // Release: a thread that sees the new state sees all changes that were made to the buffer in the old one.
        self.states[index.0 as usize].store(state.bits(), Ordering::Release);
    }

    /// How many buffers wait to be written.
    pub(crate) fn sealed_count(&self) -> usize {
        let waits =
            |state| matches!(state, BufferState::Sealed { .. } | BufferState::Writing { .. });
        self.indices().filter(|index| waits(self.state(*index))).count()
    }

    /// Whether a shard has an active buffer.
    pub(in crate::write) fn has_active(&self) -> bool {
        self.indices().any(|index| matches!(self.state(index), BufferState::Active { .. }))
    }

    /// Whether the pool has a sealed buffer that `is_next` wants, by its shard and generation.
    pub(in crate::write) fn has_sealed(&self, is_next: impl Fn(u32, u64) -> bool) -> bool {
        self.indices().any(|index| match self.state(index) {
            BufferState::Sealed { shard, generation } => is_next(shard, generation),
            _ => false,
        })
    }

    /// Takes the most recently freed buffer, for a record that needs `needed` bytes, header included. A record beyond
    /// the limit needs a grant, too.
    pub(super) fn take(&self, needed: usize) -> Option<Taken<'_>> {
        let more = self.grants.beyond(needed);
        if !self.grants.take(more) {
            return None;
        }
        let Some(number) = self.take_free(needed) else {
            self.grants.give_back(more);
            return None;
        };
        self.grants.assign(number as usize, more);
        Some(Taken { pool: self, index: BufferIndex(number) })
    }

    /// Whether [`take`](Pool::take) would find a buffer now.
    pub(super) fn has_room_for(&self, needed: usize) -> bool {
        self.free.top().is_some_and(|number| self.may_have(number, needed))
            && self.grants.has(self.grants.beyond(needed))
    }

    /// The buffer that the next swap will take, unless another buffer is freed or taken first.
    pub(super) fn next_free(&self) -> Option<BufferIndex> {
        self.free.top().map(BufferIndex)
    }

    /// How many buffers are free, or on the way into or out of the stack. Those without memory do not count.
    pub(crate) fn free_count(&self) -> usize {
        let free = self.indices().filter(|index| self.state(*index) == BufferState::Free).count();
        free.saturating_sub(self.growth.as_ref().map_or(0, Growth::aside))
    }

    /// Whether fewer than a quarter of the buffers are free. Call this after taking a buffer.
    pub(crate) fn is_short(&self) -> bool {
        // If several threads take buffers at once, the last one sees all that were taken.
        fence(Ordering::SeqCst);
        self.free_count() * 4 < self.len()
    }

    /// Marks a buffer as given up by its shard.
    pub(super) fn seal(&self, index: BufferIndex, shard: u32, generation: u64) {
        self.set_state(index, BufferState::Sealed { shard, generation });
    }

    /// Moves a sealed buffer to WRITING, and returns its shard and generation. `None` if the buffer is not sealed (any
    /// more), or if `is_next` does not want it.
    pub(super) fn begin_writing(
        &self,
        index: BufferIndex,
        is_next: impl Fn(u32, u64) -> bool,
    ) -> Option<(u32, u64)> {
        let state @ BufferState::Sealed { shard, generation } = self.state(index) else {
            return None;
        };
        if !is_next(shard, generation) {
            return None;
        }
        let writing = BufferState::Writing { shard, generation }.bits();
        let word = &self.states[index.0 as usize];
        // Acquire as in `state`. A read-modify-write, so that only one of two takers gets the buffer.
        word.compare_exchange(state.bits(), writing, Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some((shard, generation))
    }

    /// Frees a buffer in state WRITING, and wakes a waiting writer, if there is one.
    ///
    /// # Safety
    /// The caller must be the only user of the buffer, and must never use it again.
    #[expect(unsafe_code, reason = "another thread can take a free buffer at once")]
    pub(super) unsafe fn free(&self, index: BufferIndex) {
        if self.keep < usize::MAX {
            // SAFETY: the caller is the only user of the buffer. The next user begins with `activate`, which
            // expects nothing of the bytes.
            unsafe { self.memory.shrink(index.0, self.keep) };
        }
        // Before the buffer is free: its next owner is noted after that.
        if let Some(map) = &self.map {
            map.disown(index.0);
            fault::kill_point("a buffer has no owner");
        }
        let granted = self.grants.withdraw(index.0 as usize);
        self.set_state(index, BufferState::Free);
        self.free.push(index.0);
        if granted == 0 {
            self.waiters.buffer_freed();
        } else {
            // Writers that wait for a grant are in the same queues as writers that wait for a buffer.
            self.grants.give_back(granted);
            self.waiters.look_again();
        }
    }
}

impl Drop for Pool {
    /// A map that was made for these buffers goes with them, unless it still holds records. The map of a dead process is
    /// removed by its salvager alone.
    fn drop(&mut self) {
        if self.map.as_ref().is_some_and(|map| map.is_new()) {
            self.give_up_map();
        }
    }
}

/// A buffer that was taken from the free stack and is not active yet: this value is its only owner.
#[must_use]
pub(super) struct Taken<'a> {
    pool: &'a Pool,
    index: BufferIndex,
}

impl Taken<'_> {
    /// Makes the buffer the active one of a shard: first empties it, and then marks it ACTIVE.
    pub(super) fn activate(self, shard: u32, generation: u64) -> BufferIndex {
        let Taken { pool, index } = self;
        if pool.map.is_some() {
            fault::kill_point("a buffer was taken");
        }
        pool.buffer(index).publish(0);
        // After the count of its bytes: else a process killed in between would leave the old records to the new owner.
        if let Some(map) = &pool.map {
            map.own(index.0, shard, generation);
        }
        pool.set_state(index, BufferState::Active { shard, generation });
        index
    }
}

#[cfg(test)]
mod tests {
    use super::{super::buffer::HEADER, *};

    #[test]
    fn the_block_of_a_full_buffer_fits() {
        for (capacity, align) in [(1 << 16, 4096), ((1 << 16) + 1, 4096), (100_000, 65_536)] {
            let pool = Pool::new(1, capacity, align).expect("pool");
            let mut info = crate::format::BlockInfo::default();
            info.set_lengths((capacity - HEADER) as u32, align);
            assert!(info.head_len as usize <= pool.memory().head_room());
            assert!((info.data_len + info.tail_len) as usize <= pool.memory().room_after_header());
        }
    }

    #[test]
    fn a_long_record_needs_a_grant_and_its_buffer_gives_it_back() {
        let elastic = Elastic { limit: 8192, beyond: 10_000, keep: 0 };
        let pool = Pool::elastic(3, 1 << 16, 4096, elastic, None).expect("pool");
        assert!(pool.has_room_for(18_192) && !pool.has_room_for(18_193));
        assert!(pool.take(18_193).is_none());
        let index = pool.take(18_000).expect("granted").activate(0, 0);
        assert!(pool.has_room_for(8384) && !pool.has_room_for(8385));
        pool.seal(index, 0, 0);
        assert_eq!(pool.begin_writing(index, |_, _| false), None);
        assert_eq!(pool.begin_writing(index, |_, _| true), Some((0, 0)));
        assert_eq!(pool.begin_writing(index, |_, _| true), None);
        assert_eq!((pool.free_count(), pool.sealed_count()), (2, 1));
        #[expect(unsafe_code, reason = "as its SealedBuffer would")]
        // SAFETY: the buffer was moved to WRITING here, and is not used again.
        unsafe {
            pool.free(index);
        }
        assert!(pool.has_room_for(18_192));
        assert_eq!((pool.free_count(), pool.sealed_count()), (3, 0));
    }
}
