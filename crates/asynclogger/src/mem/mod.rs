//! Memory by the page: the region that the buffers live in, and slices that a fork clears.
//!
//! Nothing here knows what the memory is for.

mod aligned;
#[cfg_attr(loom, path = "fork_cleared_model.rs")]
mod fork_cleared;
mod region;
mod stable;

pub(crate) use self::{
    aligned::AlignedBytes,
    fork_cleared::{ForkCleared, ZeroValid},
    region::Region,
    stable::StableBytes,
};
