//! Events that log faster than the flusher sorts, beside others.

use asynclogger::{Durability, LoggerManager, Stats, verify};

use super::{config, file};
use crate::support::{assert_balanced, directory};

const THREADS: u32 = 3;
/// Of each thread in a round: records of the noisy event, and then one of the quiet event.
const TURNS: u32 = 500;
const NOISY: u32 = 999;
/// In some rounds the machine has no time for the flusher while all threads log; in so many of all it has.
const ROUNDS: u32 = 40;
const FAIR: u32 = 3;

fn dropped(stats: &Stats) -> f64 {
    stats.dropped_logs as f64 / stats.total_logs as f64
}

/// Shares of the noisy event's records that are dropped, and of the quiet event's.
fn round() -> (f64, f64) {
    let directory = directory();
    // The device is no bottleneck.
    let config = config(&directory).buffer_size(32 << 20).durability(Durability::None);
    let manager = LoggerManager::new(config).expect("a manager");
    let event = |name: &str| manager.event(name).expect("opened");
    let (noisy, quiet) = (event("noisy"), event("quiet"));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // As long: a shorter one may find room where no other does.
                let record = vec![7; 4000];
                for _ in 0..TURNS {
                    (0..NOISY).for_each(|_| noisy.log_bytes(&record));
                    quiet.log_bytes(&record);
                }
            });
        }
    });
    // Who was held is not for ever, and whether or not anybody logs.
    crate::support::wait_until("the noisy event is let go", || {
        noisy.try_log_bytes(b"after all").is_ok()
    });
    manager.close().expect("close");
    let shares = [("noisy", NOISY), ("quiet", 1)].map(|(name, each)| {
        let stats = manager.event_stats(name).expect("stats");
        assert_balanced(&stats);
        assert!(stats.total_logs >= u64::from(THREADS * TURNS * each));
        let report = verify(file(&directory, name)).expect("a report");
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.records, stats.lost), (stats.accepted, 0));
        dropped(&stats)
    });
    (shares[0], shares[1])
}

/// The quiet event's records find room though the noisy event's do not.
#[test]
fn a_noisy_event_is_dropped_before_a_quiet_one() {
    let mut fair = 0;
    for number in 0..ROUNDS {
        let (noisy, quiet) = round();
        println!("{number}: {:.1} % and {:.1} % dropped", noisy * 100.0, quiet * 100.0);
        if noisy <= 0.1 || quiet <= noisy / 2.0 {
            fair += 1;
        }
        if fair == FAIR {
            return;
        }
    }
    panic!("the quiet event is dropped as the noisy one is");
}
