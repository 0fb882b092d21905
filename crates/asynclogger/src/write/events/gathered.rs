//! The records of one event that are gathered for its next block.

use std::mem;

use super::{
    block::{self, EventBlock},
    event::Event,
    head::{Head, Shape},
    in_map::InMap,
};
use crate::{
    format::{CHUNK, ChunkEntry, RECORD_HEADER, SECTOR},
    mem::{Arena, Piece, Run},
    sync::Arc,
    write::{
        common::When,
        crash::{CrashMap, OF_HEAD},
        swap::HEADER,
    },
};

/// The arena has too few free pieces of memory.
#[derive(Debug)]
pub(super) struct NoMemory;

/// The gathered records of one event. These fields are all that a usual record touches; the rest is behind a pointer.
/// The pieces always have room for the head and the tail of the block.
pub(super) struct Gathered {
    /// The piece that takes the next record, and the offset of the record in it.
    piece: Option<Piece>,
    at: u32,
    /// The offset in the piece up to which records fit without further checks.
    end: u32,
    /// The number of records that find room for their times.
    times_end: u32,
    /// Whether records have times.
    is_timed: bool,
    /// Bytes of header and records; 0 if no record is gathered.
    filled: u32,
    /// The end of the chunk in which the last record began, and the number of records that began in it.
    chunk_end: u32,
    in_chunk: u32,
    records: u32,
    /// The number of the first piece of the block, for the map.
    first: u32,
    /// The map of a crash-safe manager.
    map: Option<Arc<CrashMap>>,
    rest: Box<Rest>,
}

struct Rest {
    /// Pieces before and behind the one that takes the next record.
    before: Run,
    behind: Vec<Piece>,
    /// Pieces for a head that is too long for the room in front.
    head: Head,
    table: Vec<ChunkEntry>,
    /// The time of the first record, in the time of [`Memory`](super::memory::Memory).
    began: u64,
    shape: Shape,
    /// The number of blocks that were sealed before this one.
    generation: u64,
    /// The place of the event in the map.
    log: u32,
}

impl Gathered {
    /// No records yet, for blocks of this shape.
    pub(super) fn new(shape: Shape, place: Option<InMap>) -> Gathered {
        let log = place.as_ref().map_or(0, |place| place.log);
        Gathered::after(0, shape, log, place.map(|place| place.map))
    }

    fn after(generation: u64, shape: Shape, log: u32, map: Option<Arc<CrashMap>>) -> Gathered {
        let (before, behind, head, table) = Default::default();
        Gathered {
            piece: None,
            at: 0,
            end: 0,
            times_end: 0,
            is_timed: shape.is_timed(),
            filled: 0,
            chunk_end: 0,
            in_chunk: 0,
            records: 0,
            first: 0,
            map,
            rest: Box::new(Rest { before, behind, head, table, began: 0, shape, generation, log }),
        }
    }

