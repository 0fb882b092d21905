//! Functions of the user that the library calls.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind},
    sync::Arc,
};

/// A function of the user that is called with each `T`.
pub(crate) struct Callback<T>(Arc<dyn Fn(&T) + Send + Sync>);

impl<T> Callback<T> {
    pub(crate) fn new(callback: impl Fn(&T) + Send + Sync + 'static) -> Callback<T> {
        Callback(Arc::new(callback))
    }

    /// Calls the function and catches its panic.
    ///
    /// # Errors
    /// The payload of the panic.
    pub(crate) fn call(&self, told: &T) -> Result<(), Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| (self.0)(told)))
    }
}

// A panic never leaves a callback (`call` catches it), and a panic elsewhere in the program does not pass
// through a callback. Code that catches such a panic finds the callback, and the values that it holds,
// between two calls.
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
