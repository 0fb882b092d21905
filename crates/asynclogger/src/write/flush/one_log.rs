//! One log with a flusher of its own, to be closed.

use std::{path::Path, time::Duration};

use super::{closer::Closing, session::Session};
use crate::{
    Config, Error, Stats,
    sync::Arc,
    write::{common::Gate, swap::Shards},
};

/// One log with shards of its own, as the [`Closer`](super::Closer) sees it: of a logger, or of a dead process.
pub(crate) struct OneLog {
    pub(crate) shards: Arc<Shards>,
    pub(crate) session: Arc<Session>,
    pub(crate) config: Config,
}

impl Closing for OneLog {
    const NAME: &'static str = "logger";

    fn path(&self) -> &Path {
        self.config.path()
    }

    fn flush_timeout(&self) -> Duration {
        self.config.flush_timeout
    }

    fn shards(&self) -> &Shards {
        &self.shards
    }

    fn gate(&self) -> &Gate {
        self.session.gate()
    }

    fn stats(&self) -> Stats {
        self.session.stats()
    }

    fn failure(&self) -> Option<Error> {
        self.session.last_error()
    }

    fn closed(&self) {
        self.shards.pool().give_up_map();
    }
}
