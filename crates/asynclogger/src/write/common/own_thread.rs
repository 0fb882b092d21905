//! Threads of ours: started so that no signal comes to them, and what is made of their panics.

use std::any::Any;

use crate::{
    Error, ErrorKind,
    io::with_signals_blocked,
    mem::OfProcess,
    sync::thread::{self, JoinHandle},
};

/// Starts a thread. Its name may have 15 letters.
///
/// # Errors
/// If the system does not give us one.
pub(in crate::write) fn start(
    name: &str,
    what: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<OwnThread, Error> {
    let thread = thread::Builder::new().name(name.into());
    // A signal that came before the thread knew what it is would run its handler as any thread's.
    let started = with_signals_blocked(|| thread.spawn(run))
        .map_err(|error| Error::io(format!("cannot start {what}"), error))?;
    Ok(OwnThread(OfProcess::new(Some(started))))
}

/// A thread of ours, as its handle sees it. A forked child does not have it: there is nothing to wait for, and
/// nothing to let go.
pub(in crate::write) struct OwnThread(OfProcess<Option<JoinHandle<()>>>);

impl OwnThread {
    /// # Errors
    /// As of [`start`].
    pub(in crate::write) fn flusher(
        run: impl FnOnce() + Send + 'static,
    ) -> Result<OwnThread, Error> {
        start("asynclogger", "the flusher's thread", run)
    }

    /// It was told to end. `wait`: until it has ended; never on the thread itself.
    pub(in crate::write) fn end(&mut self, wait: bool) {
        if let Some(thread) = self.0.get_mut().and_then(Option::take)
            && wait
        {
            // Its panic would be a bug; there is nothing to hand it to.
            let _ = thread.join();
        }
    }
}

/// The error that a panic is told as.
pub(in crate::write) fn panicked(who: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::new(ErrorKind::Panic, format!("{who} panicked: {text}"))
}
