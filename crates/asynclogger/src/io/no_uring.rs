//! What stands for the ring in a build without the feature `io-uring`: there never is one.

use std::{convert::Infallible, fs::File};

use super::{Alarm, Completion, Operation, pwrite::Form};
use crate::{Error, ErrorKind, sync::Arc};

/// There is none.
pub(super) struct Ring(Infallible);

impl Ring {
    pub(super) fn new(_alarm: &Alarm) -> Result<Ring, Error> {
        let what = "io_uring: this build is without the feature `io-uring`";
        Err(Error::new(ErrorKind::Engine, what))
    }
}

/// As there is no ring, there is no file of it.
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
