//! The records of one event that are gathered for its next block.

use std::mem;

use super::{
    block::{self, EventBlock},
    event::Event,
    in_map::InMap,
};
use crate::{
    format::{CHUNK, ChunkEntry, RECORD_HEADER, SECTOR, block as shape},
    mem::{Arena, Piece, Run},
    sync::Arc,
    write::{crash::CrashMap, swap::HEADER},
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

#[derive(Default)]
struct Rest {
    /// Pieces before and behind the one that takes the next record, and pieces for a head that is too long for
    /// the room in front.
    before: Run,
    behind: Vec<Piece>,
    head: Run,
    table: Vec<ChunkEntry>,
    /// The time of the first record, in the time of [`Memory`](super::memory::Memory).
    began: u64,
    /// The alignment of the file, which is the room for a head in front of the records.
    align: usize,
    /// The number of blocks that were sealed before this one.
    generation: u64,
    /// The place of the event in the map.
    log: u32,
}

/// The number of pieces for a block with `valid` bytes of records: for a head that is too long for the room in front,
/// and for the rest.
pub(super) fn pieces_of(valid: usize, align: usize, piece_len: usize) -> (usize, usize) {
    let data_len = shape::data_len(valid);
    let head_len = shape::head_len(data_len, align);
    let heads = if head_len > align { head_len.div_ceil(piece_len) } else { 0 };
    let body_len = align + data_len + shape::tail_len(data_len, align);
    (heads, body_len.div_ceil(piece_len))
}

impl Gathered {
    /// No records yet, for a file of this alignment.
    pub(super) fn new(align: usize, place: Option<InMap>) -> Gathered {
        let log = place.as_ref().map_or(0, |place| place.log);
        Gathered::after(0, align, log, place.map(|place| place.map))
    }

    fn after(generation: u64, align: usize, log: u32, map: Option<Arc<CrashMap>>) -> Gathered {
        Gathered {
            piece: None,
            at: 0,
            end: 0,
            filled: 0,
            chunk_end: 0,
            in_chunk: 0,
            records: 0,
            first: 0,
            map,
            rest: Box::new(Rest { align, generation, log, ..Rest::default() }),
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

    /// Adds a record, if it finds room without more memory. Returns whether it did.
    #[inline]
    pub(super) fn add(&mut self, record: &[u8], serial: u32) -> bool {
        let needed = RECORD_HEADER + record.len();
        let at = self.at as usize;
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
        self.count(needed);
        self.note(serial);
        true
    }

    /// Adds a record, with more memory for it. `now` is the time, which counts for the first record. Returns the number
    /// of pieces that were taken.
    ///
    /// # Errors
    /// If the arena has too few pieces; then nothing has changed.
    pub(super) fn add_with(
        &mut self,
        record: &[u8],
        serial: u32,
        arena: &Arc<Arena>,
        now: u64,
    ) -> Result<usize, NoMemory> {
        let needed = RECORD_HEADER + record.len();
        let taken = self.grow(needed, arena)?;
        if self.filled == 0 {
            self.rest.began = now;
            self.filled = HEADER as u32;
            self.skip(self.rest.align + HEADER);
        }
        self.put(&(record.len() as u32).to_le_bytes());
        self.put(record);
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

    /// Takes the pieces for `needed` more bytes of records, and for the head and tail of the block around them.
    fn grow(&mut self, needed: usize, arena: &Arc<Arena>) -> Result<usize, NoMemory> {
        let Rest { before, behind, head, align, generation, log, .. } = &mut *self.rest;
        let valid = self.filled.max(HEADER as u32) as usize - HEADER + needed;
        let (heads, bodies) = pieces_of(valid, *align, arena.piece_len());
        let have = usize::from(self.piece.is_some()) + before.count() + behind.len();
        let bodies = bodies.saturating_sub(have);
        let heads = heads.saturating_sub(head.count());
        let taken: Vec<_> = (0..heads + bodies).map_while(|_| arena.take()).collect();
        if taken.len() < heads + bodies {
            return Err(NoMemory);
        }
        for (number, piece) in taken.into_iter().enumerate() {
            if number < heads {
                // A head is made anew, so its piece needs no owner.
                head.push(piece);
            } else {
                let order = (have + number - heads) as u32;
                if let Some(map) = &self.map {
                    map.own_piece(piece.number(), *log, *generation, order);
                    self.first = if order == 0 { piece.number() } else { self.first };
                }
                behind.push(piece);
            }
        }
        Ok(heads + bodies)
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

    /// Sets the offset in the piece up to which records leave enough room for the tail.
    fn set_end(&mut self, piece_len: usize) {
        let Rest { before, behind, .. } = &*self.rest;
        self.end = if behind.is_empty() {
            let least_tail = shape::head_len((before.count() + 1) * piece_len, 1);
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
        let Rest { align, generation, log, .. } = *self.rest;
        if let Some(map) = &self.map {
            map.note_sealed(log, generation + 1);
        }
        let next = Gathered::after(generation + 1, align, log, self.map.clone());
        let Gathered { piece, filled, rest, .. } = mem::replace(self, next);
        let Rest { mut before, behind, head, table, align, .. } = *rest;
        piece.into_iter().chain(behind).for_each(|piece| before.push(piece));
        Some(block::seal(event.clone(), head, before, align, filled - HEADER as u32, table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LogError, Opened, Overflow,
        format::{BlockInfo, Kind, Prefix},
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
        let mut gathered = Gathered::new(align, None);
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
            if !gathered.add(&record, 0) {
                let pieces = gathered.add_with(&record, 0, &arena, 5).expect("memory");
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
        let mut gathered = Gathered::new(4096, None);
        assert_eq!(gathered.add_with(&[1; 100], 0, &arena, 1).expect("memory"), 2);
        gathered.add_with(&[2; 9000], 0, &arena, 1).expect_err("too long");
        assert_eq!((gathered.records(), gathered.pieces(), arena.left()), (1, 2, 1));
        assert!(gathered.add(&[3; 100], 0));
        gathered.add_with(&[4; 4000], 0, &arena, 1).expect("the last piece");
        assert_eq!((gathered.records(), gathered.pieces(), arena.left()), (3, 3, 0));
    }

    proptest! {
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
