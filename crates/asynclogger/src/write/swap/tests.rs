//! Buffers, shards and homes without a flusher: the seed's tests of these levels.

use super::{
    buffer::HEADER,
    home::Slots,
    ingest::{Ingest, IngestParts},
    pool::Pool,
    record_writer::RecordWriter,
    sealed::SealedBuffer,
    shard::{Refused, Shard},
    shards::{SealAttempt, Shards},
    wait::Bell,
    word::BufferState,
};
use crate::{LogError, Overflow, Position, sync::Arc, write::common::BlockMemory};

const CAPACITY: usize = 64 << 10;

fn log(buffers: usize, num_shards: usize) -> Ingest {
    log_in(Pool::new(buffers, CAPACITY, 4096).expect("pool"), num_shards)
}

fn log_in(pool: Pool, num_shards: usize) -> Ingest {
    Ingest::new(IngestParts {
        pool,
        bell: Arc::new(Bell::new().expect("bell")),
        num_shards,
        max_record: CAPACITY - 12,
        overflow: Overflow::Drop,
        shares_barriers: false,
        session: 1,
    })
    .expect("log")
}

fn append(log: &Ingest, record: &[u8]) -> Result<u64, LogError> {
    let result = log.append(record.len(), |room| room.copy_from_slice(record));
    result.map(|position| position.number())
}

/// The sealed buffers, in the order of their numbers.
fn sealed(log: &Ingest) -> Vec<SealedBuffer> {
    let mut sealed = log.shards().pool().sealed();
    std::iter::from_fn(|| sealed.take_next(|_, _| true)).collect()
}

/// The states of all buffers, in their order.
fn states(log: &Ingest) -> Vec<BufferState> {
    let pool = log.shards().pool();
    pool.indices().map(|index| pool.state(index)).collect()
}

/// Records begin right after the 8 bytes that are reserved for the header.
#[test]
fn buffer_write_reserves_the_header() {
    let log = log(2, 1);
    assert_eq!(append(&log, b"hello"), Ok(0));
    assert_eq!(append(&log, b"x"), Ok(1));
    let pool = log.shards().pool();
    assert!(pool.has_active() && !pool.has_sealed(|_, _| true));
    assert_eq!(log.shards().seal_idle(0), SealAttempt::Sealed);
    assert!(!pool.has_active());
    assert!(pool.has_sealed(|shard, generation| (shard, generation) == (0, 0)));
    assert!(!pool.has_sealed(|shard, generation| (shard, generation) != (0, 0)));
    let sealed = sealed(&log).pop().expect("sealed");
    assert_eq!(sealed.valid(), 9 + 5);
    let data = sealed.data(HEADER + 14);
    assert_eq!(data[4..8], 14_u32.to_le_bytes());
    assert_eq!(data[8..], *b"\x05\0\0\0hello\x01\0\0\0x");
}

/// The original flushes at 90 %; here a buffer is sealed by the first record that does not fit.
#[test]
fn buffer_fill_and_flush() {
    let log = log(2, 1);
    let record = [1; 1020];
    let fit = (CAPACITY - HEADER) / 1024;
    for number in 0..fit as u64 {
        assert_eq!(append(&log, &record), Ok(number));
        assert_eq!(states(&log)[0], BufferState::Active { shard: 0, generation: 0 });
    }
    // A record that does not fit seals the buffer; the earlier records stay where they are.
    assert_eq!(append(&log, &record), Ok(fit as u64));
    assert_eq!(states(&log)[0], BufferState::Sealed { shard: 0, generation: 0 });
    assert_eq!(states(&log)[1], BufferState::Active { shard: 0, generation: 1 });
    // The last byte can be used.
    let rest = CAPACITY - HEADER - 1024 - 4;
    assert_eq!(append(&log, &vec![2; rest]), Ok(fit as u64 + 1));
    // Now the buffer is full, and no third one exists: the buffer is sealed all the same.
    assert_eq!(append(&log, b"late"), Err(LogError::Full));
    assert_eq!(states(&log)[1], BufferState::Sealed { shard: 0, generation: 1 });
    assert_eq!(log.shards().dropped().full, 1);
    sealed(&log).remove(0).give_back();
    assert_eq!(append(&log, b"again"), Ok(fit as u64 + 2));
}

