//! Every setting of a logger: units, defaults, limits; validated once.

mod archived;
mod callback;
mod crash_safe;
mod retention;
mod rotation;
mod timestamps;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Error, ErrorKind,
    format::{MAX_CAPACITY, RECORD_HEADER, SHARD_HEADER},
};

pub use self::{
    archived::{Archived, Compression},
    crash_safe::CrashSafe,
    retention::{Retention, WhenFull},
    rotation::{Boundary, Rotation},
    timestamps::Timestamps,
};
pub(crate) use self::{callback::Callback, crash_safe::CrashPlace};

/// The longest interval or timeout. A longer one is cut to this, which can be added to any clock reading.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a log call does when its shard cannot get a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The record is dropped and counted; the call never waits. The default.
    #[default]
    Drop,
    /// The call sleeps until a buffer is free. Nothing is dropped, except in three places where the call
    /// could wait for ever:
    ///
    /// - inside an encoder ([`Logger::try_log_with`](crate::Logger::try_log_with)) of this logger or of a
    ///   logger that was opened after this one. The encoder holds a shard of its own logger, so two threads
    ///   in encoders could each wait for the other's shard. A call waits if its logger was opened later than
    ///   every logger whose encoder the thread is in;
    /// - in a signal handler that interrupted a call of this library on the same thread;
    /// - on a thread of the library, as in [`Config::on_error`] and [`Config::on_archived`].
    ///
    /// In these places a record that finds no room at once is dropped and counted, as under `Drop`. Calls in
    /// the destructor of a thread-local wait like any other call.
    Block,
    /// The call waits at most this long, then the record is dropped and counted. The calls that never wait
    /// under `Block` do not wait here either.
    BlockFor(Duration),
}

/// When written blocks become durable, that is, survive a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Every write is synced (`RWF_DSYNC`): a written block is durable. The default.
    #[default]
    Dsync,
    /// One barrier (`fdatasync`) for many writes: at the interval, at a `flush`, and when fewer than a
    /// quarter of the buffers are free. A buffer is used again only after a barrier that covers it.
    OnFlush,
    /// No barrier except that of an explicit [`flush`](crate::Logger::flush) or `close`.
    None,
}

/// Whether the page cache is bypassed (`O_DIRECT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectIo {
    /// Opening fails if the file system does not support direct I/O.
    Required,
    /// Direct I/O if the file system supports it, buffered I/O otherwise;
    /// [`Stats::io_mode`](crate::Stats::io_mode) says which. The default.
    #[default]
    Preferred,
    /// Always through the page cache.
    Off,
}

/// Which interface of the kernel writes the blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// io_uring, or `pwritev2` if the system refuses io_uring or io_uring breaks later.
    /// [`Stats::engine`](crate::Stats::engine) says which one is in effect. The default.
    #[default]
    Auto,
    /// io_uring, several blocks at a time; opening fails if the system refuses io_uring. If io_uring breaks
    /// later, `pwritev2` takes over. Needs the feature `io-uring`.
    #[cfg_attr(docsrs, doc(cfg(feature = "io-uring")))]
    Uring,
    /// `pwritev2`, one block at a time.
    Pwrite,
}

/// Passes `error` to the user's callback, if there is one, and ignores a panic of the callback.
pub(crate) fn tell(callback: Option<&Callback<Error>>, error: &Error) {
    if let Some(callback) = callback {
        let _ = callback.call(error);
    }
}

