//! The wall clock of this process, which a test can set.
//!
//! The standard library asks for the time by the C function `clock_gettime`. This binary has that function
//! itself, so every wall time in this process is the system's plus an offset.

use std::sync::atomic::{AtomicI64, Ordering};

static OFFSET: AtomicI64 = AtomicI64::new(0);

/// Sets the wall clock so many seconds ahead of the system's, or behind.
pub fn set_ahead(seconds: i64) {
    // Alone in its meaning: nothing else is read because of it.
    OFFSET.store(seconds, Ordering::Relaxed);
}

/// # Safety
/// The C function asks for the same: `time` is null or points to a `timespec`.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    // SAFETY: the caller's contract is the system call's.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if result == 0 && clock == libc::CLOCK_REALTIME && !time.is_null() {
        // SAFETY: the call has just written it.
        unsafe { (*time).tv_sec += OFFSET.load(Ordering::Relaxed) };
    }
    result as libc::c_int
}
