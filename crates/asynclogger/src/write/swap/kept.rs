//! Buffers in memory that outlives the process: those of a crash-safe logger or manager, and those of a dead one.

use std::{ops::Range, os::unix::ffi::OsStringExt, path::Path};

use super::{
    buffer::HEADER,
    growth::first_parts,
    memory::{Form, Memory},
    pool::{BufferIndex, Pool},
    word::{BufferState, MAX_BUFFERS},
};
use crate::{
    Config, Error, ErrorKind, LogId,
    format::{
        Column, MapHead, Scale,
        block::timed_head_len,
        column::{BYTES_A_TIME, SCALE_LEN, column_len, times_upto},
        record::Records,
    },
    mem::Counter,
    sync::Arc,
    write::{
        common::{When, wall_clock},
        crash::{CrashMap, Owned, Remains, boot_id},
    },
};

impl Pool {
    /// The buffers of a logger, in a map if the logger is crash-safe.
    ///
    /// # Errors
    /// Those of [`Pool::new`]; [`ErrorKind::CrashMap`].
    pub(crate) fn of_logger(
        config: &Config,
        align: usize,
        limit: usize,
        log_id: LogId,
        session: u64,
    ) -> Result<Pool, Error> {
        let (count, capacity) = (2 * config.num_shards, config.shard_capacity());
        let counter = config.timestamps.is_on().then(Counter::choose);
        let form = Form::new(capacity, align).timed(counter.is_some());
        if let (Some(place), Some(bytes)) = (&config.crash_safe, Pool::bytes(count, form)) {
            let mut head = map_head(config, align, log_id, session);
            head.times = counter.map_or(0, |counter| 1 + counter as u32);
            let parts = first_parts(count, form);
            if let Some(map) = CrashMap::create(place, &head, bytes, &parts)? {
                return Pool::in_map(Arc::new(map), limit);
            }
        }
        Pool::limited(count, form, limit, counter)
    }

    /// The bytes of memory that [`limited`](Pool::limited) needs, for a map; `None` if such a pool is impossible.
    pub(in crate::write) fn bytes(count: usize, form: Form) -> Option<usize> {
        if count <= MAX_BUFFERS { Memory::bytes(count, form) } else { None }
    }

    /// What the opening of such buffers allocates.
    pub(in crate::write) fn first_parts(count: usize, form: Form) -> Vec<Range<usize>> {
        first_parts(count, form)
    }

    /// The buffers of a new map, with a limit. Their first parts are allocated.
    ///
    /// # Errors
    /// If the map has no room for them.
    pub(in crate::write) fn in_map(map: Arc<CrashMap>, limit: usize) -> Result<Pool, Error> {
        let memory = memory_in(&map).ok_or_else(|| {
            Error::new(ErrorKind::CrashMap, "the map has no room for the buffers")
        })?;
        Ok(Pool::kept(memory, limit, map, true))
    }

    /// The buffers of the map of a dead process, as its account says: those with records that are in no file are
    /// sealed, the others are free. Returns also the generation at which each shard ends.
    ///
    /// # Errors
    /// What contradicts the account.
    pub(in crate::write) fn adopted(
        map: &Arc<CrashMap>,
        remains: &Remains,
    ) -> Result<(Pool, Vec<u64>), String> {
        let memory = memory_in(map).ok_or("it has no room for its buffers")?;
        // No writer ever takes a buffer of this pool.
        let pool = Pool::kept(memory, usize::MAX, map.clone(), false);
        let mut ends: Vec<_> = remains.tracks.iter().map(|track| track.next_generation).collect();
        let mut waiting = 0;
        for owned in map.owned()? {
            let Some(is_placed) = remains.waits(owned.shard, owned.generation) else {
                continue;
            };
            let (index, end) = match (owned.buffer, ends.get_mut(owned.shard as usize)) {
                (buffer, Some(end)) if (buffer as usize) < pool.len() => (pool.index(buffer), end),
                _ => return Err("a buffer belongs to no shard".into()),
            };
            pool.check_records(index)?;
            pool.seal(index, owned.shard, owned.generation);
            *end = (*end).max(owned.generation + 1);
            waiting += u64::from(!is_placed);
        }
        // Each generation from the next one on has a buffer. So there are as many of them as generations.
        let next = remains.tracks.iter().map(|track| track.next_generation);
        let missing = ends.iter().zip(next).map(|(end, next)| end - next).sum::<u64>();
        if missing != waiting {
            return Err(format!("{waiting} buffers wait to be written, and {missing} should"));
        }
        Ok((pool, ends))
    }

