//! Events whose files cannot be opened or written, beside others.

use std::fs;

use asynclogger::{ErrorKind, LoggerManager};

use super::{config, file, manager, records};
use crate::support::{assert_balanced, directory, wait_until};

#[test]
fn events_that_cannot_be_opened_are_counted() {
    let directory = directory();
    fs::create_dir(file(&directory, "a")).expect("a directory in the way");
    let manager = manager(&directory);
    for _ in 0..10 {
        manager.log_with_event("a", "nowhere to go");
    }
    assert_eq!(manager.event("a").expect_err("not a file").kind(), ErrorKind::NotAFile);
    manager.log_with_event("b", "fine");
    let stats = manager.close().expect("close");
    assert_eq!((stats.unopened, stats.total.accepted, stats.total.dropped_logs), (10, 1, 0));
}

/// One event whose file takes nothing does not stop the others, and loses only its own.
#[test]
fn a_noisy_event_does_not_take_the_room_of_others() {
    let directory = directory();
    let quota = 1 << 20;
    let manager = LoggerManager::new(config(&directory).event_quota(quota)).expect("a manager");
    let noisy = manager.event("noisy").expect("opened");
    let quiet = manager.event("quiet").expect("opened");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let record = vec![1; 32 << 10];
            (0..20_000).for_each(|_| noisy.log_bytes(&record));
        });
        let logged = (0..200).filter(|number: &u32| {
            // The caller's own shard has room: nobody else logs at it.
            wait_until("sorted", || manager.stats().total.total_logs > u64::from(*number) * 20);
            quiet.try_log_bytes(b"a quiet record").is_ok()
        });
        assert!(logged.count() > 0);
    });
    let stats = manager.close().expect("close");
    assert_balanced(&stats.total);
    let (of_noisy, of_quiet) = (
        manager.event_stats("noisy").expect("stats"),
        manager.event_stats("quiet").expect("stats"),
    );
    assert_eq!(of_noisy.total_logs, 20_000);
    assert_eq!(of_quiet.total_logs, 200);
    assert_eq!(of_quiet.lost + of_noisy.lost, 0);
    let found = records(&file(&directory, "quiet"));
    assert_eq!(found.len() as u64, of_quiet.accepted);
    assert_eq!(records(&file(&directory, "noisy")).len() as u64, of_noisy.accepted);
}
