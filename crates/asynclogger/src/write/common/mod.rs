//! Types that the callers' side and the flusher's side share.

mod block_memory;
mod clock;
mod drops;
pub(super) mod fault;
#[cfg(feature = "async")]
mod flushing;
mod gate;
mod inside;
pub(super) mod own_thread;
mod progress;
mod when;

#[cfg(feature = "async")]
pub use self::flushing::Flushing;
#[cfg(feature = "async")]
pub(crate) use self::flushing::HasGate;
pub(super) use self::{
    block_memory::BlockMemory,
    clock::{backoff, wall_clock},
    drops::{Drops, Reason},
    gate::Request,
    own_thread::{OwnThread, panicked},
    progress::{Counter, Degraded, Progress},
    when::{Grid, MOST_ERROR, When},
};
pub(crate) use self::{
    gate::{Ending, Gate},
    inside::{Inside, Local},
};
