//! Signal masks: the flusher's thread handles no signals.
//!
//! A signal handler that logs, run on the flusher's thread, would wait for work that only the flusher does. And
//! `SIGXFSZ`, sent to the thread that writes beyond a limit, would end the process.

use std::{io, mem::MaybeUninit};

/// Restores the caller's mask, also when the call panics.
struct Restore(libc::sigset_t);

impl Drop for Restore {
    fn drop(&mut self) {
        // SAFETY: the set was filled by the system.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

/// Runs `call` with all signals blocked on this thread. A thread that `call` starts has all signals blocked for ever.
pub(crate) fn with_signals_blocked<T>(call: impl FnOnce() -> T) -> T {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both sets are written before they are read; `sigfillset` cannot fail on a valid pointer.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
    };
    // SAFETY: on success the system has filled `before`.
    let _restore = (blocked == 0).then(|| Restore(unsafe { before.assume_init() }));
    call()
}

/// Runs a call that makes a file longer, on a thread that may be the user's. A call beyond the limit of the process
/// (`RLIMIT_FSIZE`) fails with `EFBIG`, and the `SIGXFSZ` that comes with the error is taken away: by default the
/// signal would end the process.
pub(super) fn without_limit_signal<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let (mut limit, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both sets are written before they are read; the first two cannot fail on a valid pointer and a signal
    // that there is.
    let blocked = unsafe {
        libc::sigemptyset(limit.as_mut_ptr());
        libc::sigaddset(limit.as_mut_ptr(), libc::SIGXFSZ);
        libc::pthread_sigmask(libc::SIG_BLOCK, limit.as_ptr(), before.as_mut_ptr())
    };
    if blocked != 0 {
        return call();
    }
    // SAFETY: on success the system has filled `before`, and `limit` was filled above.
    let (restore, limit) = unsafe { (Restore(before.assume_init()), limit.assume_init()) };
    // SAFETY: a set that was filled.
    let was_blocked = unsafe { libc::sigismember(&raw const restore.0, libc::SIGXFSZ) } == 1;
    let result = call();
    let too_big = |error: &io::Error| error.raw_os_error() == Some(libc::EFBIG);
    // If the caller has blocked the signal, the signal stays pending: one more makes no difference there, and a signal
    // that the caller waits for is not taken away.
    if !was_blocked && result.as_ref().is_err_and(too_big) {
        let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time are filled; nothing is asked of the signal. It comes before the mask is
        // restored.
        unsafe { libc::sigtimedwait(&raw const limit, std::ptr::null_mut(), &raw const no_time) };
    }
    result
}
