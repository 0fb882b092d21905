//! The one place that names `std::sync`, `std::thread` or `loom`.
//!
//! Everything that takes part in the swap protocol imports its atomics, fences and parking from here,
//! so that the models check the code that runs.

#[cfg(not(loom))]
pub(crate) use std::{
    hint,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence},
    },
    thread,
};

#[cfg(loom)]
pub(crate) use self::model::*;

#[cfg(loom)]
mod model {
    pub(crate) use loom::{
        hint,
        sync::{
            Arc, Condvar, Mutex, MutexGuard,
            atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
        },
        thread,
    };
    pub(crate) use std::sync::{PoisonError, Weak, atomic::compiler_fence};
}

/// Locks `mutex`; a panic of another holder is not ours to pass on, and every structure that we guard
/// is valid between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
