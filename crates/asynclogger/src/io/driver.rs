//! Which engine the files of one flusher are written by: chosen once, told which it is.

use super::{Alarm, uring::Ring};
use crate::{Engine, Error, sync::Arc};

/// The engine for all files of one flusher.
#[derive(Clone)]
pub(crate) struct Driver {
    ring: Option<Arc<Ring>>,
}

impl Driver {
    /// Chooses the engine. Completions ring `alarm`.
    ///
    /// # Errors
    /// [`ErrorKind::Engine`](crate::ErrorKind::Engine) if io_uring was demanded and is not to be had.
    pub(crate) fn new(engine: Engine, alarm: &Alarm) -> Result<Driver, Error> {
        let ring = match engine {
            Engine::Pwrite => None,
            // Containers refuse it, and old kernels do not have it: no reason not to log.
            Engine::Auto => Ring::new(alarm).ok().map(Arc::new),
            Engine::Uring => Some(Arc::new(Ring::new(alarm)?)),
        };
        Ok(Driver { ring })
    }

    pub(super) fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.clone()
    }
}