#[test]
fn shard_concurrent_writes() {
    /// Records of each thread; under Miri each takes long.
    const EACH: u64 = if cfg!(miri) { 50 } else { 1_000 };
    let log = log(64, 1);
    let accepted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| (0..EACH).filter(|_| append(&log, &[7; 50]).is_ok()).count() as u64)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("writer")).sum()
    });
    assert_eq!(log.shards().accepted(), accepted);
    assert_eq!(accepted + log.shards().dropped().busy, 8 * EACH);
    assert_eq!(log.shards().dropped().total(), log.shards().dropped().busy);
    log.shards().seal_idle(0);
    let valid: u64 = sealed(&log).iter().map(|buffer| u64::from(buffer.valid())).sum();
    assert_eq!(valid, accepted * 54);
}

/// The original goes round robin over the shards; here each thread has a home, the lowest free one.
#[test]
fn buffer_set_round_robin_is_replaced_by_homes() {
    let log = log(8, 4);
    let turn = std::sync::Barrier::new(6);
    std::thread::scope(|scope| {
        for thread in 0..6_u8 {
            let (log, turn) = (&log, &turn);
            scope.spawn(move || {
                for now in 0..6 {
                    if now == thread {
                        // The thread is alone at its shard: no shard is busy, so no record spills.
                        (0..10).for_each(|_| assert!(append(log, &[thread]).is_ok()));
                    }
                    turn.wait();
                }
            });
        }
    });
    // Six threads at four shards: the fifth shares the first home, the sixth the second.
    let counts: Vec<_> = (0..4).map(|shard| log.shards().at(shard).accepted()).collect();
    assert_eq!(counts, [20, 20, 10, 10]);
}

#[test]
fn buffer_set_has_data() {
    let log = log(4, 2);
    let active = || {
        let is_active = |state: &&BufferState| matches!(state, BufferState::Active { .. });
        states(&log).iter().filter(is_active).count()
    };
    assert_eq!(active(), 0);
    for shard in 0..2 {
        assert_eq!(log.shards().seal_idle(shard), SealAttempt::Empty);
    }
    append(&log, b"data").expect("accepted");
    assert_eq!(active(), 1);
    assert_eq!(log.shards().seal_idle(0), SealAttempt::Sealed);
    assert_eq!((active(), log.shards().pool().sealed_count()), (0, 1));
}

/// Only a claimed word is busy, and a buffer that is sealed from outside is sealed once.
#[test]
fn a_claim_keeps_everybody_else_out() {
    let log = log(2, 1);
    append(&log, b"before").expect("accepted");
    let shards = log.shards();
    let claim = shards.claim(0).expect("free");
    assert_eq!(shards.claim(0).err(), Some(Refused::Claimed));
    assert_eq!(shards.seal_idle(0), SealAttempt::Claimed);
    assert_eq!(shards.seal_and_close(0), SealAttempt::Claimed);
    assert_eq!(append(&log, b"busy"), Err(LogError::Busy));
    drop(claim);
    assert_eq!(shards.seal_and_close(0), SealAttempt::Sealed);
    assert_eq!(shards.seal_and_close(0), SealAttempt::Empty);
    assert_eq!(shards.claim(0).err(), Some(Refused::Closed));
    assert_eq!(append(&log, b"closed"), Err(LogError::Closed));
    assert_eq!(
        (log.shards().dropped().busy, log.shards().dropped().closed, log.shards().accepted()),
        (1, 1, 1)
    );
}

#[test]
fn a_log_is_as_small_as_it_should_be() {
    // A line for the writers, one for the drops.
    assert_eq!(size_of::<Shard>(), 256);
    assert!(size_of::<Slots>() <= 64);
}

#[test]
fn a_sealed_buffer_is_taken_once() {
    let log = log(2, 1);
    append(&log, b"record").expect("accepted");
    assert!(sealed(&log).is_empty(), "a writer may be at it");
    log.shards().seal_idle(0);
    let pool = log.shards().pool();
    assert!(pool.sealed().take_next(|_, generation| generation == 1).is_none());
    let mut all = sealed(&log);
    assert!(sealed(&log).is_empty());
    let buffer = all.pop().expect("sealed");
    assert_eq!((buffer.shard(), buffer.generation(), pool.sealed_count()), (0, 0, 1));
    buffer.give_back();
    assert_eq!(states(&log), [BufferState::Free; 2]);
}