    /// The number of bytes of header and records.
    pub(super) fn filled(&self) -> usize {
        self.filled as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// The time of the first record.
    pub(super) fn began(&self) -> u64 {
        self.rest.began
    }

    /// The number of pieces of memory in use.
    pub(super) fn pieces(&self) -> usize {
        let Rest { before, behind, head, .. } = &*self.rest;
        usize::from(self.piece.is_some()) + before.count() + behind.len() + head.count()
    }

    /// Fetches the memory for a record of `len` bytes that comes soon.
    #[inline]
    pub(super) fn prefetch(&self, len: usize) {
        if let Some(piece) = &self.piece {
            piece.prefetch(self.at as usize, len);
        }
    }

    /// Whether the block can have a record of this time. If not, another block has to begin.
    pub(super) fn takes(&self, when: When) -> bool {
        let Rest { head, shape, .. } = &*self.rest;
        let has_grid = || self.records < shape.most_times && head.grid().entry(when).is_some();
        self.is_empty() || !self.is_timed || has_grid()
    }

    /// Adds a record, if it finds room without more memory. Returns whether it did.
    #[inline]
    pub(super) fn add(&mut self, record: &[u8], when: When, serial: u32) -> bool {
        let needed = RECORD_HEADER + record.len();
        let at = self.at as usize;
        if self.records >= self.times_end {
            return false;
        }
        let entry = if self.is_timed { self.rest.head.grid().entry(when) } else { Some(0) };
        let Some(entry) = entry else {
            return false;
        };
        let Some(piece) = &mut self.piece else {
            return false;
        };
        if at + needed > self.end as usize {
            return false;
        }
        let Some(room) = piece.get_mut(at..at + needed) else {
            return false;
        };
        let (length, bytes) = room.split_at_mut(RECORD_HEADER);
        length.copy_from_slice(&(record.len() as u32).to_le_bytes());
        bytes.copy_from_slice(record);
        self.at += needed as u32;
        self.stamp(entry);
        self.count(needed);
        self.note(serial);
        true
    }

    /// Adds a record that the block [`takes`](Gathered::takes), with more memory for it. `now` is the time, which counts
    /// for the first record. Returns the number of pieces that were taken.
    ///
    /// # Errors
    /// If the arena has too few pieces; then nothing has changed.
    pub(super) fn add_with(
        &mut self,
        record: &[u8],
        when: When,
        serial: u32,
        (arena, now): (&Arc<Arena>, u64),
    ) -> Result<usize, NoMemory> {
        let needed = RECORD_HEADER + record.len();
        let taken = self.grow(needed, arena)?;
        if self.filled == 0 {
            self.rest.began = now;
            self.filled = HEADER as u32;
            self.skip(self.rest.shape.align + HEADER);
            self.begin_times(when);
        }
        self.put(&(record.len() as u32).to_le_bytes());
        self.put(record);
        self.stamp(self.rest.head.grid().entry(when).unwrap_or(0));
        self.count(needed);
        self.set_end(arena.piece_len());
        self.note(serial);
        Ok(taken)
    }

    /// Notes in the map that the record with this number is complete: from this store on it is one of the event's.
    #[inline]
    fn note(&self, serial: u32) {
        if let Some(map) = &self.map {
            map.fill(self.first, self.filled, serial);
        }
    }

    /// Takes the pieces for `needed` more bytes of one record, and for the head and tail of the block around them.
    fn grow(&mut self, needed: usize, arena: &Arc<Arena>) -> Result<usize, NoMemory> {
        let Rest { before, behind, head, shape, generation, log, .. } = &mut *self.rest;
        let valid = self.filled.max(HEADER as u32) as usize - HEADER + needed;
        let (heads, bodies) = shape.pieces_of(valid, self.records as usize + 1);
        let have = usize::from(self.piece.is_some()) + before.count() + behind.len();
        let bodies = bodies.saturating_sub(have);
        let heads = heads.saturating_sub(head.count());
        let mut taken: Vec<_> = (0..heads + bodies).map_while(|_| arena.take()).collect();
        if taken.len() < heads + bodies {
            return Err(NoMemory);
        }
        let own = |piece: u32, order: usize| {
            if let Some(map) = &self.map {
                map.own_piece(piece, *log, *generation, order as u32);
            }
        };
        for (piece, order) in taken.split_off(heads).into_iter().zip(have..) {
            own(piece.number(), order);
            self.first = if order == 0 { piece.number() } else { self.first };
            behind.push(piece);
        }
        for piece in taken {
            let (number, order) = (piece.number(), head.count());
            let first = before.first_mut().or(self.piece.as_mut());
            let times = first.filter(|_| self.is_timed && self.filled > 0);
            head.push(piece, times.map(|first| (&*first, shape.align, self.records as usize)));
            // A head without times is made anew, so its piece needs no owner. One with times has an owner once it has the
            // times so far: from then on they count, and not those in front of the records.
            if self.is_timed {
                own(number, OF_HEAD as usize | order);
            }
        }
        Ok(heads + bodies)
    }

    /// The piece of the first records.
    #[inline]
    fn first_piece(&mut self) -> Option<(&mut Piece, &mut Head, usize)> {
        let Rest { before, head, shape, .. } = &mut *self.rest;
        let first = before.first_mut().or(self.piece.as_mut())?;
        Some((first, head, shape.align))
    }

    fn begin_times(&mut self, when: When) {
        if self.is_timed
            && let Some((first, head, align)) = self.first_piece()
        {
            head.begin(first, align, when);
        }
    }

    /// Gives the next record its time, before the record counts.
    #[inline]
    fn stamp(&mut self, entry: u32) {
        let index = self.records as usize;
        if self.is_timed
            && let Some((first, head, align)) = self.first_piece()
        {
            head.put(first, align, index, entry);
        }
    }

    /// Leaves `len` bytes free that are written later.
    fn skip(&mut self, len: usize) {
        self.fill(len, |_| ());
    }

    fn put(&mut self, mut bytes: &[u8]) {
        self.fill(bytes.len(), |room| {
            let (now, later) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            bytes = later;
        });
    }

    /// Fills the next `len` bytes, piece by piece. The caller has made sure that the pieces have room for them.
    fn fill(&mut self, mut len: usize, mut with: impl FnMut(&mut [u8])) {
        while len > 0 {
            if self.piece.is_none() {
                if self.rest.behind.is_empty() {
                    return;
                }
                (self.piece, self.at) = (Some(self.rest.behind.remove(0)), 0);
            }
            let Some(piece) = &mut self.piece else { return };
            let at = self.at as usize;
            let to = piece.len().min(at + len);
            with(&mut piece[at..to]);
            len -= to - at;
            self.at = to as u32;
            if to == piece.len()
                && let Some(full) = self.piece.take()
            {
                self.rest.before.push(full);
            }
        }
    }

    /// Sets the offset in the piece up to which records leave enough room for the tail, and the number of records up to
    /// which they find room for their times.
    fn set_end(&mut self, piece_len: usize) {
        let Rest { before, behind, head, shape, .. } = &*self.rest;
        let pieces = before.count() + usize::from(self.piece.is_some()) + behind.len();
        self.times_end = shape.times_in(head.count(), pieces);
        self.end = if behind.is_empty() {
            let least_tail = shape.least_tail(before.count() + 1);
            piece_len.saturating_sub(least_tail + SECTOR) as u32
        } else {
            piece_len as u32
        };
    }

    /// Counts a record of `len` bytes, its prefix included, that begins at the current end.
    #[inline]
    fn count(&mut self, len: usize) {
        if self.filled >= self.chunk_end {
            self.next_chunk();
        }
        self.filled += len as u32;
        self.in_chunk += 1;
        self.records += 1;
    }

    /// Begins a new chunk: the next record is the first one in it.
    #[cold]
    fn next_chunk(&mut self) {
        self.close_chunk();
        let table = &mut self.rest.table;
        let first = self.filled;
        table.resize(first as usize / CHUNK, ChunkEntry::default());
        table.push(ChunkEntry { first, ..ChunkEntry::default() });
        self.chunk_end = (table.len() * CHUNK) as u32;
    }

    fn close_chunk(&mut self) {
        if let Some(last) = self.rest.table.last_mut() {
            last.records = self.in_chunk;
        }
        self.in_chunk = 0;
    }

    /// Makes a block of the gathered records, and begins anew. `None` if no record is gathered.
    pub(super) fn seal(&mut self, event: &Arc<Event>) -> Option<EventBlock> {
        if self.filled == 0 {
            return None;
        }
        self.close_chunk();
        let Rest { shape, generation, log, .. } = *self.rest;
        if let Some(map) = &self.map {
            map.note_sealed(log, generation + 1);
        }
        let next = Gathered::after(generation + 1, shape, log, self.map.clone());
        let Gathered { piece, filled, rest, .. } = mem::replace(self, next);
        let Rest { mut before, behind, head, table, .. } = *rest;
        piece.into_iter().chain(behind).for_each(|piece| before.push(piece));
        let scale = shape.is_timed().then(|| head.grid().scale());
        let memory = (head.into_run(), before);
        let valid = filled - HEADER as u32;
        Some(block::seal(event.clone(), memory, shape.align, valid, scale, table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LogError, Opened, Overflow,
        format::{BlockInfo, Column, Kind, Prefix, Scale},
        mem::StableBytes,
        write::{
            common::BlockMemory,
            events::names::Names,
            flush::{Counts, Intake, Session},
            swap::{Bell, Ingest, IngestParts, Pool},
        },
    };
    use proptest::prelude::*;

    const CAPACITY: usize = 1 << 20;

    fn log(align: usize) -> Ingest {
        Ingest::new(IngestParts {
            pool: Pool::new(1, CAPACITY, align).expect("a pool"),
            bell: Arc::new(Bell::new().expect("a bell")),
            num_shards: 1,
            max_record: CAPACITY - 12,
            overflow: Overflow::Drop,
            shares_barriers: false,
            session: 1,
        })
        .expect("a log")
    }

    fn event() -> Arc<Event> {
        let counts = Arc::new(Counts::new(None));
        let bell = Arc::new(Bell::new().expect("a bell"));
        let session = Arc::new(Session::new(1, Intake::Gathered(counts.clone()), bell));
        let name = Names::new().entry("event");
        Arc::new(Event::new(name, 0, CAPACITY, Opened::Created, session, counts, 1))
    }

    /// The block as it goes to the file.
    fn encode(memory: &mut dyn BlockMemory, align: usize) -> Vec<u8> {
        let mut table = Vec::new();
        let mut info = BlockInfo::default();
        info.set_lengths(memory.valid(), align);
        info.records = memory.finish(&info, &mut table);
        let (head, data, tail) =
            (info.head_len as usize, info.data_len as usize, info.tail_len as usize);
        let prefix = Prefix {
            align: align as u32,
            offset: 0,
            log_id: crate::LogId([7; 16]),
            segment: 1,
            session: 2,
            time: 3,
        };
        memory.write_head(head, &mut |bytes| info.encode(Kind::Head, &prefix, &table, bytes));
        memory.write_tail(data, tail, &mut |bytes| info.encode(Kind::Tail, &prefix, &table, bytes));
        memory.set_block(head, data + tail);
        let bytes: &dyn StableBytes = memory;
        assert!(bytes.pieces_from(0).all(|piece| piece.len().is_multiple_of(4096)));
        bytes.to_vec()
    }

    /// Gathers records as a logger would buffer them; both blocks.
    fn both(lens: &[usize], align: usize, piece_len: usize) -> (Vec<u8>, Vec<u8>, usize) {
        let log = log(align);
        let event = event();
        let arena = Arena::new(2 * CAPACITY + 64 * piece_len, piece_len).expect("an arena");
        // What was in the memory before must not show.
        let mut all: Vec<_> = std::iter::from_fn(|| arena.take()).collect();
        all.iter_mut().for_each(|piece| piece.fill(0xEE));
        drop(all);
        let shape = Shape { align, piece: piece_len, most_times: 0 };
        let mut gathered = Gathered::new(shape, None);
        let mut records = 0;
        for (number, len) in lens.iter().enumerate() {
            let record: Vec<u8> = (0..*len).map(|at| (at * 7 + number) as u8).collect();
            match log.append(*len, |room| room.copy_from_slice(&record)) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, LogError::Full);
                    break;
                }
            }
            if !gathered.add(&record, When::default(), 0) {
                let pieces =
                    gathered.add_with(&record, When::default(), 0, (&arena, 5)).expect("memory");
                event.take(pieces);
            }
            records += 1;
        }
        assert_eq!((gathered.records(), gathered.began()), (records, 5));
        assert_eq!(gathered.pieces(), event.pieces());
        let mut block = gathered.seal(&event).expect("records");
        assert!(gathered.is_empty() && gathered.pieces() == 0 && gathered.seal(&event).is_none());
        let gathered = encode(&mut block, align);
        let (before, held) = (arena.left(), event.pieces());
        Arc::new(block).free();
        assert_eq!((arena.left(), event.pieces()), (before + held, 0));

        log.shards().seal_idle(0);
        let mut buffer = log.shards().pool().sealed().take_next(|_, _| true).expect("sealed");
        (gathered, encode(&mut buffer, align), records as usize)
    }

