//! Signal masks: the flusher's thread handles no signals.
//!
//! A handler that logs, run by the flusher, would wait for what only the flusher can do; and `SIGXFSZ`,
//! sent to the thread that writes beyond a limit, would end the process.

use std::mem::MaybeUninit;

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

/// Runs `call` with all signals blocked on this thread; a thread that it starts has them blocked for ever.
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
