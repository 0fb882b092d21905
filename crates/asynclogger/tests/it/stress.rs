//! Real threads, random everything, accounting to the record. `scripts/stress` runs it for longer.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use asynclogger::{Config, Durability, LogError, Overflow};

use crate::support::{Found, Numbered, assert_balanced, directory, log_path, open};

/// A small generator (xorshift64*, G. Marsaglia 2003, S. Vigna 2016): the seed is all there is to a run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound
    }

    /// Small numbers often, large ones sometimes, up to `max`.
    fn skewed(&mut self, max: u64) -> u64 {
        let bits = u64::from(64 - max.leading_zeros());
        let bits = 1 + self.below(bits);
        1 + self.below((1 << bits).min(max))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a run does, by its seed.
#[derive(Debug)]
struct Plan {
    seed: u64,
    threads: u32,
    shards: usize,
    shard_size: usize,
    records: u64,
    max_len: u64,
    overflow: Overflow,
    durability: Durability,
    interval: Duration,
    close_early: bool,
    flushers: u32,
}

impl Plan {
    fn of(seed: u64) -> Plan {
        let mut random = Random::new(seed);
        let shard_size = random.pick(&[64 << 10, 65_537, 100_000, 256 << 10]);
        let max_len = random.pick(&[16, 100, 1_000, shard_size as u64 - 12]);
        let threads = random.skewed(200) as u32;
        // About 16 MB of records at most.
        let records = 1 + random.below((16 << 20) / (max_len / 4 + 16) / u64::from(threads) + 1);
        Plan {
            seed,
            threads,
            shards: random.skewed(64) as usize,
            shard_size,
            records,
            max_len,
            overflow: random.pick(&[
                Overflow::Drop,
                Overflow::Block,
                Overflow::BlockFor(Duration::from_micros(50)),
                Overflow::BlockFor(Duration::from_millis(20)),
            ]),
            durability: random.pick(&[Durability::Dsync, Durability::None]),
            interval: random.pick(&[
                Duration::from_micros(100),
                Duration::from_millis(5),
                Duration::from_secs(10),
            ]),
            close_early: random.below(4) == 0,
            flushers: random.below(3) as u32,
        }
    }
}

fn run(seed: u64) {
    let plan = Plan::of(seed);
    let directory = directory();
    let path = log_path(&directory);
    let config = Config::new(&path)
        .buffer_size(plan.shards * plan.shard_size)
        .num_shards(plan.shards)
        .overflow(plan.overflow)
        .durability(plan.durability)
        .flush_interval(plan.interval)
        .flush_timeout(Duration::from_secs(30));
    let logger = open(config);
    let done = AtomicBool::new(false);
    let (mut offered, mut accepted) = (0, 0);
    std::thread::scope(|scope| {
        for _ in 0..plan.flushers {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    logger.flush().unwrap_or_else(|error| panic!("{plan:?}: {error}"));
                }
            });
        }
        if plan.close_early {
            scope.spawn(|| {
                let enough = u64::from(plan.threads) * plan.records / 2;
                while logger.stats().total_logs < enough && !done.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                logger.close().unwrap_or_else(|error| panic!("{plan:?}: {error}"));
            });
        }
        let writers: Vec<_> = (0..plan.threads)
            .map(|thread| {
                let (logger, plan) = (&logger, &plan);
                scope.spawn(move || {
                    let mut random = Random::new(plan.seed << 8 | u64::from(thread));
                    let mut record = Numbered::new();
                    let mut accepted = 0;
                    for number in 0..plan.records {
                        let len = (random.skewed(plan.max_len) as usize).min(logger.max_record());
                        let record = match len {
                            ..Numbered::MIN_LEN => Numbered::filler(len),
                            _ => record.make(thread, number, len),
                        };
                        match logger.try_log_bytes(record) {
                            Ok(_) => accepted += 1,
                            Err(LogError::TooLarge { .. } | LogError::Empty) => panic!("{plan:?}"),
                            Err(_) => {}
                        }
                    }
                    accepted
                })
            })
            .collect();
        for writer in writers {
            accepted += writer.join().expect("a writer");
            offered += plan.records;
        }
        done.store(true, Ordering::Relaxed);
    });
    let stats = logger.close().unwrap_or_else(|error| panic!("{plan:?}: {error}"));
    assert_balanced(&stats);
    assert_eq!((stats.total_logs, stats.accepted), (offered, accepted), "{plan:?}");
    assert_eq!((stats.durable, stats.pending, stats.lost), (accepted, 0, 0), "{plan:?}");
    if plan.overflow == Overflow::Block {
        assert_eq!(stats.dropped_logs, stats.dropped.closed, "{plan:?}");
    }
    if !plan.close_early {
        assert_eq!(stats.dropped.closed, 0, "{plan:?}");
    }
    let found = Found::read(&path, plan.threads as usize);
    assert_eq!(found.count, accepted, "{plan:?}");
    if plan.threads as usize <= plan.shards {
        assert_eq!(stats.dropped.busy, 0, "{plan:?}");
        found.assert_in_order();
    }
    // And by the library's own reader, from the file alone: whole, and the accounts agree.
    let report =
        asynclogger::read::verify(&path).unwrap_or_else(|error| panic!("{plan:?}: {error}"));
    assert!(report.is_whole(), "{plan:?}: {report:?}");
    let declared = report.sessions[0].declared.as_ref().expect("an end");
    assert_eq!((report.records, declared.records), (accepted, accepted), "{plan:?}");
    let (told, counted) = (report.dropped(), stats.dropped);
    if plan.close_early {
        // What was refused after the end had been written is in the counters only.
        let pairs =
            [(told.full, counted.full), (told.busy, counted.busy), (told.closed, counted.closed)];
        assert!(pairs.iter().all(|(told, counted)| told <= counted), "{plan:?}: {told:?}");
    } else {
        assert_eq!(told, counted, "{plan:?}");
    }
}

/// `STRESS_ROUNDS` rounds (default 24) from `STRESS_SEED` on (default 1): the same seed, the same plan.
#[test]
fn random_loggers_lose_nothing() {
    let number = |name: &str, default| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, seed) = (number("STRESS_ROUNDS", 24), number("STRESS_SEED", 1));
    for seed in seed..seed + rounds {
        run(seed);
    }
    println!("stress: seeds {seed} to {}, nothing lost", seed + rounds - 1);
}