    #[test]
    fn a_gathered_block_is_the_block_that_a_buffer_would_have_been() {
        for (align, piece_len) in [(4096, 4096), (4096, 16384), (16384, 16384), (65536, 16384)] {
            for lens in [
                &[1][..],
                &[4096 - 12],
                &[16384 - 4096 - 8 - 4 - 512, 1, 1, 1, 600],
                &[65536 - 12, 65536 - 4, 1],
                &[300_000, 1, 500_000],
                &[CAPACITY - 12],
                &[64 << 10; 15],
            ] {
                let (gathered, buffered, records) = both(lens, align, piece_len);
                assert_eq!(records, lens.len());
                assert!(gathered == buffered, "{align} {piece_len} {lens:?}");
            }
        }
    }

    #[test]
    fn without_memory_nothing_changes() {
        let arena = Arena::new(3 * 4096, 4096).expect("an arena");
        let mut gathered = Gathered::new(Shape { align: 4096, piece: 4096, most_times: 0 }, None);
        let when = When::default();
        assert_eq!(gathered.add_with(&[1; 100], when, 0, (&arena, 1)).expect("memory"), 2);
        gathered.add_with(&[2; 9000], when, 0, (&arena, 1)).expect_err("too long");
        assert_eq!((gathered.records(), gathered.pieces(), arena.left()), (1, 2, 1));
        assert!(gathered.add(&[3; 100], when, 0));
        gathered.add_with(&[4; 4000], when, 0, (&arena, 1)).expect("the last piece");
        assert_eq!((gathered.records(), gathered.pieces(), arena.left()), (3, 3, 0));
    }

