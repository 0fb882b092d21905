//! What a killed process leaves behind: the map, a file in memory with the buffers of a logger and an account of them.
//!
//! The live logger never reads its account. Each step is noted by stores, in an order that makes the account true
//! between any two of them: a process that is killed has made all stores up to one point, and none behind it.

mod account;
mod emptiness;
mod events;
mod journal;
mod map;
mod remains;
mod track;
mod words;

pub(in crate::write) use self::{
    account::LogAccount,
    events::{Identity, NUMBER_STEP, OF_HEAD, PieceOwner, is_number},
    journal::{Before, Entry, Journal, Placed, Whereabouts},
    map::{CrashMap, Opening, Owned, boot_id, path_in},
    remains::Remains,
    track::Track,
    words::wrapped_serial,
};
