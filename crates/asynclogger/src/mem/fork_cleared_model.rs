//! [`ForkCleared`] for loom, whose atomics are places in a model and not bytes. The model is a boxed slice.

use std::ops::Deref;

use crate::Error;

/// The trait of the real module; the model needs no promise.
///
/// # Safety
/// The same as for the real trait.
pub(crate) unsafe trait ZeroValid: Sync {}

/// A fixed slice of `T`. A model does not fork.
#[derive(Debug)]
pub(crate) struct ForkCleared<T>(Box<[T]>);

impl<T: ZeroValid> ForkCleared<T> {
    pub(crate) fn new(len: usize, item: impl Fn(usize) -> T) -> Result<ForkCleared<T>, Error> {
        Ok(ForkCleared((0..len).map(item).collect()))
    }

    pub(crate) fn is_forked(&self) -> bool {
        false
    }
}

impl<T> Deref for ForkCleared<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}