/// As long as there are callers, a claim can be that of a running call, whose buffer must not be touched. When the
/// callers are gone, no running call holds it.
#[test]
fn what_is_held_is_copied_when_there_are_no_callers() {
    let log = log(3, 2);
    append(&log, b"before the stop").expect("accepted");
    let shards = log.shards().clone();
    shards.claim_for_ever(0);
    assert!(shards.is_claimed(0) && !shards.is_claimed(1));
    assert!(shards.copy_held().is_empty());
    drop(log);
    let mut held = shards.copy_held();
    let one = held.pop().expect("one shard is held");
    assert_eq!((one.shard, one.generation, held.len()), (0, 0, 0));
    let copy = one.copy.expect("memory");
    assert_eq!((copy.shard(), copy.generation(), copy.valid()), (0, 0, 19));
    assert_eq!(copy.data(HEADER + 19)[HEADER + 4..], *b"before the stop");
    copy.give_back();
    assert!(shards.is_closed(1) && !shards.is_closed(0));
    // The stopped thread could still store into its buffer.
    let is_kept = |shards: Arc<Shards>| {
        let kept = Arc::downgrade(&shards);
        drop(shards);
        kept.upgrade().is_some()
    };
    assert!(is_kept(shards));
    let other = self::log(3, 2);
    let shards = other.shards().clone();
    drop(other);
    assert!(shards.copy_held().is_empty() && !is_kept(shards));
}

/// A thread that stops between the seal of its buffer and the release of its shard has given the buffer away: the
/// word still names the buffer, but the flusher has it.
#[test]
fn what_was_sealed_by_a_stopped_thread_is_not_copied() {
    let log = log(2, 1);
    append(&log, b"record").expect("accepted");
    let shards = log.shards().clone();
    let mut claim = shards.claim(0).expect("free");
    assert!(claim.seal());
    std::mem::forget(claim);
    drop(log);
    let held = shards.copy_held();
    assert!(held[0].copy.is_none());
    assert_eq!(held[0].generation, 1, "all before it are sealed");
    let pool = shards.pool();
    pool.sealed().take_next(|_, _| true).expect("for the flusher").give_back();
    assert!(shards.copy_held()[0].copy.is_none(), "it is free by now");
}

fn append_with(
    log: &Ingest,
    max: usize,
    encode: impl FnOnce(&mut RecordWriter<'_>),
) -> Result<Position, LogError> {
    log.append_with([], max, encode)
}

/// The written bytes are the record, whatever the room was; the unused rest belongs to the next record.
#[test]
fn an_encoder_writes_as_much_as_it_likes() {
    let log = log(2, 1);
    append(&log, &[0xEE; 1000]).expect("accepted");
    log.shards().seal_idle(0);
    sealed(&log).remove(0).give_back();
    // The next record goes into the same memory, since that buffer was freed most recently.
    append_with(&log, 500, |record| {
        assert!(record.is_empty() && record.written().is_empty() && record.remaining() == 500);
        record.write(b"short");
    })
    .expect("accepted");
    append_with(&log, 7, |record| record.zeroed(3).expect("room").fill(1)).expect("accepted");
    assert_eq!(append_with(&log, 8, |_| {}), Err(LogError::Empty));
    let too_long = |record: &mut RecordWriter<'_>| {
        record.write(b"of the");
        record.write(b"record");
    };
    assert_eq!(append_with(&log, 8, too_long), Err(LogError::TooLarge { len: 12, max: 8 }));
    let max = CAPACITY - 12;
    let not_called = |_: &mut RecordWriter<'_>| panic!("there is no room for it");
    assert_eq!(
        append_with(&log, max + 1, not_called),
        Err(LogError::TooLarge { len: max + 1, max })
    );
    assert_eq!(append_with(&log, 0, not_called), Err(LogError::Empty));
    let number = append_with(&log, 100, |record| {
        record.write(b"taken back");
        record.clear();
        record.write(b"last");
    });
    assert_eq!(number.map(|position| position.number()), Ok(3));
    let dropped = log.shards().dropped();
    assert_eq!((dropped.empty, dropped.too_large, dropped.total()), (2, 2, 4));
    log.shards().seal_idle(0);
    let buffer = sealed(&log).pop().expect("sealed");
    let expected = b"\x05\0\0\0short\x03\0\0\0\x01\x01\x01\x04\0\0\0last";
    assert_eq!(buffer.valid() as usize, expected.len());
    assert_eq!(buffer.data(HEADER + expected.len())[HEADER..], *expected);
}