    /// The shared buffers of a dead manager that are in use, those of a shard in their order. It is settled how the times
    /// of their records are to be read: the next salvager reads them in the same way.
    ///
    /// # Errors
    /// What contradicts the account.
    pub(in crate::write) fn left_in(map: &Arc<CrashMap>) -> Result<Vec<LeftBuffer>, String> {
        let memory = memory_in(map).ok_or("it has no room for its buffers")?;
        let pool = Pool::kept(memory, usize::MAX, map.clone(), false);
        let mut owned: Vec<_> = map.owned()?;
        owned.sort_unstable_by_key(|owned| (owned.shard, owned.generation));
        let (mut left, mut before) = (Vec::new(), None);
        for Owned { buffer, shard, .. } in owned {
            if buffer as usize >= pool.len() {
                return Err("there are more owners than buffers".to_owned());
            }
            let index = pool.index(buffer);
            let (count, _) = pool.check_records(index)?;
            let valid = pool.buffer(index).valid() as usize;
            // SAFETY: `check_records` has shown that the range is within the buffer, and its process is dead.
            let bytes = unsafe { pool.buffer(index).slice(0, HEADER + valid) }.to_vec();
            let reached = before.filter(|(of, _)| *of == shard).map(|(_, reached)| reached);
            let times = pool.settled_times(index, count as usize, reached.unwrap_or(i64::MIN));
            before = times.last().map(|last| (shard, last.wall()));
            left.push(LeftBuffer { buffer, bytes, times });
        }
        Ok(left)
    }

    /// The times of the first `count` records of a buffer of a dead process, as they are read from now on; none, if records
    /// have no times. `check_records` has passed.
    fn settled_times(&self, index: BufferIndex, count: usize, reached: i64) -> Vec<When> {
        // SAFETY: the process that wrote the buffer is dead.
        let Some(scale) = (unsafe { self.scale_of(index, reached) }) else {
            return Vec::new();
        };
        let buffer = self.buffer(index);
        // SAFETY: as above, and `check_column` has shown that the column is within the head room.
        let head = unsafe {
            buffer.write_scale(&scale);
            buffer.slice(SCALE_LEN + column_len(count), 0)
        };
        let column = Column::of(head.get(..column_len(count)).unwrap_or_default());
        column.entries().map(|entry| When::of(&scale, entry)).collect()
    }

    /// The number of records, and of their bytes, in the sealed buffers of a dead process.
    ///
    /// # Errors
    /// What is damaged.
    pub(in crate::write) fn sealed_records(&self) -> Result<(u64, u64), String> {
        let buffers = (0..self.len() as u32).map(|number| self.index(number));
        let is_sealed =
            |index: &BufferIndex| matches!(self.state(*index), BufferState::Sealed { .. });
        buffers.filter(is_sealed).try_fold((0, 0), |(records, bytes), index| {
            let (more, payload) = self.check_records(index)?;
            Ok((records + more, bytes + payload))
        })
    }

    /// Checks that the records of a buffer end where its count of valid bytes says. Returns their number, and the number
    /// of their bytes.
    fn check_records(&self, index: BufferIndex) -> Result<(u64, u64), String> {
        let valid = self.buffer(index).valid() as usize;
        if valid > self.capacity() - HEADER {
            return Err(format!("a buffer has {valid} valid bytes"));
        }
        // Its process had memory for all that it wrote. Damage can say otherwise, and touching a page that the file
        // system cannot give would be the end of this process.
        if let Some(map) = self.map() {
            let block = self.memory().block(index.number(), HEADER + valid);
            let allocated = map.allocate(&block);
            allocated.map_err(|error| format!("a buffer has no memory: {error}"))?;
        }
        // SAFETY: the range is within the buffer, and the process that wrote it is dead.
        let bytes = unsafe { self.buffer(index).slice(0, HEADER + valid) };
        let mut records = Records::new(bytes, HEADER);
        let (mut count, mut payload) = (0, 0);
        for (_, record) in records.by_ref() {
            (count, payload) = (count + 1, payload + record.len() as u64);
        }
        if records.offset() != HEADER + valid {
            return Err("the lengths of a buffer's records do not add up".into());
        }
        if self.counter().is_some() {
            self.check_column(index, count as usize, valid)?;
        }
        Ok((count, payload))
    }

    /// Checks that the column of a buffer's times has room for this number of them, and memory.
    fn check_column(&self, index: BufferIndex, count: usize, valid: usize) -> Result<(), String> {
        if count > times_upto(self.capacity()) {
            return Err(format!("a buffer has {count} records, and no room for their times"));
        }
        if let Some(map) = self.map() {
            let form = self.memory().form();
            let head = timed_head_len(crate::format::block::data_len(valid), count, form.align());
            let allocated = map.allocate(&self.memory().head_of(index.number(), head));
            allocated.map_err(|error| format!("a buffer has no memory for times: {error}"))?;
        }
        Ok(())
    }