    /// The times of a block as its head has them, with records that come every 1,000 nanoseconds.
    fn times_in_head(lens: &[usize], shape: Shape) -> Vec<i64> {
        let (event, scale) = (event(), Scale { base: 1 << 60, ..Scale::default() });
        let arena = Arena::new(2 * CAPACITY + 64 * shape.piece, shape.piece).expect("an arena");
        let mut gathered = Gathered::new(shape, None);
        for (number, len) in lens.iter().enumerate() {
            let when = When::of(&Scale { unit: 1000 << 32, ..scale }, number as u32);
            let record = vec![number as u8; *len];
            if !gathered.add(&record, when, 0) {
                assert!(gathered.takes(when), "there is room for {} times", shape.most_times);
                let pieces = gathered.add_with(&record, when, 0, (&arena, 5)).expect("memory");
                event.take(pieces);
            }
        }
        assert_eq!(gathered.pieces(), event.pieces());
        let mut block = gathered.seal(&event).expect("records");
        let mut info = BlockInfo { scale: block.scale(i64::MIN), ..BlockInfo::default() };
        info.records = block.record_count();
        info.set_lengths(block.valid(), shape.align);
        let mut times = Vec::new();
        block.write_head(info.head_len as usize, &mut |head| {
            let scale = Scale::decode(head).expect("a scale");
            assert_eq!(Some(scale), info.scale);
            let column = Column::of(&head[info.column_range(Kind::Head).expect("a column")]);
            times = column.entries().map(|entry| scale.time(entry)).collect();
        });
        block.finish(&info, &mut Vec::new());
        let (data_len, tail_len) = (info.data_len as usize, info.tail_len as usize);
        block.write_tail(data_len, tail_len, &mut |tail| assert_eq!(tail.len(), tail_len));
        block.set_block(info.head_len as usize, data_len + tail_len);
        let bytes: &dyn StableBytes = &block;
        assert_eq!(bytes.to_vec().len() as u64, info.block_len());
        Arc::new(block).free();
        assert_eq!(event.pieces(), 0);
        times
    }

