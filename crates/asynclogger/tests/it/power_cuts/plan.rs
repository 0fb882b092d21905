//! How a worker logs, by its seed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use asynclogger::{
    Compression, Config, CrashSafe, Durability, Engine, Overflow, Retention, Rotation,
};

use crate::{crash_safe::Random, mounts::FileSystem};

/// Archived segments that retention keeps.
pub const KEPT: usize = 3;

/// The seeds from here on are for a file system without a journal.
pub const WITHOUT_JOURNAL: u64 = 1 << 32;

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub on: FileSystem,
    /// At most as many as shards, so that the records of each stand in their order.
    pub threads: usize,
    buffer: usize,
    pub longest: u64,
    pub durability: Durability,
    engine: Engine,
    pub rotates: bool,
    compresses: bool,
    pub deletes: bool,
    /// Somebody renames the active file.
    pub is_moved: bool,
    pub is_crash_safe: bool,
    /// How often a process logs; all but the last one are killed.
    pub lives: usize,
    /// Whether the last one closes its log.
    pub closes: bool,
    /// The events of a manager; 0: a logger.
    pub events: usize,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut random = Random::new(seed ^ 0x9043);
        let kinds = [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Ext4On4k, FileSystem::Btrfs];
        let levels = [Durability::Dsync, Durability::OnFlush, Durability::None];
        let is_manager = seed % 5 > 2;
        let rotates = random.below(4) > 0;
        let plan = Plan {
            on: kinds[seed as usize % kinds.len()],
            threads: random.pick(&[1, 2, 4]),
            buffer: random.pick(&[64 << 10, 64 << 10, 256 << 10]),
            longest: random.pick(&[40, 300, 3000, if is_manager { 3000 } else { 20_000 }]),
            durability: levels[seed as usize % 3],
            engine: random.pick(&[Engine::Auto, Engine::Pwrite]),
            rotates,
            compresses: cfg!(feature = "zstd") && rotates && random.below(2) == 0,
            deletes: rotates && !is_manager && random.below(3) == 0,
            is_moved: !is_manager && random.below(3) == 0,
            is_crash_safe: random.below(2) == 0,
            lives: random.pick(&[1, 2, 3]),
            closes: random.below(4) == 0,
            events: if is_manager { random.pick(&[1, 3, 20]) } else { 0 },
        };
        // Retention does not know moved files: it deletes newer ones, and leaves older ones.
        let plan = Plan { is_moved: plan.is_moved && !plan.deletes, ..plan };
        if seed < WITHOUT_JOURNAL {
            return plan;
        }
        // One write at a time: else the sync of one makes a half-made state of the others durable. And nothing is
        // deleted: a removed file comes back with blocks that a new one has by then, and e2fsck finds them twice.
        // Compression does both: its thread syncs the directory amid a rotation, so that a new name is durable and the
        // old file's next name is not, and it removes the plain file.
        let (on, engine) = (FileSystem::Ext4WithoutJournal, Engine::Pwrite);
        Plan { on, engine, deletes: false, compresses: false, ..plan }
    }

    /// Whether names come and go in their order. Else a cut can bring a name back that was removed, and its file, which
    /// is then an older copy of a segment.
    pub fn has_journal(&self) -> bool {
        self.on != FileSystem::Ext4WithoutJournal
    }

    /// The event that a thread logs a record to.
    pub fn event(&self, thread: usize, number: u64) -> usize {
        (thread + number as usize / 3) % self.events
    }

    pub fn config(&self, disk: &Path) -> Config {
        let name = if self.events > 0 { "base.log" } else { "app.log" };
        let mut config = Config::new(logs(disk).join(name))
            .buffer_size(self.buffer * 4)
            .num_shards(4)
            .durability(self.durability)
            .engine(self.engine)
            .flush_interval(Duration::from_millis(10))
            .overflow(Overflow::Block);
        if self.is_crash_safe {
            config = config.crash_safe(CrashSafe::in_dir(maps(disk)).events(64));
        }
        if self.rotates {
            config = config.rotation(Rotation::new().max_size(256 << 10));
        }
        if self.compresses {
            config = config.compression(Compression::zstd(1));
        }
        if self.deletes {
            config = config.retention(Retention::new().keep(KEPT));
        }
        config
    }
}

pub fn logs(disk: &Path) -> PathBuf {
    disk.join("logs")
}

pub fn maps(disk: &Path) -> PathBuf {
    disk.join("maps")
}

pub fn event_name(event: usize) -> String {
    format!("event/{event}")
}
