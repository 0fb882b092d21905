//! Buffers, shards and homes without a flusher: the seed's tests of these levels.

use super::{
    buffer::HEADER,
    home::Slots,
    log::{Log, LogParts},
    pool::Pool,
    shard::{Refused, SealAttempt, Shard},
    wait::Bell,
    word::BufferState,
};
use crate::{LogError, Overflow, sync::Arc, write::common::BlockMemory};

const CAPACITY: usize = 64 << 10;

fn pool(buffers: usize) -> Arc<Pool> {
    Arc::new(Pool::new(buffers, CAPACITY, 4096).expect("pool"))
}

fn log_on(pool: &Arc<Pool>, num_shards: usize) -> Log {
    Log::new(LogParts {
        pool: pool.clone(),
        bell: Arc::new(Bell::new().expect("bell")),
        index: 0,
        num_shards,
        max_record: CAPACITY - 12,
        overflow: Overflow::Drop,
        shares_barriers: false,
        session: 1,
    })
    .expect("log")
}

fn append(log: &Log, record: &[u8]) -> Result<u64, LogError> {
    let result = log.append(record.len(), |room| room.copy_from_slice(record));
    result.map(|position| position.number())
}

/// Records begin right after the 8 bytes that are reserved for the header.
#[test]
fn buffer_write_reserves_the_header() {
    let pool = pool(2);
    let log = log_on(&pool, 1);
    assert_eq!(append(&log, b"hello"), Ok(0));
    assert_eq!(append(&log, b"x"), Ok(1));
    assert_eq!(log.shards()[0].seal_idle(&pool, 0), SealAttempt::Sealed);
    let sealed = pool.take_sealed(0).expect("sealed");
    assert_eq!(sealed.valid(), 9 + 5);
    let data = sealed.data(HEADER + 14);
    assert_eq!(data[4..8], 14_u32.to_le_bytes());
    assert_eq!(data[8..], *b"\x05\0\0\0hello\x01\0\0\0x");
}

/// The original flushes at 90 %; here a buffer is sealed by the first record that does not fit.
#[test]
fn buffer_fill_and_flush() {
    let pool = pool(2);
    let log = log_on(&pool, 1);
    let record = [1; 1020];
    let fit = (CAPACITY - HEADER) / 1024;
    for number in 0..fit as u64 {
        assert_eq!(append(&log, &record), Ok(number));
        assert_eq!(pool.state(0), BufferState::Active { shard: 0, generation: 0 });
    }
    // What does not fit any more seals it; what did fit stays where it is.
    assert_eq!(append(&log, &record), Ok(fit as u64));
    assert_eq!(pool.state(0), BufferState::Sealed { shard: 0, generation: 0 });
    assert_eq!(pool.state(1), BufferState::Active { shard: 0, generation: 1 });
    // The last byte can be used.
    let rest = CAPACITY - HEADER - 1024 - 4;
    assert_eq!(append(&log, &vec![2; rest]), Ok(fit as u64 + 1));
    // Now it is full, and there is no third: sealed all the same.
    assert_eq!(append(&log, b"late"), Err(LogError::Full));
    assert_eq!(pool.state(1), BufferState::Sealed { shard: 0, generation: 1 });
    assert_eq!(log.dropped().full, 1);
    pool.take_sealed(0).expect("sealed").free();
    assert_eq!(append(&log, b"again"), Ok(fit as u64 + 2));
}

#[test]
fn shard_concurrent_writes() {
    let pool = pool(64);
    let log = log_on(&pool, 1);
    let accepted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| (0..1_000).filter(|_| append(&log, &[7; 50]).is_ok()).count() as u64)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("writer")).sum()
    });
    assert_eq!(log.accepted(), accepted);
    assert_eq!(accepted + log.dropped().busy, 8_000);
    assert_eq!(log.dropped().total(), log.dropped().busy);
    log.shards()[0].seal_idle(&pool, 0);
    let valid: u64 =
        (0..64).filter_map(|index| pool.take_sealed(index)).map(|b| b.valid() as u64).sum();
    assert_eq!(valid, accepted * 54);
}

/// Instead of round robin over the set: each thread has a home, the lowest free one.
#[test]
fn buffer_set_round_robin_is_replaced_by_homes() {
    let pool = pool(8);
    let log = log_on(&pool, 4);
    let turn = std::sync::Barrier::new(6);
    std::thread::scope(|scope| {
        for thread in 0..6_u8 {
            let (log, turn) = (&log, &turn);
            scope.spawn(move || {
                for now in 0..6 {
                    if now == thread {
                        // Alone: nobody is busy, so nothing spills.
                        (0..10).for_each(|_| assert!(append(log, &[thread]).is_ok()));
                    }
                    turn.wait();
                }
            });
        }
    });
    // Six threads at four shards: the fifth shares the first home, the sixth the second.
    let counts: Vec<_> = log.shards().iter().map(Shard::accepted).collect();
    assert_eq!(counts, [20, 20, 10, 10]);
}

#[test]
fn buffer_set_has_data() {
    let pool = pool(4);
    let log = log_on(&pool, 2);
    let active = || log.shards().iter().filter(|shard| shard.word().buffer().is_some()).count();
    assert_eq!(active(), 0);
    for shard in 0..2 {
        assert_eq!(log.shards()[shard].seal_idle(&pool, shard as u32), SealAttempt::Empty);
    }
    append(&log, b"data").expect("accepted");
    assert_eq!(active(), 1);
    assert_eq!(log.shards()[0].seal_idle(&pool, 0), SealAttempt::Sealed);
    assert_eq!((active(), pool.sealed_count()), (0, 1));
}

/// Only a claimed word is busy; and what is sealed from outside is sealed once.
#[test]
fn a_claim_keeps_everybody_else_out() {
    let pool = pool(2);
    let log = log_on(&pool, 1);
    append(&log, b"before").expect("accepted");
    let shard = &log.shards()[0];
    let claim = shard.claim(&pool).expect("free");
    assert_eq!(shard.claim(&pool).err(), Some(Refused::Claimed));
    assert_eq!(shard.seal_idle(&pool, 0), SealAttempt::Claimed);
    assert_eq!(shard.seal_and_close(&pool, 0), SealAttempt::Claimed);
    assert_eq!(append(&log, b"busy"), Err(LogError::Busy));
    drop(claim);
    assert_eq!(shard.seal_and_close(&pool, 0), SealAttempt::Sealed);
    assert_eq!(shard.seal_and_close(&pool, 0), SealAttempt::Empty);
    assert_eq!(shard.claim(&pool).err(), Some(Refused::Closed));
    assert_eq!(append(&log, b"closed"), Err(LogError::Closed));
    assert_eq!((log.dropped().busy, log.dropped().closed, log.accepted()), (1, 1, 1));
}

#[test]
fn a_log_is_as_small_as_it_should_be() {
    // A line for the writers, one for the drops.
    assert_eq!(size_of::<Shard>(), 256);
    assert!(size_of::<Slots>() <= 64);
}
