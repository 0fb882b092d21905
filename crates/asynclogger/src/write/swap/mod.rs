//! What callers do: claim a shard, copy a record into its buffer, publish it, and swap the buffer when it is full.

#[expect(
    unsafe_code,
    reason = "the bytes of a buffer have one owner at a time, by the swap protocol"
)]
mod buffer;
mod home;
mod log;
mod log_stats;
#[expect(unsafe_code, reason = "buffers are places in one region")]
mod pool;
#[expect(unsafe_code, reason = "the holder of a claim is alone above the tail")]
mod shard;
mod wait;
mod word;

#[cfg(all(test, loom))]
pub(super) mod loom_tests;
#[cfg(test)]
mod tests;

pub(super) use self::{
    buffer::{HEADER, SealedBuffer},
    pool::Elastic,
    shard::{Reason, SealAttempt, Shard},
    word::{BufferIndex, BufferState},
};
pub(crate) use self::{
    home::Local,
    log::{Log, LogParts},
    pool::Pool,
    wait::{Bell, Sleep},
};
