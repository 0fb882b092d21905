//! What many events cost: descriptors, memory, threads.

use std::{fs, time::Instant};

use asynclogger::read::verify;

use super::{file, manager};
use crate::support::{child_role, directory, in_child, status_bytes};

/// What the process has of that which could leak.
#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: u64,
    /// Of ours: the kernel's workers come and go by themselves.
    threads: u64,
    mappings: u64,
    resident: u64,
}

impl Held {
    fn now() -> Held {
        let tasks = fs::read_dir("/proc/self/task").expect("tasks");
        let ours = tasks.filter_map(|task| {
            let name = fs::read_to_string(task.ok()?.path().join("comm")).ok()?;
            name.starts_with("asynclogger").then_some(())
        });
        let mappings = fs::read_to_string("/proc/self/maps").expect("mappings");
        Held {
            descriptors: fs::read_dir("/proc/self/fd").expect("descriptors").count() as u64,
            threads: ours.count() as u64,
            mappings: mappings.lines().count() as u64,
            resident: status_bytes("VmRSS"),
        }
    }
}

/// Events created and closed in turn, under a limit of 256 descriptors, while more events than that are
/// open: no failure, no leak. `MANAGER_EVENTS=100000` is the long form.
#[test]
fn many_events_in_turn_under_a_limit_of_descriptors() {
    const TEST: &str = "manager::resources::many_events_in_turn_under_a_limit_of_descriptors";
    const KEPT: u64 = 300;
    /// Names of files are remembered by their hashes, in two tables.
    const BYTES_A_NAME: u64 = 100;
    if child_role().is_none() {
        print!("{}", in_child(TEST, "turn"));
        return;
    }
    let limit = libc::rlimit { rlim_cur: 256, rlim_max: 256 };
    // SAFETY: the structure is complete.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let told = std::env::var("MANAGER_EVENTS").ok().and_then(|text| text.parse().ok());
    let count = told.unwrap_or(2_000_u64);
    let directory = directory();
    let manager = manager(&directory);
    for event in 0..KEPT {
        manager.event(&format!("kept-{event}")).expect("opened").log("kept");
    }
    let turn = |event: u64| {
        let name = format!("event-{event}");
        manager.event(&name).expect("opened").log("a record");
        assert_eq!(manager.close_event_logger(&name).expect("closed").durable, 1);
    };
    // What is made once, and kept, is there after some of them.
    let warm = count / 10;
    (0..warm).for_each(turn);
    let before = Held::now();
    let (mut since, mut times) = (Instant::now(), Vec::new());
    for event in warm..count {
        turn(event);
        if (event + 1) % (count / 10).max(1) == 0 {
            times.push(since.elapsed().as_secs_f64());
            since = Instant::now();
        }
    }
    let after = Held::now();
    println!("{count} events, {before:?} after a tenth, {after:?} after all");
    println!("seconds for each tenth: {times:.2?}");
    // A quarter of the 64 files that may be open are closed at a time: so many more may be open now.
    assert!(after.descriptors <= before.descriptors + 16 + 2, "{before:?} {after:?}");
    assert!(after.threads <= before.threads, "{before:?} {after:?}");
    assert!(after.mappings <= before.mappings + 16, "{before:?} {after:?}");
    let most = before.resident + (4 << 20) + count * BYTES_A_NAME;
    assert!(after.resident <= most, "{before:?} {after:?}");
    assert_eq!(manager.stats().events as u64, KEPT);
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.durable, stats.total.dropped_logs), (count + KEPT, 0));
    assert_eq!((stats.unopened, stats.total.flush_errors), (0, 0));
    let kept = (0..KEPT).map(|event| format!("kept-{event}"));
    for name in kept.chain((0..count).map(|event| format!("event-{event}"))) {
        let report = verify(file(&directory, &name)).expect("a report");
        assert!(report.is_whole() && report.records == 1, "{name}: {report:?}");
    }
}
