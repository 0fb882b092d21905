//! An asynchronous logger for raw records.
#![deny(unsafe_code)]

mod config;
mod error;
mod format;
#[cfg(target_os = "linux")]
mod mem;
pub mod read;
mod stats;
mod sync;

pub use crate::{
    config::{Config, DirectIo, Durability, Engine, Overflow},
    error::{Error, ErrorKind, LogError},
    format::LogId,
    read::{LogDir, LogReport, ReadOptions, Reader, Record, Report, verify},
    stats::{Dropped, EngineKind, FlushMetrics, IoMode, Opened, Position, ShardStats, Stats},
};
