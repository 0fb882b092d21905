//! Memory by the page: the region that the buffers live in, and slices that a fork clears.
//!
//! Nothing here knows the use of the memory.

mod aligned;
mod arena;
mod counter;
#[cfg_attr(loom, path = "fork_cleared_model.rs")]
mod fork_cleared;
#[cfg(all(test, not(any(loom, miri))))]
mod forked;
mod joined;
#[cfg_attr(miri, path = "mapping_model.rs")]
mod mapping;
mod pieced;
mod prefetch;
mod process;
mod region;
mod shared;
mod stable;

#[cfg(all(test, not(any(loom, miri))))]
pub(crate) use self::forked::in_forked_child;
pub(crate) use self::{
    aligned::AlignedBytes,
    arena::{Arena, Piece},
    counter::{Counter, Moment},
    fork_cleared::{ForkCleared, ZeroValid},
    joined::Joined,
    pieced::{PiecedBytes, Run},
    prefetch::prefetch,
    process::{OfProcess, PerProcess, Process},
    region::Region,
    shared::SharedMemory,
    stable::StableBytes,
};