    #[test]
    fn the_times_of_a_block_are_in_its_head_wherever_that_is() {
        for (align, piece) in [(4096, 4096), (4096, 32768), (16384, 16384), (65536, 65536)] {
            let shape = Shape { align, piece, most_times: 40_000 };
            // Around the number of records for which the room in front suffices, and one more piece of the head.
            for lens in [
                vec![1],
                vec![1; 900],
                vec![7; 970],
                vec![1; 1000],
                vec![1; 2000],
                vec![3; 40_000],
                vec![100; 9_000],
                vec![CAPACITY - 12],
                vec![1, 600_000, 1, 1, 300_000, 5],
                (0..3000).map(|number| 1 + number * 13 % 500).collect(),
            ] {
                let wanted = (0..lens.len()).map(|number| ((1 << 60) + 1000 * number as i64) & !63);
                let times = times_in_head(&lens, shape);
                assert!(times.into_iter().eq(wanted), "{align} {piece} {}", lens.len());
            }
        }
    }

    #[test]
    fn a_block_takes_no_more_records_than_it_has_times_for() {
        let arena = Arena::new(1 << 20, 4096).expect("an arena");
        let shape = Shape { align: 4096, piece: 4096, most_times: 70 };
        let mut gathered = Gathered::new(shape, None);
        let when = When::of(&Scale { base: 1 << 60, ..Scale::default() }, 0);
        gathered.add_with(b"1", when, 0, (&arena, 1)).expect("memory");
        let more = (0..).take_while(|_| gathered.add(b"1", when, 0)).count();
        assert_eq!((more, gathered.records(), gathered.takes(when)), (69, 70, false));
    }