/// If the buffer has no room for the announced length, the record goes to the next buffer, even if it turns out short.
#[test]
fn an_encoder_gets_the_room_that_was_announced() {
    let log = log(2, 1);
    append(&log, &vec![1; CAPACITY - HEADER - 4 - 100]).expect("accepted");
    append_with(&log, 97, |record| {
        assert_eq!(record.remaining(), 97);
        record.write(b"x");
    })
    .expect("accepted");
    assert_eq!(log.shards().swaps(), 1);
    append_with(&log, CAPACITY - HEADER - 4 - 5, |record| {
        record.zeroed(10).expect("room");
    })
    .expect("it fits exactly");
    assert_eq!((log.shards().swaps(), log.shards().accepted()), (1, 3));
}

/// What is settled of the times of a buffer.
#[cfg(not(any(loom, miri)))]
mod scales {
    use super::{super::memory::Form, *};
    use crate::{
        LogId,
        format::{BlockInfo, ChunkEntry, Kind, Prefix},
        mem::Counter,
    };

    /// A write of a killed process can be in flight, with the scale that stood in the head. So a scale that stands there is not
    /// measured again, until the buffer is used for other records.
    #[test]
    fn the_scale_of_a_buffer_is_settled_once() {
        let form = Form::new(CAPACITY, 4096);
        let pool = Pool::limited(1, form, CAPACITY, Some(Counter::Clock)).expect("pool");
        let log = log_in(pool, 1);
        let mut bases = Vec::new();
        for _ in 0..2 {
            append(&log, b"a record").expect("accepted");
            log.shards().seal_idle(0);
            let mut buffer = sealed(&log).pop().expect("a buffer");
            let base = buffer.scale(i64::MIN).expect("a scale").base;
            // Not settled: it is moved, so that no time goes back.
            assert_eq!(buffer.scale(base + 1_000).map(|scale| scale.base), Some(base + 1_000));
            let settled = buffer.settle(base + 500);
            assert_eq!(settled.map(|scale| scale.base), Some(base + 500));
            assert_eq!(buffer.scale(base + 1_000), settled);
            assert_eq!(buffer.settle(base + 2_000), settled);
            assert_eq!(buffer.column().entry(0).map(|entry| entry < 1 << 20), Some(true));
            bases.push(base);
            buffer.give_back();
        }
        assert!(bases[0] < bases[1], "the second use has a moment of its own: {bases:?}");
    }

    /// The same for a logger, whose flusher makes the head of the block in place: when a block of a killed process is made again,
    /// its times are those of the block that may already be in the file.
    #[test]
    fn the_scale_of_a_block_is_settled_with_its_head() {
        let form = Form::new(CAPACITY, 4096);
        let pool = Pool::limited(1, form, CAPACITY, Some(Counter::Clock)).expect("pool");
        let log = log_in(pool, 1);
        append(&log, b"a record").expect("accepted");
        log.shards().seal_idle(0);
        let mut buffer = sealed(&log).pop().expect("a buffer");
        let measured = buffer.scale(i64::MIN).expect("a scale");
        let moved = buffer.scale(measured.base + 500).expect("a scale");
        assert_eq!(moved.base, measured.base + 500);
        let mut info = BlockInfo { scale: Some(moved), records: 1, ..BlockInfo::default() };
        info.set_lengths(buffer.valid(), 4096);
        let table = [ChunkEntry { first: HEADER as u32, records: 1, ..ChunkEntry::default() }];
        let head_len = info.head_len as usize;
        let (log_id, segment, session) = (LogId([7; 16]), 1, 1);
        let prefix = Prefix { align: 4096, offset: 4096, log_id, segment, session, time: 1 };
        buffer.write_head(head_len, &mut |head| info.encode(Kind::Head, &prefix, &table, head));
        assert_eq!(buffer.scale(measured.base + 1_000), Some(moved));
    }
}
