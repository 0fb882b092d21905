//! From a record to the file: shard, buffer, seal, flusher, segment.

mod active;
mod archive;
mod archivist;
mod block_memory;
#[expect(
    unsafe_code,
    reason = "the bytes of a buffer have one owner at a time, by the swap protocol"
)]
mod buffer;
mod calendar;
#[cfg(feature = "zstd")]
pub(crate) mod compress;
mod events;
mod fault;
mod files;
mod flusher;
mod gate;
mod home;
#[cfg(feature = "zstd")]
mod inflate;
mod log;
mod log_stats;
mod log_writer;
mod outbox;
mod own_thread;
mod parts;
mod pass;
#[expect(unsafe_code, reason = "buffers are places in one region")]
mod pool;
mod progress;
mod reaction;
mod retention;
mod rotator;
mod schedule;
mod segment;
#[expect(unsafe_code, reason = "the holder of a claim is alone above the tail")]
mod shard;
mod trouble;
mod wait;
mod word;

pub(crate) use self::{
    archivist::Archivist,
    calendar::Zone,
    events::{
        EventHandle, EventsFlusher, MAX_EVENT_NAME, NotOpened, Opener, Shared, Shares, Totals,
    },
    files::LogFiles,
    flusher::Flusher,
    gate::{Ending, Gate},
    home::Local,
    log::{Log, LogParts},
    log_writer::{Archiving, LogWriter},
    pool::Pool,
    segment::new_session,
    wait::Bell,
    wait::Sleep,
};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(test)]
mod tests;

#[cfg(all(test, not(loom)))]
mod schedule_tests;
