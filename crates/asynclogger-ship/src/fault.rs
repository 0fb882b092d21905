//! Places where the tests of this crate end the process.

/// Ends the process with SIGKILL here, if `ASYNCLOGGER_SHIP_KILL` is `NAME:N` and this is the N-th time that the place is
/// passed; only with the feature `fault`, and else nothing.
#[cfg(feature = "fault")]
pub(crate) fn point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let wanted = std::env::var("ASYNCLOGGER_SHIP_KILL").unwrap_or_default();
    let Some((place, count)) = wanted.split_once(':') else { return };
    if place == name && count.parse() == Ok(PASSED.fetch_add(1, Ordering::Relaxed) + 1) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(not(feature = "fault"))]
pub(crate) fn point(_: &str) {}
