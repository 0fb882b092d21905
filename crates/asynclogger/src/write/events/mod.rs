//! Many logs, one for each event, behind one set of shards.
//!
//! A record goes into the buffers that all events share, tagged with its event's number. The flusher sorts
//! sealed buffers: it gathers each record for the next block of its event, in pieces of one arena, and gives
//! the shared buffer back at once. So an event takes memory only for its gathered records, and its blocks are as
//! large as the common budget allows. From there on the log of an event is an ordinary log with one shard.

mod block;
mod by_number;
mod callers;
mod crowd;
mod durable;
mod event;
mod file_names;
mod gathered;
mod handle;
mod head;
mod in_map;
mod memory;
mod name;
mod names;
mod opener;
mod orders;
mod places;
mod setup;
mod shared;
mod sorter;
mod staged;
mod sums;
mod worker;

pub(crate) use self::{
    callers::Callers,
    event::Event,
    handle::EventHandle,
    name::MAX_EVENT_NAME,
    opener::{NotOpened, Opener},
    setup::{Setup, set_up},
    shared::Shared,
    sums::Sums,
    worker::start_flusher,
};