/// The settings of a [`Logger`](crate::Logger), or of a [`LoggerManager`](crate::LoggerManager) and each of
/// its events. A setting that only the other type has is refused.
///
/// One type carries all settings of both, because each event of a manager writes a log as a logger does: two
/// types would repeat every setting, and a program that moves from one log to many would have to rewrite its
/// settings. The setters take any value and never fail, because a limit usually depends on several settings
/// (a shard is `buffer_size / num_shards`) and their order must not matter. [`validate`](Config::validate)
/// checks all limits together, in one place, before anything is opened; so a setting that cannot be followed
/// is refused, never ignored.
///
/// ```
/// use asynclogger::{Config, Overflow};
/// use std::time::Duration;
///
/// let config = Config::new("/var/log/app/requests.log")
///     .buffer_size(32 << 20)
///     .num_shards(4)
///     .flush_interval(Duration::from_secs(1))
///     .overflow(Overflow::Block);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    pub(crate) path: PathBuf,
    pub(crate) buffer_size: usize,
    pub(crate) num_shards: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) flush_timeout: Duration,
    pub(crate) overflow: Overflow,
    pub(crate) durability: Durability,
    pub(crate) direct_io: DirectIo,
    pub(crate) engine: Engine,
    pub(crate) prefault: bool,
    pub(crate) failover_dir: Option<PathBuf>,
    pub(crate) mode: Option<u32>,
    pub(crate) on_error: Option<Callback<Error>>,
    pub(crate) rotation: Rotation,
    pub(crate) retention: Retention,
    pub(crate) compression: Compression,
    pub(crate) compression_rate: u64,
    pub(crate) on_archived: Option<Callback<Archived>>,
    pub(crate) event_quota: Option<usize>,
    pub(crate) event_files: Option<usize>,
    pub(crate) crash_safe: Option<CrashSafe>,
    pub(crate) timestamps: Timestamps,
}

/// The defaults without a path, for [`LoggerManager::in_dir`](crate::LoggerManager::in_dir).
impl Default for Config {
    fn default() -> Config {
        Config {
            path: PathBuf::new(),
            buffer_size: 0,
            num_shards: 0,
            flush_interval: Duration::ZERO,
            flush_timeout: Duration::ZERO,
            overflow: Overflow::default(),
            durability: Durability::default(),
            direct_io: DirectIo::default(),
            engine: Engine::default(),
            prefault: false,
            failover_dir: None,
            mode: None,
            on_error: None,
            rotation: Rotation::default(),
            retention: Retention::default(),
            compression: Compression::default(),
            compression_rate: Config::DEFAULT_COMPRESSION_RATE,
            on_archived: None,
            event_quota: None,
            event_files: None,
            crash_safe: None,
            timestamps: Timestamps::Off,
        }
    }
}

impl Config {
    /// Default of [`buffer_size`](Config::buffer_size): 64 MiB.
    pub const DEFAULT_BUFFER_SIZE: usize = 64 << 20;
    /// Default of [`num_shards`](Config::num_shards).
    pub const DEFAULT_NUM_SHARDS: usize = 8;
    /// Default of [`flush_interval`](Config::flush_interval).
    pub const DEFAULT_FLUSH_INTERVAL: Duration = Duration::from_secs(10);
    /// Default of [`flush_timeout`](Config::flush_timeout).
    pub const DEFAULT_FLUSH_TIMEOUT: Duration = Duration::from_millis(10);
    /// Default of [`compression_rate`](Config::compression_rate): 64 MiB per second.
    pub const DEFAULT_COMPRESSION_RATE: u64 = 64 << 20;
    /// The smallest size of a shard (`buffer_size / num_shards`), in bytes.
    pub const MIN_SHARD_SIZE: usize = 64 << 10;
    /// The largest size of a shard (`buffer_size / num_shards`), in bytes. `buffer_size` is at most
    /// [`MAX_SHARDS`](Config::MAX_SHARDS) times this.
    pub const MAX_SHARD_SIZE: usize = MAX_CAPACITY;
    /// The largest number of shards of a logger.
    pub const MAX_SHARDS: usize = 1 << 14;

    /// The settings for a log at `path`, with all others at their defaults. `path` always names the active
    /// file.
    #[doc(alias = "DefaultConfig")]
    #[doc(alias = "LogFilePath")]
    pub fn new(path: impl Into<PathBuf>) -> Config {
        Config { path: path.into(), ..Config::default() }
    }

    /// Total size of the shards' active buffers, in bytes. Buffers of the same total size stand ready for
    /// swaps, so a logger takes twice this much memory. 0 means the default, 64 MiB.
    #[doc(alias = "BufferSize")]
    pub fn buffer_size(mut self, bytes: usize) -> Config {
        self.buffer_size = bytes;
        self
    }

    /// Number of shards. With no more logging threads than shards, no thread ever waits for another, and the
    /// records of each thread keep their order. 0 means the default, 8.
    #[doc(alias = "NumShards")]
    pub fn num_shards(mut self, shards: usize) -> Config {
        self.num_shards = shards;
        self
    }

