//! The guard of a facade that was installed for the whole program.

use std::time::Duration;

use super::Destination;
use crate::Error;

/// The longest time that the drop waits: a device that does not answer must not hold up the end of a program.
const PATIENCE: Duration = Duration::from_secs(10);

/// Flushes when it is dropped: at the end of `main`, and when a panic unwinds `main`.
///
/// The facades keep their logger in a static, which is never dropped, so the last records of a program would be lost
/// with the buffers. Keep the guard in a variable of `main`:
///
/// ```compile_fail
/// #![deny(let_underscore_drop)]
/// fn program(init: fn() -> asynclogger::FlushGuard) {
///     let _ = init(); // Dropped at once: the lint refuses this line.
/// }
/// ```
///
/// `let _guard = ..` keeps it. After the drop records are still taken. [`std::process::exit`], `abort` and signals drop
/// nothing: [`Logger::close_at_exit`](crate::Logger::close_at_exit) helps against the first,
/// [`Config::crash_safe`](crate::Config::crash_safe) against all of them.
#[must_use = "the guard flushes when it is dropped: `let _guard = ..` keeps it until the end of the block"]
#[derive(Debug)]
pub struct FlushGuard {
    destination: Destination,
}

impl FlushGuard {
    #[cfg_attr(not(any(feature = "log", feature = "tracing")), expect(dead_code))]
    pub(super) fn new(destination: Destination) -> FlushGuard {
        FlushGuard { destination }
    }

    /// Makes all records durable that were logged before this call, in at most this time.
    ///
    /// # Errors
    /// Those of [`Logger::flush_for`](crate::Logger::flush_for).
    pub fn flush_for(&self, timeout: Duration) -> Result<(), Error> {
        self.destination.flush_for(timeout)
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        // An error has been given to `on_error` and stays in the statistics.
        let _ = self.destination.flush_for(PATIENCE);
    }
}
