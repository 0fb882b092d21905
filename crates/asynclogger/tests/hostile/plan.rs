//! What a world is like, by its seed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use asynclogger::{
    Boundary, Compression, Config, Durability, Engine, Overflow, Retention, Rotation,
};

use crate::{chance::Chance, record::EVENTS};

/// The settings of the services of a world, and what the world can do to them.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// A manager with [`EVENTS`]; else a logger.
    pub manager: bool,
    pub threads: u32,
    pub durability: Durability,
    engine: Engine,
    overflow: Overflow,
    interval: Duration,
    rotation: Option<Rotation>,
    pub retention: Option<Keep>,
    compression: bool,
    pub failover: bool,
    /// The service has no rights but those of the mode bits.
    pub nobody: bool,
    /// The directory is on a disk of its own, which can be filled.
    pub small_disk: bool,
    mode: Option<u32>,
    pub in_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Count(usize),
    Total,
    Age,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let chance = &mut Chance::new(seed);
        let size = Rotation::new().max_size(96 << 10);
        let rotations = [
            None,
            Some(size.clone()),
            Some(size.clone()),
            Some(size.max_age(Duration::from_millis(40))),
            Some(Rotation::new().max_age(Duration::from_millis(25))),
            Some(Rotation::new().every(Boundary::Hourly)),
        ];
        let keeps = [
            None,
            None,
            Some(Keep::Count(1)),
            Some(Keep::Count(3)),
            Some(Keep::Total),
            Some(Keep::Age),
        ];
        let pick = "a choice";
        Plan {
            seed,
            manager: chance.one_in(3),
            threads: 1 + chance.below(2) as u32,
            durability: chance
                .pick(&[Durability::Dsync, Durability::OnFlush, Durability::None])
                .expect(pick),
            engine: chance.pick(&[Engine::Auto, Engine::Pwrite]).expect(pick),
            overflow: chance
                .pick(&[Overflow::Drop, Overflow::BlockFor(Duration::from_millis(2))])
                .expect(pick),
            interval: chance
                .pick(&[
                    Duration::from_millis(3),
                    Duration::from_millis(40),
                    Duration::from_secs(10),
                ])
                .expect(pick),
            rotation: chance.pick(&rotations).expect(pick),
            retention: chance.pick(&keeps).expect(pick),
            compression: chance.one_in(3) && cfg!(feature = "zstd"),
            failover: chance.one_in(3),
            nobody: chance.one_in(4),
            small_disk: chance.one_in(5),
            mode: chance.one_in(4).then_some(0o640),
            in_memory: !seed.is_multiple_of(4),
        }
    }

    pub fn config(&self, places: &Places) -> Config {
        let shards = self.threads as usize;
        let (path, size) = match self.manager {
            true => (places.logs.join("base.log"), 8 << 20),
            false => (places.logs.join("app.log"), shards * Config::MIN_SHARD_SIZE),
        };
        let mut config = Config::new(path)
            .buffer_size(size)
            .num_shards(shards)
            .durability(self.durability)
            .engine(self.engine)
            .overflow(self.overflow)
            .flush_interval(self.interval)
            .flush_timeout(Duration::from_millis(400));
        if let Some(rotation) = &self.rotation {
            config = config.rotation(rotation.clone());
        }
        if let Some(keep) = self.retention {
            let retention = Retention::new();
            config = config.retention(match keep {
                Keep::Count(count) => retention.keep(count),
                Keep::Total => retention.max_total(250 << 10),
                Keep::Age => retention.max_age(Duration::from_secs(1800)),
            });
        }
        if self.compression {
            config = config.compression(Compression::zstd(1));
        }
        if self.failover {
            config = config.failover_dir(&places.away);
        }
        if let Some(mode) = self.mode {
            config = config.mode(mode);
        }
        config
    }

    /// The names of the active files.
    pub fn active_names(&self) -> Vec<String> {
        match self.manager {
            true => EVENTS.iter().map(|event| format!("{event}.log")).collect(),
            false => vec!["app.log".into()],
        }
    }
}

impl Plan {
    /// Whether a file of this name can be a log that is written. An event whose name is taken by another log gets one
    /// with a hash.
    pub fn is_active_name(&self, name: &str) -> bool {
        let is_event = |event: &str| name.starts_with(&format!("{event}~"));
        let has_hash = self.manager && EVENTS.iter().any(|event| is_event(event));
        self.active_names().iter().any(|active| active == name)
            || (has_hash && name.ends_with(".log") && !name.contains('_'))
    }
}

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// All that the world touches.
    pub top: PathBuf,
    /// Where the services log.
    pub logs: PathBuf,
    /// The other directory.
    pub away: PathBuf,
    /// Copies of archived segments, out of the world's reach.
    pub vault: PathBuf,
}

impl Places {
    pub fn new(top: &Path, vault: &Path) -> Places {
        Places {
            logs: top.join("logs"),
            away: top.join("away"),
            vault: vault.into(),
            top: top.into(),
        }
    }
}
