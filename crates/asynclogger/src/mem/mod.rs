//! Memory by the page: the region that the buffers live in, and slices that a fork clears.
//!
//! Nothing here knows what the memory is for.

mod aligned;
mod arena;
#[cfg_attr(loom, path = "fork_cleared_model.rs")]
mod fork_cleared;
mod joined;
mod pieced;
mod region;
mod stable;

pub(crate) use self::{
    aligned::AlignedBytes,
    arena::{Arena, Piece},
    fork_cleared::{ForkCleared, ZeroValid},
    joined::Joined,
    pieced::{PiecedBytes, Run},
    region::Region,
    stable::StableBytes,
};
