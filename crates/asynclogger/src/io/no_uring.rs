//! The stand-in for the ring in a build without the feature `io-uring`: a ring never exists.

use std::{convert::Infallible, fs::File};

use super::{Alarm, Completion, Operation, pwrite::Form};
use crate::{Error, ErrorKind, sync::Arc};

/// A ring; none can exist.
pub(super) struct Ring(Infallible);

impl Ring {
    pub(super) fn new(_alarm: &Alarm) -> Result<Ring, Error> {
        let what = "io_uring: this build is without the feature `io-uring`";
        Err(Error::new(ErrorKind::Engine, what))
    }
}

/// A file of a ring; none can exist either.
pub(super) struct RingFile(Arc<Ring>);

impl RingFile {
    pub(super) fn new(ring: Arc<Ring>, _file: &Arc<File>, _form: Form) -> RingFile {
        RingFile(ring)
    }

    pub(super) fn submit(&mut self, _tag: u64, _operation: Operation) -> Result<(), Operation> {
        match self.0.0 {}
    }

    pub(super) fn reap(&mut self) -> Option<(Completion, Operation)> {
        match self.0.0 {}
    }
}