    /// Sealed buffers with these records, for one shard from this generation on.
    ///
    /// # Errors
    /// If the system has no memory for them.
    pub(in crate::write) fn filled(
        blocks: &[Filling],
        first: u64,
        align: usize,
    ) -> Result<Pool, Error> {
        let needed = |block: &Filling| {
            let times = block.times.as_ref().map_or(0, |(_, entries)| entries.len());
            (HEADER + block.records.len().max(1)).max(times * BYTES_A_TIME)
        };
        let capacity = blocks.iter().map(needed).max().unwrap_or(HEADER + 1);
        // The scales are known, so no counter is ever read.
        let is_timed = blocks.iter().any(|block| block.times.is_some());
        let counter = is_timed.then_some(Counter::Clock);
        let form = Form::new(capacity, align).timed(is_timed);
        let pool = Pool::of(blocks.len().max(1), form, None, counter)?;
        for (block, generation) in blocks.iter().zip(first..) {
            let Some(taken) = pool.take(HEADER) else {
                continue;
            };
            let index = taken.activate(0, generation);
            pool.fill(index, block);
            pool.seal(index, 0, generation);
        }
        Ok(pool)
    }

    fn fill(&self, index: BufferIndex, block: &Filling) {
        let (bytes, buffer) = (&block.records, self.buffer(index));
        assert!(HEADER + bytes.len() <= self.capacity());
        // SAFETY: the range is within the buffer, and the pool is not shared yet.
        unsafe { buffer.slice_mut(HEADER, bytes.len()) }.copy_from_slice(bytes);
        if let Some((scale, entries)) = &block.times {
            assert!(self.counter().is_some() && entries.len() <= times_upto(self.capacity()));
            // SAFETY: the column has room for the entries, and the pool is not shared yet.
            unsafe {
                buffer.write_scale(scale);
                for (number, entry) in entries.iter().enumerate() {
                    buffer.write_time(number, *entry);
                }
            }
        }
        buffer.publish(bytes.len() as u32);
    }
}

/// A shared buffer of a dead manager: its number, header and records, and the times of the records, if they have times.
pub(in crate::write) struct LeftBuffer {
    pub(in crate::write) buffer: u32,
    pub(in crate::write) bytes: Vec<u8>,
    pub(in crate::write) times: Vec<When>,
}

/// What a block is to be filled with: a run of whole records, and a column of their times, if they have times.
#[derive(Default)]
pub(in crate::write) struct Filling {
    pub(in crate::write) records: Vec<u8>,
    pub(in crate::write) times: Option<(Scale, Vec<u32>)>,
}

/// The memory of the buffers of a map; `None` if the map has no room for them.
fn memory_in(map: &CrashMap) -> Option<Memory> {
    let head = map.head();
    let form = Form::new(head.capacity as usize, head.align as usize).timed(head.times != 0);
    Memory::shared(map.memory(), head.buffers as usize, form)
}

/// The head of the map of a logger.
fn map_head(config: &Config, align: usize, log_id: LogId, session: u64) -> MapHead {
    let bytes = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.into_os_string().into_vec()
    };
    let name = config.path().file_name().unwrap_or_default();
    let away = config.failover_dir.as_ref().map(|directory| bytes(&directory.join(name)));
    let buffers = 2 * config.num_shards as u32;
    MapHead {
        log_id,
        session,
        boot: boot_id(),
        pid: std::process::id(),
        made: wall_clock(),
        align: align as u32,
        capacity: config.shard_capacity() as u32,
        buffers,
        shards: config.num_shards as u32,
        // All parts can move to another file: then their entries are there twice for a moment.
        slots: (4 * buffers + 256).next_power_of_two(),
        path: bytes(config.path()),
        away: away.unwrap_or_default(),
        logs: 0,
        pieces: 0,
        piece: 0,
        times: 0,
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::CrashSafe;

    /// An opening can fail after the map is made. The map of a pool that holds no record is then removed; one that holds
    /// records is left for the next opening.
    #[test]
    fn a_pool_takes_its_map_along_unless_a_buffer_waits_for_its_place() {
        let home = tempfile::tempdir().expect("a directory");
        let config =
            Config::new(home.path().join("app.log")).crash_safe(CrashSafe::in_dir(home.path()));
        let config = config.validate().expect("valid");
        let pool = || Pool::of_logger(&config, 4096, 1 << 20, LogId::default(), 7).expect("a pool");
        for is_used in [false, true] {
            let pool = pool();
            let map = pool.map_path().expect("a map");
            assert!(map.exists());
            if is_used {
                pool.take(HEADER).expect("a buffer").activate(0, 0);
            }
            drop(pool);
            assert_eq!(map.exists(), is_used);
        }
    }
}
