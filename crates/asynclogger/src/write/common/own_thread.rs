//! The library's own threads, which no signal reaches, and the errors made from their panics.

use std::any::Any;

use crate::{
    Error, ErrorKind,
    io::with_signals_blocked,
    mem::OfProcess,
    sync::thread::{self, JoinHandle},
};

/// Starts a thread. Its name may have up to 15 bytes, the limit of Linux.
///
/// # Errors
/// If the system gives no thread.
pub(in crate::write) fn start(
    name: &str,
    what: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<OwnThread, Error> {
    let thread = thread::Builder::new().name(name.into());
    // All signals are blocked from the thread's first moment. A handler that ran there before would log as on a thread
    // of the user.
    let started = with_signals_blocked(|| thread.spawn(run))
        .map_err(|error| Error::io(format!("cannot start {what}"), error))?;
    Ok(OwnThread(OfProcess::new(Some(started))))
}

/// The handle of one of the library's threads. A forked child does not have the thread, so its handle waits for nothing
/// and releases nothing.
pub(in crate::write) struct OwnThread(OfProcess<Option<JoinHandle<()>>>);

impl OwnThread {
    /// # Errors
    /// The same as for [`start`].
    pub(in crate::write) fn flusher(
        run: impl FnOnce() + Send + 'static,
    ) -> Result<OwnThread, Error> {
        start("asynclogger", "the flusher's thread", run)
    }

    /// Lets go of a thread that was told to end. `wait`: returns after the thread has ended; never set on the thread
    /// itself.
    pub(in crate::write) fn end(&mut self, wait: bool) {
        if let Some(thread) = self.0.get_mut().and_then(Option::take)
            && wait
        {
            // A panic of the thread would be a bug; nobody is left to take the report.
            let _ = thread.join();
        }
    }
}

/// The error that reports a panic.
pub(in crate::write) fn panicked(who: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::new(ErrorKind::Panic, format!("{who} panicked: {text}"))
}
