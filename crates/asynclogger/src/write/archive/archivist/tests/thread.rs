//! Tests of the archivist's thread: its start, its properties, and its end.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use super::*;
use crate::write::archive::archivist::Archivist;

/// A time for which no test waits.
const NEVER: Duration = Duration::from_secs(60);

#[test]
fn there_is_no_thread_without_work() {
    let log = Log::new(1);
    let archivist = Archivist::new();
    let idle = settings(log.directory.path(), config(&log.path("app.log")));
    archivist.sweep(idle.clone(), log.active);
    archivist.archived(log.archived(&idle, 1));
    archivist.sweep(log.settings(|config| config), log.active);
    assert!(crate::sync::lock(&archivist.thread).is_none());
    assert!(archivist.stop(Some(Instant::now())));
}

#[test]
fn it_has_the_lowest_priority_and_takes_no_signals() {
    let log = Log::new(1);
    let (send, told) = mpsc::channel();
    let send = StdMutex::new(send);
    let settings = settings(
        log.directory.path(),
        config(&log.path("app.log")).on_archived(move |_| {
            let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/{file}"));
            let found = (read("comm"), read("stat"), read("status"));
            send.lock().expect("a sender").send(found).expect("a receiver");
        }),
    );
    let archivist = Archivist::new();
    archivist.archived(log.archived(&settings, 1));
    let (comm, stat, status) = told.recv_timeout(NEVER).expect("told");
    assert_eq!(comm.expect("comm"), "asynclogger-arc\n");
    let stat = stat.expect("stat");
    let behind_name = stat.rsplit_once(')').expect("a name").1;
    assert_eq!(behind_name.split_whitespace().nth(16), Some("19"), "{stat}");
    let status = status.expect("status");
    let blocked = status.lines().find(|line| line.starts_with("SigBlk:")).expect("a mask");
    // All signals are blocked, except those that cannot be, and two that belong to the C library.
    assert!(
        blocked.ends_with("fffffffe3bfbfeff") || blocked.ends_with("fffffffe7ffbfeff"),
        "{blocked}"
    );
    assert!(archivist.stop(None));
}

#[test]
fn a_callback_may_log_and_may_stop_it() {
    let log = Log::new(1);
    let archivist = StdArc::new(Archivist::new());
    let (send, told) = mpsc::channel();
    let send = StdMutex::new(send);
    let inner = archivist.clone();
    let logger = Logger::new(config(&log.path("other.log"))).expect("a logger");
    let settings = settings(
        log.directory.path(),
        config(&log.path("app.log")).on_archived(move |archived| {
            logger.log("archived");
            let found = (archived.segment, inner.stop(None), logger.close().expect("closed"));
            send.lock().expect("a sender").send(found).expect("a receiver");
        }),
    );
    archivist.archived(log.archived(&settings, 1));
    let (segment, has_ended, stats) = told.recv_timeout(NEVER).expect("told");
    assert_eq!((segment, has_ended, stats.accepted), (1, false, 1));
    // The archivist takes no more work.
    archivist.archived(log.archived(&settings, 1));
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
}

#[test]
fn who_asks_for_room_is_told() {
    let log = Log::new(2);
    let archivist = Archivist::new();
    let (send, told) = mpsc::channel();
    for deleted in [true, false] {
        let send = send.clone();
        let settings = log.settings(|config| config);
        let made = Box::new(move |deleted| send.send(deleted).expect("a receiver"));
        archivist.make_room(settings, log.active, made);
        assert_eq!(told.recv_timeout(NEVER).expect("told"), deleted);
    }
    log.assert_holds(2..=3);
    assert!(archivist.stop(None));
}

#[test]
fn without_an_end_it_does_what_it_was_given_and_ends() {
    let log = Log::new(2);
    let archivist = Archivist::new();
    let settings = log.settings(|config| config);
    let queue = archivist.queue.clone();
    archivist.archived(log.archived(&settings, 1));
    archivist.archived(log.archived(&settings, 2));
    drop(archivist);
    assert!(queue.wait_ended(Some(Instant::now() + NEVER)));
    assert_eq!(log.told.archived().len(), 2);
}

/// The thread belongs to the parent. A child that drops the archivist neither ends the queue nor waits for its lock.
#[cfg(not(miri))]
#[test]
fn a_forked_child_leaves_the_thread_alone() {
    let archivist = Archivist::new();
    let queue = archivist.queue.clone();
    let mut inherited = Some((archivist, queue.hold()));
    crate::mem::in_forked_child(|| {
        let (archivist, held) = inherited.take().expect("inherited");
        drop(archivist);
        drop(held);
        !queue.is_stopping()
    });
    drop(inherited.map(|(archivist, held)| {
        drop(held);
        archivist
    }));
    assert!(queue.is_stopping());
}

