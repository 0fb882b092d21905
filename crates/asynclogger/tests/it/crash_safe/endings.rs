//! Each way in which a process ends: `docs/durability.md` has the table.

use std::{
    ffi::CString,
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    path::Path,
    process::{Child, Command},
    sync::OnceLock,
    time::Duration,
};

use asynclogger::{Archive, Logger};

use super::{
    cgroup::MemoryGroup,
    dying::{Home, OWN, Role, Thread, end_of, log_some},
};
use crate::{
    mounts::{or_skip, skipped},
    support::directory,
};

const CHILD: &str = "crash_safe::endings::child_ends";
/// The memory that a child may have which is to be killed for its memory.
const LIMIT: u64 = 96 << 20;

/// As users have it: nobody drops it.
static LOGGER: OnceLock<Logger> = OnceLock::new();

/// The child: logs, and ends.
#[test]
fn child_ends() {
    let Some(role) = Role::get() else {
        return;
    };
    let (way, argument) = role.way.split_once('@').unwrap_or((&role.way, ""));
    if way == "oom" {
        MemoryGroup::enter(Path::new(argument));
    }
    // A parent in the background, or under `nohup`, ignores some of them, and so would this process: it would log for ever.
    for end in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: the default, which runs no code.
        unsafe { libc::signal(end, libc::SIG_DFL) };
    }
    if way == "stop" {
        // SAFETY: the child ignores the signal with which a container is stopped.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    }
    let logger = LOGGER.get_or_init(|| Logger::new(role.config()).expect("a logger"));
    if way == "successor" {
        // The program that took the place of another one, in the same process.
        assert_eq!(logger.salvage().sessions.len(), 1, "{:?}", logger.salvage());
        logger.close().expect("closed");
        return;
    }
    role.log(logger);
    role.ready();
    end(way, &role);
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[expect(clippy::large_stack_arrays, reason = "the stack is to overflow")]
fn overflow_the_stack(depth: u64) -> u64 {
    let array = std::hint::black_box([depth; 4096]);
    overflow_the_stack(array[0] + 1) + array[1]
}

fn end(way: &str, role: &Role) {
    match way {
        // The harness returns from its `main`.
        "returns" => {}
        "exits" => std::process::exit(0),
        // SAFETY: nothing of this process has to run any more.
        "leaves" => unsafe { libc::_exit(0) },
        "aborts" => std::process::abort(),
        "panics" => {
            // As `panic = "abort"` does: after the message, without unwinding.
            std::panic::set_hook(Box::new(|_| std::process::abort()));
            panic!("the end");
        }
        // SAFETY: none: no page is there, and the kernel ends the process.
        "faults" => unsafe { std::ptr::without_provenance_mut::<u8>(64).write_volatile(1) },
        "overflows" => {
            overflow_the_stack(0);
        }
        "executes" => {
            let argument = |text: &str| CString::new(text).expect("no NUL");
            let binary = std::env::current_exe().expect("this binary");
            let binary = CString::new(binary.as_os_str().as_bytes()).expect("no NUL");
            let arguments = ["it", CHILD, "--exact", "--test-threads=1"].map(argument);
            let (home, maps) = (role.home.display(), role.maps.display());
            let variable = argument(&format!("CHILD=successor {home} {maps}"));
            let mut arguments = arguments.each_ref().map(|text| text.as_ptr()).to_vec();
            arguments.push(std::ptr::null());
            let variables = [variable.as_ptr(), std::ptr::null()];
            // SAFETY: both lists end with a null pointer, and their texts with NUL.
            unsafe { libc::execve(binary.as_ptr(), arguments.as_ptr(), variables.as_ptr()) };
            panic!("not executed: {}", std::io::Error::last_os_error());
        }
        "oom" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1_u8; 1 << 20]);
            }
        }
        "waits" | "stop" => loop {
            std::thread::park();
        },
        _ => panic!("no way to end: {way}"),
    }
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: our own child, which was not waited for.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, signal) }, 0);
}

/// Runs a child to its end, by itself, and checks that nothing is lost.
#[track_caller]
fn ends(way: &str, is_it: impl FnOnce(&std::process::ExitStatus) -> bool) {
    let home = Home::new();
    let status = home.run(CHILD, way);
    assert!(is_it(&status), "{way}: {status:?}");
    is_kept(&home, way);
}

/// Nothing is lost of what the child had accepted.
#[track_caller]
fn is_kept(home: &Home, way: &str) {
    let sessions = home.assert_kept(&[Thread::Still, Thread::Busy], way);
    assert_eq!(sessions.len(), 1, "{way}");
    assert!(sessions[0].records > 0, "{way}: {sessions:?}");
    assert!(home.counts().get(0) == OWN);
}

#[test]
fn a_return_from_main_with_a_logger_in_a_static_loses_nothing() {
    ends("returns", |status| status.success());
}

#[test]
fn an_exit_without_close_loses_nothing() {
    ends("exits", |status| status.success());
    ends("leaves", |status| status.success());
}

#[test]
fn an_abort_loses_nothing() {
    ends("aborts", |status| status.signal() == Some(libc::SIGABRT));
}

#[test]
fn a_panic_that_aborts_loses_nothing() {
    ends("panics", |status| status.signal() == Some(libc::SIGABRT));
}

