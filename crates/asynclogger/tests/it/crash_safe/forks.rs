//! Forked children of a crash-safe logger: they never touch the map, and the parent loses nothing.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use asynclogger::{ErrorKind, Health, LogError, Logger};

use super::dying::{Home, Role, Thread, end_of, log_some};
use crate::support::Numbered;

const CHILD: &str = "crash_safe::forks::child_forks";

/// Each way in which a forked child ends.
const ENDS: [&str; 7] = ["_exit", "exit", "abort", "kill", "exec", "drop", "close"];

/// Forks; the child asserts what it finds, and ends. Returns the child's status.
fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: the child does what is under test, and ends without running anything of the parent's.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: the timer is the child's: a child that waits for what never comes is ended.
        unsafe { libc::alarm(60) };
        let said = catch_unwind(AssertUnwindSafe(child));
        // SAFETY: as above.
        unsafe { libc::_exit(if said.is_ok() { 0 } else { 99 }) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

/// A child is refused, counts that, and has nothing of the map in its memory.
fn is_refused(logger: &Logger, maps: &str) {
    let before = logger.stats().dropped.closed;
    for _ in 0..10 {
        assert_eq!(logger.try_log_bytes(b"from a child"), Err(LogError::Closed));
        let encoded = logger.try_log_with(10, |room| assert!(room.write(b"encoded")));
        assert_eq!(encoded, Err(LogError::Closed));
    }
    assert_eq!(logger.stats().dropped.closed, before + 20, "each refusal is counted");
    assert_eq!(logger.health(), Health::Forked);
    assert_eq!(logger.flush().expect_err("forked").kind(), ErrorKind::Forked);
    let mapped = fs::read_to_string("/proc/self/maps").expect("the mappings");
    assert!(!mapped.contains(maps), "the child has the map:\n{mapped}");
}

fn ends(how: &str, logger: &mut Option<Logger>) {
    match how {
        // SAFETY: nothing of this process has to run any more.
        "_exit" => unsafe { libc::_exit(0) },
        "exit" => std::process::exit(0),
        "abort" => std::process::abort(),
        // SAFETY: this process kills itself.
        "kill" => unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        },
        "exec" => {
            let (program, nothing) = (c"/bin/true".as_ptr(), std::ptr::null());
            // SAFETY: the list ends with a null pointer.
            unsafe { libc::execv(program, [program, nothing].as_ptr()) };
            panic!("not executed");
        }
        "drop" => drop(logger.take()),
        "close" => {
            let error = logger.as_ref().expect("a logger").close().expect_err("forked");
            assert_eq!(error.kind(), ErrorKind::Forked);
        }
        _ => panic!("no end: {how}"),
    }
}

/// The process whose children they are: it forks, goes on, and is killed in the end.
#[test]
fn child_forks() {
    let Some(role) = Role::get() else {
        return;
    };
    let counts = role.counts();
    let maps = role.maps.display().to_string();
    let mut logger = Some(Logger::new(role.config()).expect("a logger"));
    let parent = logger.clone().expect("a logger");
    // The other handle is dropped in a child.
    log_some(&parent, &counts, 0, 500);
    for how in ENDS {
        // So that the flusher has nothing to note meanwhile.
        parent.flush().expect("flushed");
        let before = fs::read(parent.crash_map().expect("a map")).expect("the map");
        let status = fork(|| {
            is_refused(&parent, &maps);
            ends(how, &mut logger);
        });
        match how {
            "abort" => assert_eq!(libc::WTERMSIG(status), libc::SIGABRT),
            "kill" => assert_eq!(libc::WTERMSIG(status), libc::SIGKILL),
            _ => assert_eq!(status, 0, "{how}"),
        }
        let after = fs::read(parent.crash_map().expect("a map")).expect("the map");
        assert!(before == after, "{how}: a child has written to the map");
        log_some(&parent, &counts, 0, 500);
    }
    fork_in_an_encoder(&parent, &counts);
    log_some(&parent, &counts, 0, 500);
    assert_eq!(parent.stats().dropped_logs, 0);
    role.ready();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Both processes return from the encoder: the parent's record is logged, and the child's is refused.
fn fork_in_an_encoder(parent: &Logger, counts: &super::counts::Counts) {
    let mut record = Numbered::new();
    for number in counts.get(0)..counts.get(0) + 20 {
        let bytes = record.make(0, number, 40);
        let mut pid = -1;
        let encoded = parent.try_log_with(64, |room| {
            assert!(room.write(&bytes[..20]));
            // SAFETY: the child returns from the encoder, and ends below.
            pid = unsafe { libc::fork() };
            assert!(room.write(&bytes[20..]));
        });
        if pid == 0 {
            let refused = encoded == Err(LogError::Closed);
            // SAFETY: nothing of this process has to run any more.
            unsafe { libc::_exit(i32::from(!refused)) };
        }
        let mut status = 0;
        // SAFETY: waits for our own child.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0, "the child is refused");
        encoded.expect("accepted");
        counts.set(0, number + 1);
    }
}

#[test]
fn a_forked_child_leaves_the_map_to_its_parent() {
    let home = Home::new();
    let mut child = home.start(CHILD, "forks");
    let _ = child.kill();
    assert_eq!(end_of(child).signal(), Some(libc::SIGKILL));
    let sessions = home.assert_kept(&[Thread::Still], "forks");
    assert_eq!(sessions.len(), 1);
    assert_eq!(home.counts().get(0), 500 * (ENDS.len() as u64 + 2) + 20);
}
