//! What callers may do with each public type, as the compiler sees it: a field that takes a promise back is an
//! error here, and not in somebody's service.

use std::{
    fmt::Debug,
    panic::{RefUnwindSafe, UnwindSafe},
};

use asynclogger::{
    Archived, Boundary, Compression, Config, CrashSafe, DirectIo, Dropped, Durability, Engine,
    EngineKind, Error, ErrorCounts, ErrorKind, EventLogger, FlushMetrics, Health, IoMode,
    LeftAlone, LogError, LogId, Logger, LoggerManager, ManagerStats, MapInUse, Opened, Overflow,
    Position, Retention, Rotation, Salvage, Salvaged, Salvager, ShardStats, Stats, WhenFull,
    read::{
        Block, BlockRecords, Damage, DamageKind, Declared, Ending, Format, IntoRecords, Layout,
        LogDir, LogReport, Loss, OwnedRecord, ReadOptions, Reader, Record, Report, Segment,
        SessionReport, SessionState,
    },
};

fn any<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug>() {}
fn clone<T: Clone>() {}
fn copy<T: Copy>() {}
fn error<T: std::error::Error + 'static>() {}

/// Each type, and what it is beside `Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug`.
macro_rules! types {
    ($($kind:ident: $($type:ty),* ;)*) => {
        $($(any::<$type>(); $kind::<$type>();)*)*
    };
}

#[test]
fn public_types_keep_their_auto_traits() {
    fn plain<T>() {}
    types! {
        clone: Logger, LoggerManager, EventLogger, Config, Rotation, Retention, Archived, Opened, Error;
        clone: Stats, ManagerStats, FlushMetrics, ShardStats;
        clone: CrashSafe, Salvage, Salvaged, LeftAlone, MapInUse, Salvager;
        copy: Overflow, Durability, DirectIo, Engine, Boundary, Compression, WhenFull;
        copy: Dropped, ErrorCounts, EngineKind, IoMode, Health, Position, LogId, ErrorKind, LogError;
        error: Error, LogError;
        plain: Reader, LogDir, IntoRecords;
        clone: Report, LogReport, SessionReport, Segment, OwnedRecord, BlockRecords<'static>;
        copy: ReadOptions, Record<'static>, Block<'static>, Damage, DamageKind, Declared, Ending, Format;
        copy: Layout, Loss, SessionState;
    }
}

/// Why it matters: a service that catches the panics of its requests logs within them.
#[test]
fn a_panic_that_is_caught_around_log_calls_harms_nothing() {
    let directory = crate::support::directory();
    let path = crate::support::log_path(&directory);
    let told = std::sync::mpsc::channel::<String>().0;
    let config = Config::new(&path).on_error(move |error| drop(told.send(error.to_string())));
    let logger = crate::support::open(config);
    let caught = std::panic::catch_unwind(|| {
        logger.log("before");
        logger.try_log_with(5, |_| panic!("as told")).expect("not reached");
    });
    assert_eq!(caught.expect_err("a panic").downcast_ref(), Some(&"as told"));
    logger.log("after");
    assert_eq!(logger.close().expect("close").accepted, 2);
}
