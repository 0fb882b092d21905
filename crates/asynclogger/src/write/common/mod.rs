//! What the callers' side and the flusher's side both know.

mod block_memory;
pub(super) mod fault;
mod gate;
pub(super) mod own_thread;
mod progress;

pub(crate) use self::gate::{Ending, Gate};
pub(super) use self::{
    block_memory::BlockMemory,
    gate::Request,
    own_thread::{OwnThread, panicked},
    progress::{Degraded, Progress},
};
