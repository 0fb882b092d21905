//! What the callers' side and the flusher's side both know.

mod block_memory;
mod clock;
pub(super) mod fault;
mod gate;
pub(super) mod own_thread;
mod progress;

pub(crate) use self::gate::{Ending, Gate};
pub(super) use self::{
    block_memory::BlockMemory,
    clock::{backoff, wall_clock},
    gate::Request,
    own_thread::{OwnThread, panicked},
    progress::{Degraded, Progress},
};
