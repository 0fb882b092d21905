//! The threads that all stores of a process share, and how a thread waits for them.

use std::sync::{
    OnceLock,
    mpsc::{self, Receiver, RecvError},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::AbortHandle,
};

use crate::{Error, ErrorKind};

/// Requests wait for the network; two threads copy more than the network carries.
const THREADS: usize = 2;

static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();

/// Where the futures of this crate run.
pub(crate) fn handle() -> Result<&'static Handle, Error> {
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("alog-store").enable_all();
        builder.build().map_err(|error| error.to_string())
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(cause) => {
            Err(Error::new(ErrorKind::Other, "start", "the threads of stores", cause.as_str()))
        }
    }
}

/// Runs `future` on these threads, and waits for its end.
///
/// Not `block_on`: that panics on a thread that belongs to another runtime.
pub(crate) fn wait<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    ended(start(future)?.0.recv())
}

/// Runs `future` on these threads. Its end can be waited for, and it can be stopped.
pub(crate) fn start<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<(Receiver<T>, AbortHandle), Error> {
    let (give, take) = mpsc::sync_channel(1);
    let task = handle()?.spawn(async move {
        let _ = give.send(future.await);
    });
    Ok((take, task.abort_handle()))
}

/// What became of a future.
pub(crate) fn ended<T>(received: Result<T, RecvError>) -> Result<T, Error> {
    let panicked = |_| Error::new(ErrorKind::Other, "end", "a request", "its task panicked");
    received.map_err(panicked)
}
