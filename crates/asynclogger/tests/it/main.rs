//! The library from outside: what goes in comes out.
#![expect(unreachable_pub, reason = "the modules of one binary")]

mod accounting;
mod archive;
mod archiving;
#[cfg(feature = "async")]
mod asynchronous;
mod auto_traits;
mod bad_input;
mod config;
mod crash_safe;
mod durability;
mod ended;
mod environment;
#[cfg(all(feature = "log", feature = "tracing"))]
mod facades;
mod failing_disk;
mod files;
mod filesystems;
mod forked;
mod format;
mod frozen;
mod full_disk;
mod injected;
mod killed;
mod logging;
mod logrotate;
mod manager;
mod matrix;
mod ml_serving;
mod mounts;
mod power_cuts;
mod prometheus;
mod reentrancy;
mod resident;
mod resources;
mod rotation;
mod seed_readers;
mod stress;
mod support;
mod surroundings;
mod times;

#[global_allocator]
static ALLOCATOR: support::CountingAllocator = support::CountingAllocator;