#[test]
fn a_callback_that_does_not_return_is_not_waited_for() {
    let log = Log::new(1);
    let (send, gate) = mpsc::channel::<()>();
    let gate = StdMutex::new(gate);
    let settings = settings(
        log.directory.path(),
        config(&log.path("app.log")).on_archived(move |_| {
            let _ = gate.lock().expect("a gate").recv();
        }),
    );
    let archivist = Archivist::new();
    archivist.archived(log.archived(&settings, 1));
    assert!(!archivist.stop(Some(Instant::now() + Duration::from_millis(30))));
    drop(send);
}

#[cfg(feature = "zstd")]
mod compressing {
    use super::*;
    use crate::io::{Ability, World};

    fn slow(config: Config) -> Config {
        // At this rate a frame takes hours.
        zstd(config).compression_rate(100)
    }

    /// Parts can be seen where a file cannot be made without a name.
    fn with_parts(log: &Log) -> World {
        let world = World::of(log.directory.path());
        world.lacks(&[Ability::Unnamed]);
        world
    }

    fn wait_for_part(log: &Log) {
        let begun = Instant::now();
        while !log.names().iter().any(|name| name.ends_with(".part")) {
            assert!(begun.elapsed() < NEVER);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn stopping_finishes_without_the_limit() {
        let log = Log::new(2);
        let _world = with_parts(&log);
        let settings = log.settings(slow);
        let archivist = Archivist::new();
        archivist.archived(log.archived(&settings, 1));
        archivist.archived(log.archived(&settings, 2));
        wait_for_part(&log);
        assert!(archivist.stop(Some(Instant::now() + NEVER)));
        assert_eq!(log.told.archived().len(), 2);
        assert_eq!(
            log.names(),
            ["app_2024-01-01_00-00-01.log.zst", "app_2024-01-01_00-00-02.log.zst"]
        );
        log.assert_holds(1..=3);
    }

    #[test]
    fn a_deadline_breaks_it_off_and_the_next_opening_does_it() {
        let log = Log::new(1);
        let _world = with_parts(&log);
        let archivist = Archivist::new();
        archivist.archived(log.archived(&log.settings(slow), 1));
        wait_for_part(&log);
        let begun = Instant::now();
        archivist.stop(Some(Instant::now()));
        assert!(begun.elapsed() < NEVER);
        // The thread that nobody waited for ends at once.
        while log.names() != ["app_2024-01-01_00-00-01.log"] {
            assert!(begun.elapsed() < NEVER, "{:?}", log.names());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!((log.told.errors().len(), log.told.archived().len()), (0, 0));
        log.assert_holds(1..=2);
        let next = Archivist::new();
        next.sweep(log.settings(slow), log.active);
        assert!(next.stop(None));
        assert_eq!(log.names(), ["app_2024-01-01_00-00-01.log.zst"]);
        assert_eq!((log.told.errors().len(), log.told.archived().len()), (0, 1));
        log.assert_holds(1..=2);
    }

    #[test]
    fn room_does_not_wait_for_a_compression() {
        let log = Log::new(3);
        let _world = with_parts(&log);
        let settings = log.settings(slow);
        let archivist = Archivist::new();
        archivist.archived(log.archived(&settings, 3));
        wait_for_part(&log);
        let (send, told) = mpsc::channel();
        let again = send.clone();
        archivist.make_room(
            settings.clone(),
            log.active,
            Box::new(move |deleted| send.send(deleted).expect("a receiver")),
        );
        assert!(told.recv_timeout(NEVER).expect("told"));
        log.assert_holds(2..=4);
        archivist.make_room(
            settings.clone(),
            log.active,
            Box::new(move |deleted| again.send(deleted).expect("a receiver")),
        );
        assert!(told.recv_timeout(NEVER).expect("told"));
        assert!(archivist.stop(Some(Instant::now() + NEVER)));
        log.assert_holds(3..=4);
        assert_eq!(log.names(), ["app_2024-01-01_00-00-03.log.zst"]);
    }

    #[test]
    fn what_is_deleted_while_it_is_compressed_does_not_come_back() {
        let log = Log::new(1);
        let _world = with_parts(&log);
        let archivist = Archivist::new();
        archivist.archived(log.archived(&log.settings(slow), 1));
        wait_for_part(&log);
        fs::remove_file(log.path(archived_name(1))).expect("removed");
        assert!(archivist.stop(None));
        assert_eq!(log.names(), [""; 0]);
        assert_eq!((log.told.errors().len(), log.told.archived().len()), (0, 0));
    }

    #[test]
    fn a_segment_that_is_changed_meanwhile_stays() {
        let log = Log::new(1);
        let _world = with_parts(&log);
        let archivist = Archivist::new();
        archivist.archived(log.archived(&log.settings(slow), 1));
        wait_for_part(&log);
        let name = log.path(archived_name(1));
        let file = fs::OpenOptions::new().append(true).open(&name).expect("a file");
        std::io::Write::write_all(&mut &file, b"more").expect("written");
        assert!(archivist.stop(None));
        assert_eq!(log.names(), ["app_2024-01-01_00-00-01.log"]);
        assert!(log.told.errors()[0].contains("changed while"), "{:?}", log.told.errors());
    }
}