    /// The longest time that a record stays in a buffer that does not fill. 0 means the default, 10 s; more
    /// than a year means a year.
    #[doc(alias = "FlushInterval")]
    pub fn flush_interval(mut self, interval: Duration) -> Config {
        self.flush_interval = interval;
        self
    }

    /// How long `close` waits for a thread that was stopped inside a log call, and for a failing device. 0
    /// means the default, 10 ms; more than a year means a year.
    #[doc(alias = "FlushTimeout")]
    pub fn flush_timeout(mut self, timeout: Duration) -> Config {
        self.flush_timeout = timeout;
        self
    }

    /// What a log call does when its shard cannot get a buffer. Default: [`Overflow::Drop`].
    pub fn overflow(mut self, policy: Overflow) -> Config {
        self.overflow = policy;
        self
    }

    /// When written blocks become durable. Default: [`Durability::Dsync`].
    pub fn durability(mut self, level: Durability) -> Config {
        self.durability = level;
        self
    }

    /// Whether the page cache is bypassed. Default: [`DirectIo::Preferred`].
    pub fn direct_io(mut self, mode: DirectIo) -> Config {
        self.direct_io = mode;
        self
    }

    /// Which interface of the kernel writes the blocks. Default: [`Engine::Auto`].
    pub fn engine(mut self, engine: Engine) -> Config {
        self.engine = engine;
        self
    }

    /// Whether all buffers are made resident when the logger is made. Otherwise memory is made resident
    /// shortly before it is needed, and a logger with few records holds little of it. A [`LoggerManager`](crate::LoggerManager) refuses this setting, because
    /// its memory goes where the records are. Default: false.
    pub fn prefault(mut self, prefault: bool) -> Config {
        self.prefault = prefault;
        self
    }

    /// A second directory, on another device, for the time when the log's own directory fails (full,
    /// read-only, gone, broken). The log then continues in the second directory, in its next segment, with
    /// every record that is not durable yet. The log tries its own directory every five seconds and returns
    /// to it when it works again. Default: none.
    pub fn failover_dir(mut self, directory: impl Into<PathBuf>) -> Config {
        self.failover_dir = Some(directory.into());
        self
    }

    /// The permissions of the files of a new log, for example `0o640`, whatever the umask of the process is:
    /// at most `0o777`, and the owner can read and write. Each further file of the log gets the permissions
    /// of the file before it, so that the permissions that an administrator gave the active file stay.
    /// Default: `0o644` less the umask.
    pub fn mode(mut self, permissions: u32) -> Config {
        self.mode = Some(permissions);
        self
    }

    /// A function to be called for each failed operation that is reported to no caller. A thread of its own
    /// calls the function, so a callback that waits, even for ever, delays nothing else. While a callback
    /// runs, up to 64 errors wait; further errors are only counted, and then reported by one error of the
    /// kind [`ErrorKind::Untold`]. `close` waits for the callback for at most one second. The callback can
    /// log, and its log calls never wait; `flush` and `close` return an error there. Default: none.
    pub fn on_error(mut self, callback: impl Fn(&Error) + Send + Sync + 'static) -> Config {
        self.on_error = Some(Callback::new(callback));
        self
    }

    /// When the log continues in a new file. Default: never.
    pub fn rotation(mut self, rotation: Rotation) -> Config {
        self.rotation = rotation;
        self
    }

    /// Which archived segments are deleted. Default: none.
    pub fn retention(mut self, retention: Retention) -> Config {
        self.retention = retention;
        self
    }

    /// How archived segments are compressed. Default: [`Compression::Off`].
    pub fn compression(mut self, compression: Compression) -> Config {
        self.compression = compression;
        self
    }

    /// The largest number of bytes of segments that are compressed per second; at least 1. The limit keeps
    /// the reading and compressing of archived segments from disturbing the rest of the machine. Default: 64
    /// MiB.
    pub fn compression_rate(mut self, bytes_per_second: u64) -> Config {
        self.compression_rate = bytes_per_second;
        self
    }

