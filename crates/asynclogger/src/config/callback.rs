//! Functions of the user that the library calls.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind},
    sync::Arc,
};

/// A function of the user that is told of each `T`.
pub(crate) struct Callback<T>(Arc<dyn Fn(&T) + Send + Sync>);

impl<T> Callback<T> {
    pub(crate) fn new(callback: impl Fn(&T) + Send + Sync + 'static) -> Callback<T> {
        Callback(Arc::new(callback))
    }

    /// Calls the function, whose panics are its own.
    ///
    /// # Errors
    /// What it panicked with.
    pub(crate) fn call(&self, told: &T) -> Result<(), Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| (self.0)(told)))
    }
}

// A panic never leaves through a callback (`call`), and a panic of the program beside it does not run through
// one: whoever catches that panic finds the callback, and what it holds, between two calls.
impl<T> UnwindSafe for Callback<T> {}
impl<T> RefUnwindSafe for Callback<T> {}

impl<T> Clone for Callback<T> {
    fn clone(&self) -> Callback<T> {
        Callback(self.0.clone())
    }
}

impl<T> fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}
