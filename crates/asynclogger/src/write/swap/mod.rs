//! What callers do: claim a shard, copy a record into its buffer, publish it, and swap the buffer when it is full.
//!
//! This room holds the only `unsafe` of the write side. Code outside it cannot name a buffer by number: callers have
//! [`Ingest`]; the flusher has [`Shards`] and takes [`SealedBuffer`]s.

#[expect(
    unsafe_code,
    reason = "the bytes of a buffer have one owner at a time, by the swap protocol"
)]
mod buffer;
#[expect(unsafe_code, reason = "the holder of a claim is alone above the tail")]
mod claim;
mod extending;
mod free_stack;
mod grants;
mod growth;
mod home;
mod ingest;
#[expect(unsafe_code, reason = "no other thread has the buffers of a dead process")]
mod kept;
#[expect(unsafe_code, reason = "buffers are places in one region")]
mod memory;
mod pool;
mod prefault;
mod record_writer;
#[expect(unsafe_code, reason = "the holder of a sealed buffer is its only user")]
mod sealed;
#[expect(unsafe_code, reason = "zero bytes are a closed shard")]
mod shard;
#[expect(unsafe_code, reason = "when there are no callers, no running call holds a claim")]
mod shards;
mod stages;
mod times;
mod usual;
mod wait;
mod word;

#[cfg(all(test, not(any(loom, miri))))]
mod growth_tests;
#[cfg(all(test, loom))]
pub(super) mod loom_tests;
#[cfg(test)]
mod tests;

pub use self::record_writer::RecordWriter;
pub(super) use self::{
    buffer::HEADER,
    kept::{Filling, LeftBuffer},
    memory::Form,
    pool::Elastic,
    prefault::Prefault,
    sealed::SealedBuffer,
    shards::{Held, SealAttempt},
    times::{NOTHING, STAMPS, Source},
};
pub(crate) use self::{
    ingest::{Ingest, IngestParts},
    pool::Pool,
    shards::Shards,
    wait::{Bell, Sleep},
};
