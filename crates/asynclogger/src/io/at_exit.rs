//! Work at the exit of the process. Nothing is registered with the system before a user asks for such work.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    Error,
    mem::PerProcess,
    sync::{GlobalMutex, GlobalMutexGuard, PoisonError, Weak},
};

/// A thing with work to do at the exit of the process.
pub(crate) trait AtExit: Send + Sync {
    fn at_exit(&self);
}

/// Things that wait for the exit, and whether the system knows of them.
#[derive(Default)]
struct Waiting {
    things: Vec<Weak<dyn AtExit>>,
    is_registered: bool,
}

/// The things of this process. A forked child has none: its parent's things are not its own to end.
static WAITING: PerProcess<GlobalMutex<Waiting>> = PerProcess::new();

/// Calls `at_exit` when the process exits: by a return from `main`, by `std::process::exit` or by C's `exit`. A thing that
/// is gone by then is not called.
///
/// # Errors
/// The system has no memory for one more handler.
pub(crate) fn register(thing: Weak<dyn AtExit>) -> Result<(), Error> {
    let mut waiting = waiting();
    waiting.things.retain(|other| other.strong_count() > 0);
    if !waiting.is_registered {
        // SAFETY: the function is never unloaded before its handler has run, and unwinds out of no call.
        let refused = unsafe { libc::atexit(run) };
        if refused != 0 {
            let error = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
            return Err(Error::io("cannot register for the exit of the process", error));
        }
    }
    waiting.is_registered = true;
    waiting.things.push(thing);
    Ok(())
}

fn waiting() -> GlobalMutexGuard<'static, Waiting> {
    WAITING.get().lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn run() {
    // The last one first, as things are dropped. The lock is free meanwhile.
    let things = std::mem::take(&mut waiting().things);
    for thing in things.into_iter().rev().filter_map(|thing| thing.upgrade()) {
        // A panic must not leave this function, and keeps no other thing from its end.
        let _ = catch_unwind(AssertUnwindSafe(|| thing.at_exit()));
    }
}
