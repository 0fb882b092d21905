//! The choice of the engine that writes the files of one flusher, made once.

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
    /// [`ErrorKind::Engine`](crate::ErrorKind::Engine) if io_uring is demanded and not available.
    pub(crate) fn new(engine: Engine, alarm: &Alarm) -> Result<Driver, Error> {
        let ring = match engine {
            Engine::Pwrite => None,
            // Containers refuse io_uring and old kernels lack it; `pwritev2` writes the log there.
            Engine::Auto => Ring::new(alarm).ok().map(Arc::new),
            Engine::Uring => Some(Arc::new(Ring::new(alarm)?)),
        };
        Ok(Driver { ring })
    }

    pub(super) fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.clone()
    }
}
