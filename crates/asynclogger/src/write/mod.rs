//! From a record to the file, in rooms with one direction: `events` and `flush` know `segments`, which know
//! `archive`; all know `swap`, what callers do, and `common`.

mod archive;
mod common;
mod crash;
mod events;
mod flush;
mod salvage;
mod segments;
mod swap;

#[cfg(all(test, feature = "zstd"))]
pub(crate) use self::archive::compress;
#[cfg(feature = "async")]
pub use self::common::Flushing;
pub use self::swap::RecordWriter;
#[cfg(test)]
pub(crate) use self::swap::Sleep;
pub(crate) use self::{
    archive::{Archivist, delete, finish, is_archived_name, open_listed, open_unwritten},
    common::{Ending, Gate, Local},
    events::{
        Callers, Event, EventHandle, MAX_EVENT_NAME, NotOpened, Opener, Setup, Shared, Sums,
        set_up, start_flusher,
    },
    flush::{
        Archiving, Closer, Closing, Intake, LogWriter, OneLog, Session, Teller, inside,
        start_flusher as start_logger_flusher,
    },
    salvage::{Wanted, salvage, salvage_log},
    segments::{LogFiles, Zone, new_session},
    swap::{Bell, Ingest, IngestParts, Pool, Shards},
};
