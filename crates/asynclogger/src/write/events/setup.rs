//! Makes the parts of a manager, before it has a thread.

use super::{callers::Callers, event::Unplaced, memory::Shares, opener::Opener, shared::Shared};
use crate::{
    Config, Error,
    format::MIN_ALIGN,
    io::{Driver, descriptor_limit},
    sync::Arc,
    write::{
        archive::Archivist,
        segments::new_session,
        swap::{Bell, Ingest, IngestParts, Pool},
    },
};

/// The most files that are open at a time, unless the config has another number.
const MOST_FILES: u64 = 1024;

/// The parts of a manager without a thread.
pub(crate) struct Setup {
    pub(crate) callers: Arc<Callers>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) opener: Opener,
    pub(crate) archivist: Arc<Archivist>,
    pub(crate) shares: Shares,
    /// The most events whose files are open at a time.
    pub(crate) max_open: usize,
}

/// Takes the directory of a validated config's path, and the memory.
///
/// # Errors
/// [`ErrorKind::InUse`](crate::ErrorKind::InUse); [`ErrorKind::Engine`](crate::ErrorKind::Engine); those of the
/// system.
pub(crate) fn set_up(config: Config) -> Result<Setup, Error> {
    let descriptors = descriptor_limit().map_or(MOST_FILES, |limit| limit / 4);
    let max_open = config.event_files.unwrap_or(descriptors.clamp(1, MOST_FILES) as usize);
    let bell = Arc::new(Bell::new()?);
    let driver = Driver::new(config.engine, bell.alarm())?;
    let archivist = Arc::new(Archivist::new());
    let opener = Opener::new(&config, driver, archivist.clone(), max_open)?;
    let shares = Shares::of(&config, opener.alignment(config.direct_io));
    // These buffers do not go to a file, so any alignment does.
    let pool = Pool::elastic(shares.buffers, shares.capacity, MIN_ALIGN, shares.elastic)?;
    let ingest = Ingest::new(IngestParts {
        pool,
        bell,
        num_shards: config.num_shards,
        max_record: shares.max_record(),
        overflow: config.overflow,
        shares_barriers: false,
        session: new_session()?,
    })?;
    let (unplaced, overflow) = (Arc::new(Unplaced::default()), config.overflow);
    let shared = Arc::new(Shared::new(config, ingest.shards().clone(), unplaced.clone()));
    let callers = Arc::new(Callers::new(ingest, unplaced, overflow));
    Ok(Setup { callers, shared, opener, archivist, shares, max_open })
}