    /// A function to be called for each archived segment, once its file has its final name and is compressed
    /// (if [`compression`](Config::compression) is on). A segment that cannot be compressed, for example
    /// because the disk is full, is reported as it is, and once more if a later attempt succeeds. The thread that writes does not call the function, so
    /// the callback can take its time, for example to upload the file. The callback can log, and its log
    /// calls never wait. Default: none.
    pub fn on_archived(mut self, callback: impl Fn(&Archived) + Send + Sync + 'static) -> Config {
        self.on_archived = Some(Callback::new(callback));
        self
    }

    /// The most memory, in bytes, for those records of one event that are on their way to its file; more than
    /// 0. Further records, while the device of the event is behind, are dropped and counted for this event
    /// ([`Overflow::Drop`]), or their calls wait. One record of the greatest length always has room. For a
    /// [`LoggerManager`](crate::LoggerManager) only; a [`Logger`](crate::Logger) refuses this setting.
    /// Default: seven twelfths of [`buffer_size`](Config::buffer_size), a third of the memory for all events.
    pub fn event_quota(mut self, bytes: usize) -> Config {
        self.event_quota = Some(bytes);
        self
    }

    /// The largest number of events whose files are open at the same time; at least 1. When one more file is
    /// needed, the file that was not written to for the longest time is closed, and continued when its event
    /// has records again. For a [`LoggerManager`](crate::LoggerManager) only; a [`Logger`](crate::Logger)
    /// refuses this setting. Default: a quarter of the descriptors that the process can have
    /// (`RLIMIT_NOFILE`), at most 1024.
    pub fn event_files(mut self, files: usize) -> Config {
        self.event_files = Some(files);
        self
    }

    /// Keeps the buffers in memory that outlives the process: whatever kills it (`kill -9`, the OOM killer, a
    /// segmentation fault, `abort`), every record that was accepted is in the log after the next opening, once and in
    /// order. A power cut is another matter: see [`Durability`].
    ///
    /// The memory is about [`buffer_size`](Config::buffer_size) twice, and opening fails with [`ErrorKind::CrashMap`] if
    /// there is less room. It is allocated in the background soon after, or by the first calls that need it. If the room
    /// is gone by then, the log goes on with what it has, [`on_error`](Config::on_error) is called,
    /// [`health`](crate::Logger::health) is [`Degraded`](crate::Health::Degraded), and the rest is tried again every
    /// second. Opening first writes what a dead process has left for this log
    /// ([`Opened::Salvaged`](crate::Opened::Salvaged)). Default: off.
    pub fn crash_safe(mut self, place: CrashSafe) -> Config {
        self.crash_safe = Some(place);
        self
    }

