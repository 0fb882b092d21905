//! From a record to the file, in rooms with one direction: `events` and `flush` know `segments`, which know
//! `archive`; all know `swap`, what callers do, and `common`.

mod archive;
mod common;
mod events;
mod flush;
mod segments;
mod swap;

#[cfg(all(test, feature = "zstd"))]
pub(crate) use self::archive::compress;
pub use self::swap::RecordWriter;
pub(crate) use self::{
    archive::Archivist,
    common::{Ending, Gate, Local},
    events::{
        EventHandle, EventsFlusher, MAX_EVENT_NAME, NotOpened, Opener, Shared, Shares, Totals,
    },
    flush::{Archiving, Flusher, Intake, LogWriter, Session, Teller},
    segments::{LogFiles, Zone, new_session},
    swap::{Bell, Ingest, IngestParts, Pool, Shards, Sleep},
};
