//! Many logs, one for each event, behind one set of shards.
//!
//! A record goes into the buffers that all events share, tagged with its event's number. The flusher sorts
//! what is sealed: it appends each record to the log of its event, an ordinary log of one shard whose only
//! writer it is, and gives the shared buffer back at once. So the memory of an event is what is staged for
//! it, and its blocks are as large as the budget of all allows.

mod block;
mod crowd;
mod event;
mod gathered;
mod handle;
mod memory;
mod name;
mod names;
mod opener;
mod places;
mod shared;
mod sorter;
mod staged;
mod table;
mod worker;

pub(crate) use self::{
    handle::EventHandle,
    memory::Shares,
    name::MAX_EVENT_NAME,
    opener::Opener,
    shared::{Shared, Totals},
    worker::EventsFlusher,
};