    /// The path of the active file; empty if none was given.
    #[doc(alias = "LogFilePath")]
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks the path and every limit that can be known without opening anything, and returns the settings
    /// that will be in effect: a 0 that means a default is replaced by the default, a time beyond a year by a
    /// year.
    ///
    /// [`Logger::new`](crate::Logger::new) and the constructors of [`LoggerManager`](crate::LoggerManager) do
    /// this first. A program calls `validate` only to refuse settings before anything is opened. Validating
    /// twice changes nothing. `validate` does not check whether a setting is for a logger or a manager, nor
    /// anything that only the system knows (its time zone, its engines, direct I/O).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], with the setting and its limit; [`ErrorKind::MissingFeature`] for a setting
    /// that this build cannot follow.
    pub fn validate(mut self) -> Result<Config, Error> {
        fn or_default<T: PartialEq + Default>(value: &mut T, default: T) {
            if *value == T::default() {
                *value = default;
            }
        }
        or_default(&mut self.buffer_size, Config::DEFAULT_BUFFER_SIZE);
        or_default(&mut self.num_shards, Config::DEFAULT_NUM_SHARDS);
        or_default(&mut self.flush_interval, Config::DEFAULT_FLUSH_INTERVAL);
        or_default(&mut self.flush_timeout, Config::DEFAULT_FLUSH_TIMEOUT);
        self.flush_interval = self.flush_interval.min(YEAR);
        self.flush_timeout = self.flush_timeout.min(YEAR);

        let invalid = |what: String| Err(Error::new(ErrorKind::InvalidConfig, what));
        if self.path.as_os_str().is_empty() {
            return invalid("the path of the log is empty".into());
        }
        if self.path.file_name().is_none() {
            return invalid(format!(
                "{}: the path of the log has no file name",
                self.path.display()
            ));
        }
        if self.num_shards > Config::MAX_SHARDS {
            return invalid(format!(
                "num_shards is {}; at most {} are possible",
                self.num_shards,
                Config::MAX_SHARDS
            ));
        }
        let shard = self.shard_capacity();
        if shard < Config::MIN_SHARD_SIZE {
            return invalid(format!(
                "buffer_size / num_shards is {} / {} = {shard} bytes; a shard needs at least {}",
                self.buffer_size,
                self.num_shards,
                Config::MIN_SHARD_SIZE
            ));
        }
        if shard > Config::MAX_SHARD_SIZE {
            return invalid(format!(
                "buffer_size / num_shards is {} / {} = {shard} bytes; a shard has at most {}",
                self.buffer_size,
                self.num_shards,
                Config::MAX_SHARD_SIZE
            ));
        }
        if let Some(mode) = self.mode.filter(|mode| mode & !0o777 != 0 || mode & 0o600 != 0o600) {
            let what = "it is at most 0o777, and the owner can read and write (0o600)";
            return invalid(format!("the mode is {mode:#o}; {what}"));
        }
        for (setting, is_zero) in [
            ("compression_rate", self.compression_rate == 0),
            ("event_quota", self.event_quota == Some(0)),
            ("event_files", self.event_files == Some(0)),
        ] {
            if is_zero {
                return invalid(format!("{setting} is 0"));
            }
        }
        self.rotation.validate()?;
        self.retention.validate()?;
        self.compression.validate()?;
        let Retention { max_total, directory_total, .. } = self.retention;
        for (limit, total) in [("max_total", max_total), ("directory_total", directory_total)] {
            if let (Compression::Off, Some(total), Some(size)) =
                (self.compression, total, self.rotation.max_size)
                && total < size
            {
                return invalid(format!(
                    "Retention::{limit} is {total}; one file may have {size} bytes (Rotation::max_size)"
                ));
            }
        }
        Ok(self)
    }

    /// These settings for a manager of `directory`. A manager uses only the directory of the path.
    pub(crate) fn in_dir(mut self, directory: &Path) -> Result<Config, Error> {
        if !self.path.as_os_str().is_empty() {
            let what =
                "a directory is given, and a path in the Config, too (Config::default has none)";
            return Err(Error::new(ErrorKind::InvalidConfig, what).at_path(&self.path));
        }
        self.path = directory.join("base.log");
        Ok(self)
    }

    /// [`validate`](Config::validate) for a logger: refuses the settings that only managers have.
    pub(crate) fn for_logger(self) -> Result<Config, Error> {
        let managers = [
            ("Retention::directory_total", self.retention.directory_total.is_some()),
            ("Config::event_quota", self.event_quota.is_some()),
            ("Config::event_files", self.event_files.is_some()),
        ];
        if let Some((setting, _)) = managers.iter().find(|(_, is_set)| *is_set) {
            let what = format!("{setting} is for a LoggerManager, and this is a Logger");
            return Err(Error::new(ErrorKind::InvalidConfig, what).at_path(&self.path));
        }
        self.validate()
    }

    /// [`validate`](Config::validate) for a manager: refuses the settings that only loggers have.
    pub(crate) fn for_manager(self) -> Result<Config, Error> {
        if self.prefault {
            let what = "Config::prefault is for a Logger, and this is a LoggerManager";
            return Err(Error::new(ErrorKind::InvalidConfig, what).at_path(&self.path));
        }
        self.validate()
    }

    /// Bytes of one shard's buffer, its 8-byte header included.
    pub(crate) fn shard_capacity(&self) -> usize {
        self.buffer_size / self.num_shards.max(1)
    }

    /// The longest record, in bytes, that a logger with these settings takes: the shard's size less its
    /// header and the record's length prefix.
    #[must_use]
    pub fn max_record(&self) -> usize {
        let or = |value, default| if value == 0 { default } else { value };
        let size = or(self.buffer_size, Config::DEFAULT_BUFFER_SIZE);
        let shard = size / or(self.num_shards, Config::DEFAULT_NUM_SHARDS);
        shard.saturating_sub(SHARD_HEADER + RECORD_HEADER)
    }
}
