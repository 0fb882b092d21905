//! Makes the parts of a manager, before it has a thread.

use std::{os::unix::ffi::OsStringExt, path::Path};

use super::{
    callers::Callers,
    event::Unplaced,
    memory::{Shares, TAG},
    opener::Opener,
    shared::Shared,
};
use crate::{
    Config, CrashSafe, Error, LogId, Salvage,
    format::{MIN_ALIGN, MapHead},
    io::{Driver, descriptor_limit},
    mem::Counter,
    sync::Arc,
    write::{
        archive::Archivist,
        common::wall_clock,
        crash::{CrashMap, boot_id},
        salvage::salvage_events,
        segments::new_session,
        swap::{Bell, Form, Ingest, IngestParts, Pool},
    },
};

/// The most files that are open at a time, unless the config has another number.
const MOST_FILES: u64 = 1024;

/// The slots in the journal of an event: enough for the blocks that are in flight, and for all of them once more.
const SLOTS: u32 = 32;

/// The parts of a manager without a thread.
pub(crate) struct Setup {
    pub(crate) callers: Arc<Callers>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) opener: Opener,
    pub(crate) archivist: Arc<Archivist>,
    pub(crate) shares: Shares,
    /// The most events whose files are open at a time.
    pub(crate) max_open: usize,
    /// What dead managers had left for this directory.
    pub(crate) salvage: Salvage,
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
    let mut opener = Opener::new(&config, driver, archivist.clone(), max_open)?;
    let align = opener.alignment(config.direct_io);
    let shares = Shares::of(&config, align);
    opener.limit_records(shares.max_record() - TAG);
    let session = new_session()?;
    let salvage = match &config.crash_safe {
        Some(place) => salvage_events(&config, place, opener.directory())?,
        None => Salvage::default(),
    };
    let counter = config.timestamps.is_on().then(Counter::choose);
    let map = match &config.crash_safe {
        Some(place) => map_of(place, &config, &shares, align, (session, counter))?,
        None => None,
    };
    let pool = match map {
        Some(map) => Pool::in_map(Arc::new(map), usize::MAX)?,
        // These buffers do not go to a file, so any alignment does.
        None => Pool::elastic(shares.buffers, shares.capacity, MIN_ALIGN, shares.elastic, counter)?,
    };
    let ingest = Ingest::new(IngestParts {
        pool,
        bell,
        num_shards: config.num_shards,
        max_record: shares.max_record(),
        overflow: config.overflow,
        shares_barriers: false,
        session,
    })?;
    let (unplaced, overflow) = (Arc::new(Unplaced::default()), config.overflow);
    let shared = Arc::new(Shared::new(config, ingest.shards().clone(), unplaced.clone()));
    let callers = Arc::new(Callers::new(ingest, unplaced, overflow));
    Ok(Setup { callers, shared, opener, archivist, shares, max_open, salvage })
}

/// The map for the memory of a manager; `None` if no place has room for it and the setting allows that.
fn map_of(
    place: &CrashSafe,
    config: &Config,
    shares: &Shares,
    align: usize,
    (session, counter): (u64, Option<Counter>),
) -> Result<Option<CrashMap>, Error> {
    let (pieces, piece) = shares.pieces();
    let directory = config.path().parent().unwrap_or(Path::new(""));
    let bytes = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.into_os_string().into_vec()
    };
    let away = config.failover_dir.as_ref().map(|directory| bytes(directory));
    let head = MapHead {
        // A manager has many logs, and so no id of its own.
        log_id: LogId::default(),
        session,
        boot: boot_id(),
        pid: std::process::id(),
        made: wall_clock(),
        align: align as u32,
        capacity: shares.capacity as u32,
        buffers: shares.buffers as u32,
        shards: config.num_shards as u32,
        slots: SLOTS,
        path: bytes(directory),
        away: away.unwrap_or_default(),
        logs: place.most_events(),
        pieces: pieces as u32,
        piece: piece as u32,
        times: counter.map_or(0, |counter| 1 + counter as u32),
    };
    let form = Form::new(shares.capacity, align).timed(counter.is_some());
    let buffers = Pool::bytes(shares.buffers, form);
    let whole = |bytes: usize| bytes.checked_next_multiple_of(align);
    let buffers = buffers.and_then(whole).unwrap_or(usize::MAX);
    let mut parts = Pool::first_parts(shares.buffers, form);
    parts.push(buffers..buffers.saturating_add(shares.first_pieces() * piece));
    CrashMap::create(place, &head, buffers, &parts)
}