#[test]
fn a_segmentation_fault_loses_nothing() {
    ends("faults", |status| status.signal() == Some(libc::SIGSEGV));
}

#[test]
fn a_stack_overflow_loses_nothing() {
    let is_it = [Some(libc::SIGABRT), Some(libc::SIGSEGV)];
    ends("overflows", |status| is_it.contains(&status.signal()));
}

#[test]
fn a_signal_that_ends_the_process_loses_nothing() {
    for end in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGKILL] {
        let home = Home::new();
        let child = home.start(CHILD, "waits");
        signal(&child, end);
        assert_eq!(end_of(child).signal(), Some(end));
        is_kept(&home, &format!("signal {end}"));
    }
}

/// Somebody archives the file of the dead process before its memory is salvaged.
#[test]
fn an_archived_file_of_a_dead_process_loses_nothing() {
    let home = Home::new();
    let child = home.start(CHILD, "waits");
    signal(&child, libc::SIGKILL);
    assert_eq!(end_of(child).signal(), Some(libc::SIGKILL));
    let archive = Archive::open(home.path().join("logs")).expect("the directory");
    let finished = archive.finish().expect("listed");
    assert!(finished.left.is_empty(), "{finished:?}");
    is_kept(&home, "an archived file");
}

/// A container is stopped by SIGTERM, and by SIGKILL if that does not help.
#[test]
fn a_container_stop_loses_nothing() {
    let home = Home::new();
    let mut child = home.start(CHILD, "stop");
    signal(&child, libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(50));
    assert!(child.try_wait().expect("a status").is_none(), "it ignores the first signal");
    signal(&child, libc::SIGKILL);
    assert_eq!(end_of(child).signal(), Some(libc::SIGKILL));
    is_kept(&home, "a container stop");
}

/// `OOM_KILLS` says how often.
#[test]
fn an_oom_kill_loses_nothing() {
    if crate::support::child_role().is_some() {
        return;
    }
    let kills = std::env::var("OOM_KILLS").map_or(1, |text| text.parse().expect("a number"));
    let mut records = 0;
    for kill in 0..kills {
        let Some(group) = or_skip(MemoryGroup::new(LIMIT)) else {
            return;
        };
        // In memory, where the group pays for it: the kernel must not take it away with the process.
        let maps = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let home = Home::with_maps(directory(), maps.path().into());
        let status = home.run(CHILD, &format!("oom@{}", group.path().display()));
        assert_eq!(status.signal(), Some(libc::SIGKILL), "kill {kill}");
        assert!(group.kills() >= 1, "the kernel has killed it for its memory");
        let sessions = home.assert_kept(&[Thread::Still, Thread::Busy], "an OOM kill");
        records += sessions.iter().map(|session| session.records).sum::<u64>();
    }
    println!("{kills} processes killed for their memory, {records} records salvaged; 0 lost");
}

/// The lock of the map ends with the old program, though the process stays.
#[test]
fn an_execution_of_another_program_loses_nothing() {
    let home = Home::new();
    let status = home.run(CHILD, "executes");
    assert!(status.success(), "{status:?}");
    assert_eq!(home.all_maps().len(), 0, "the successor has salvaged it");
    home.assert_in_log(&[Thread::Still, Thread::Busy], "an execution");
}

#[test]
fn a_debuggers_kill_loses_nothing() {
    let home = Home::new();
    let child = home.start(CHILD, "waits");
    let pid = child.id() as libc::pid_t;
    let nothing = std::ptr::null_mut::<libc::c_void>();
    let mut status = 0;
    // SAFETY: our own child; these requests touch no memory of this process.
    let attached = unsafe { libc::ptrace(libc::PTRACE_ATTACH, pid, nothing, nothing) };
    if attached != 0 {
        skipped(&format!("no process can be traced: {}", std::io::Error::last_os_error()));
        signal(&child, libc::SIGKILL);
    } else {
        // SAFETY: as above.
        unsafe {
            libc::waitpid(pid, &raw mut status, libc::__WALL);
            libc::ptrace(libc::PTRACE_KILL, pid, nothing, nothing);
        }
    }
    assert_eq!(end_of(child).signal(), Some(libc::SIGKILL));
    is_kept(&home, "PTRACE_KILL");

    let home = Home::new();
    let child = home.start(CHILD, "waits");
    let pid = child.id().to_string();
    let debugger = Command::new("gdb").args(["-nx", "-batch", "-p", &pid, "-ex", "kill"]).output();
    match debugger {
        Ok(_) => {}
        Err(error) => skipped(&format!("gdb: {error}")),
    }
    signal(&child, libc::SIGKILL);
    assert_eq!(end_of(child).signal(), Some(libc::SIGKILL));
    is_kept(&home, "gdb");
}

/// A logger that was closed leaves no map, and so does one that was dropped.
#[test]
fn a_closed_logger_leaves_no_map() {
    let home = Home::new();
    for closes in [true, false] {
        let logger = Logger::new(home.config()).expect("a logger");
        assert_eq!(logger.crash_map(), Some(home.map()));
        log_some(&logger, &home.counts(), 0, 100);
        if closes {
            logger.close().expect("closed");
        }
        drop(logger);
        assert_eq!(home.all_maps().len(), 0);
    }
    home.assert_in_log(&[Thread::Still], "closed");
}