    #[test]
    fn a_time_out_of_reach_needs_another_block() {
        let arena = Arena::new(1 << 20, 4096).expect("an arena");
        let shape = Shape { align: 4096, piece: 4096, most_times: 70 };
        let mut gathered = Gathered::new(shape, None);
        let minute = 60_000_000_000;
        let at = |minutes: i64| {
            When::of(&Scale { base: (1 << 60) + minutes * minute, ..Scale::default() }, 0)
        };
        // By a scale whose clock that is never set stands still, the wall clock was set.
        assert!(gathered.takes(at(0)) && !gathered.add(b"1", at(0), 0));
        gathered.add_with(b"1", at(0), 0, (&arena, 1)).expect("memory");
        assert!(gathered.takes(at(0)) && gathered.add(b"1", at(0), 0));
        for other in [at(1), at(-1), at(9)] {
            assert!(!gathered.takes(other) && !gathered.add(b"1", other, 0));
        }
        assert_eq!(gathered.records(), 2);
    }

    proptest! {
        #[test]
        fn times_are_in_the_head_with_any_records(
            lens in prop::collection::vec(
                prop_oneof![8 => 1_usize..60, 3 => 1_usize..2_000, 1 => 1_usize..90_000],
                1..3000,
            ).prop_filter("they fit", |lens| lens.iter().sum::<usize>() + 4 * lens.len() < CAPACITY),
            shape in prop::sample::select(vec![(4096, 4096), (4096, 16384), (16384, 16384)]),
        ) {
            let shape = Shape { align: shape.0, piece: shape.1, most_times: 40_000 };
            let wanted = (0..lens.len()).map(|number| ((1 << 60) + 1000 * number as i64) & !63);
            prop_assert!(times_in_head(&lens, shape).into_iter().eq(wanted));
        }

        #[test]
        fn so_it_is_with_any_records(
            lens in prop::collection::vec(
                prop_oneof![8 => 1_usize..600, 3 => 1_usize..20_000, 1 => 1_usize..200_000],
                1..300,
            ),
            shape in prop::sample::select(vec![(4096, 4096), (4096, 16384), (16384, 16384)]),
        ) {
            let (gathered, buffered, _) = both(&lens, shape.0, shape.1);
            prop_assert!(gathered == buffered);
        }
    }
}
