//! An asynchronous logger for raw records.
#![deny(unsafe_code)]

mod config;
mod error;
mod format;
#[cfg(target_os = "linux")]
mod io;
#[cfg(target_os = "linux")]
mod logger;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "mapped memory")]
mod mem;
pub mod read;
mod stats;
#[cfg(target_os = "linux")]
mod sync;
#[cfg(target_os = "linux")]
mod write;

#[cfg(target_os = "linux")]
pub use crate::logger::Logger;
pub use crate::{
    config::{Config, DirectIo, Durability, Engine, Overflow},
    error::{Error, ErrorKind, LogError},
    format::LogId,
    read::{LogDir, LogReport, ReadOptions, Reader, Record, Report, verify},
    stats::{Dropped, EngineKind, FlushMetrics, IoMode, Opened, Position, ShardStats, Stats},
};
