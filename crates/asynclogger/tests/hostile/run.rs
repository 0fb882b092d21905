//! One world: a seed decides about all of it but for what the threads of the services do.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use asynclogger::{Config, Logger};

use crate::{
    chance::Chance,
    disk::SmallDisk,
    handle::{Answer, LANES, Service},
    model::{Fate, Model},
    oracles::{self, Numbers},
    plan::{Places, Plan},
    record::Key,
    watcher::Watcher,
    world::World,
};

/// Records of a log that the services have nothing to do with.
pub const LANE_OF_OTHERS: u32 = 100;
/// The deadline of oracle 3. An interval of ours is at most a second, and the way home is tried every five.
const SOON: Duration = Duration::from_secs(20);

/// What this process may do.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    pub is_root: bool,
    pub can_mount: bool,
}

/// What was seen of a world that held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub steps: u64,
    pub offered: u64,
    pub durable: u64,
    pub lives: u64,
    pub kills: u64,
    pub refused_openings: u64,
    pub second_writers: u64,
    pub acts: u64,
    pub checks: u64,
    pub sane: u64,
    pub sane_and_not_well: u64,
    pub read: u64,
}

impl Seen {
    pub fn add(&mut self, other: &Seen) {
        self.steps += other.steps;
        self.offered += other.offered;
        self.durable += other.durable;
        self.lives += other.lives;
        self.kills += other.kills;
        self.refused_openings += other.refused_openings;
        self.second_writers += other.second_writers;
        self.acts += other.acts;
        self.checks += other.checks;
        self.sane += other.sane;
        self.sane_and_not_well += other.sane_and_not_well;
        self.read += other.read;
    }
}

/// What has happened, shown if an oracle speaks.
struct Trail {
    seed: u64,
    plan: Plan,
    lines: Vec<String>,
}

impl Drop for Trail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.lines.len().saturating_sub(60);
            eprintln!("{}\n{:?}", self.lines[from..].join("\n"), self.plan);
            eprintln!("the seed is {0}: scripts/hostile --seed {0}", self.seed);
        }
    }
}

struct Run {
    world: World,
    model: Model,
    numbers: Numbers,
    chance: Chance,
    service: Option<Service>,
    second: Option<Service>,
    trail: Trail,
    seen: Seen,
    moved_at_start: usize,
    _disk: Option<SmallDisk>,
    directories: [tempfile::TempDir; 2],
}

impl Drop for Run {
    /// What an oracle has spoken of can be looked at, if wanted.
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("HOSTILE_KEEP").is_some() {
            self.directories.iter_mut().for_each(|directory| directory.disable_cleanup(true));
        }
    }
}

/// A directory that everybody reaches: those of tests are their owner's alone. Most are in memory, where a step costs no
/// sync of a disk.
fn reachable(in_memory: bool) -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let above = if in_memory && memory.is_dir() { memory } else { Path::new("/tmp") };
    let directory = tempfile::tempdir_in(above).expect("a directory");
    set_mode(directory.path(), 0o755);
    directory
}

fn set_mode(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(path, mode).expect("a mode");
}

pub fn run(seed: u64, steps: u64, rights: Rights) -> Seen {
    let mut run = Run::new(seed, rights);
    let logs = run.world.places.logs.clone();
    let paths = run.world.plan.active_names().into_iter().map(|name| logs.join(name)).collect();
    let watcher = Watcher::start(paths);
    for step in 0..steps {
        run.step(step);
        if watcher.has_failed() {
            break;
        }
    }
    run.end();
    run.seen.read = watcher.end();
    run.seen
}

impl Run {
    fn new(seed: u64, rights: Rights) -> Run {
        let mut plan = Plan::of(seed);
        plan.nobody &= rights.is_root;
        plan.small_disk &= rights.can_mount;
        let directories = [reachable(plan.in_memory), reachable(true)];
        let disk = plan
            .small_disk
            .then(|| SmallDisk::mount(directories[0].path()).expect("others could be mounted"));
        let places = Places::new(directories[0].path(), directories[1].path());
        let world = World::new(plan.clone(), places);
        let mut run = Run {
            world,
            model: Model::default(),
            numbers: Numbers::default(),
            chance: Chance::new(seed ^ 0xD15C_0DE5),
            service: None,
            second: None,
            trail: Trail { seed, plan, lines: Vec::new() },
            seen: Seen::default(),
            moved_at_start: 0,
            _disk: disk,
            directories,
        };
        run.put_others();
        run
    }

    /// Files that are not ours: texts under all kinds of names, and another log.
    fn put_others(&mut self) {
        let logs = self.world.places.logs.clone();
        let other = logs.join("other.log");
        let logger = Logger::new(Config::new(&other).buffer_size(64 << 10).num_shards(1));
        let logger = logger.expect("another log");
        for number in 0..20 {
            logger.log_bytes(&Key { lane: LANE_OF_OTHERS, number }.record());
        }
        logger.close().expect("closed");
        let log = fs::read(&other).expect("it");
        fs::remove_file(&other).expect("removed");
        fs::remove_file(logs.join(".other.lock")).expect("removed");
        assert!(self.world.put_foreign(&other, &log));
        for (name, content) in [
            ("notes.txt", &b"precious"[..]),
            ("app_2026-11-25_09-00-00.log", &log),
            ("app_2026-11-25_09-00-01.log", b"precious"),
            (".app.next", b"precious"),
            (".app_2026-11-25_09-00-00.log.zst.part", b"precious"),
            ("bee.txt", b"precious"),
        ] {
            if self.chance.one_in(2) {
                assert!(self.world.put_foreign(&logs.join(name), content));
            }
        }
        self.world.give_rights();
    }

    fn note(&mut self, what: String) {
        if std::env::var_os("HOSTILE_TRACE").is_some() {
            eprintln!("{what}");
        }
        self.trail.lines.push(what);
    }

    fn step(&mut self, step: u64) {
        self.seen.steps += 1;
        if self.service.is_none() {
            self.open(step);
        }
        if self.second.is_some() {
            self.world.hold_all();
        }
        let chance = self.chance.below(100);
        match chance {
            0..25 => self.burst(step, false),
            25..45 => self.burst(step, true),
            45..70 => self.act(step),
            70..76 => self.command(step, "flush"),
            76..79 => self.command(step, "rotate"),
            79..80 => self.command(step, "reopen"),
            80..84 => self.kill(step),
            84..87 => self.close(step),
            87..90 => self.set_clock(step),
            90..94 => self.second_writer(step),
            94..96 => self.fill_or_limit(step),
            96..98 => self.check(),
            _ => self.be_sane(step),
        }
    }

    /// Starts a service, which the state of the world may refuse.
    fn open(&mut self, step: u64) -> Answer {
        self.world.know_segments();
        self.world.opening();
        let (plan, places) = (&self.world.plan, &self.world.places);
        let (service, answer) =
            Service::start(plan, places, &mut self.model, LANES[0], self.world.clock);
        self.seen.lives += 1;
        self.world.is_shared = self.second.is_some();
        self.world.is_open = Default::default();
        self.note(format!("{step}: open: {answer}"));
        if service.is_open {
            self.moved_at_start = self.world.moved.len();
            self.service = Some(service);
        } else {
            self.seen.refused_openings += 1;
        }
        answer
    }

    /// Records, flushes and rotations; with them, if wanted, something that the world does at the same time.
    fn burst(&mut self, step: u64, with_act: bool) {
        let most = if self.chance.one_in(4) { 120 } else { 25 };
        let count = 1 + self.chance.below(most) as u32;
        let every = [0, 1, 7, 20][self.chance.below(4) as usize];
        let (rotates, waits) = (self.chance.below(4) as u32, self.chance.one_in(5));
        let is_second = self.second.is_some() && self.chance.one_in(3);
        let service = if is_second { &mut self.second } else { &mut self.service };
        let Some(service) = service else { return };
        let first = self.model.next(LANES[0]);
        service.burst(&mut self.model, count, every, rotates, waits);
        let who = if is_second { "second" } else { "first" };
        self.note(format!("{step}: burst of the {who}: {count} {every} {rotates} {waits}"));
        if with_act {
            for _ in 0..=self.chance.below(2) {
                self.act(step);
            }
        }
        let service = if is_second { &mut self.second } else { &mut self.service };
        if let Some(service) = service {
            service.finish(&mut self.model);
        }
        let keys = (first..self.model.next(LANES[0])).map(|number| Key { lane: LANES[0], number });
        for key in keys {
            let is_taken = self.model.get(key).is_some_and(|known| known.fate != Fate::Refused);
            self.world.is_open[key.event()] |= is_taken;
        }
    }

    fn command(&mut self, step: u64, command: &str) {
        let Some(mut service) = self.service.take() else { return };
        let answer = service.call(&mut self.model, command);
        self.service = Some(service);
        self.note(format!("{step}: {command}: {answer}"));
    }

    /// The services stand still, or do not, while the world does something.
    fn act(&mut self, step: u64) {
        let after = self.model.commands;
        self.seen.acts += 1;
        if self.chance.one_in(12) {
            let (what, is_done) = self.world.act_on_directory(&mut self.chance, after);
            self.note(format!("{step}: {what}: {is_done}"));
            return;
        }
        let Some(what) = self.world.choose(&mut self.chance) else { return };
        let is_held = what.needs_rest || self.chance.one_in(2);
        if is_held {
            self.stop();
        }
        let is_done = self.world.act(&what, &mut self.chance, after);
        if is_held {
            self.resume();
        }
        let to = (self.world.renamed_to.take(), self.world.remark.take());
        self.note(format!("{step}: {what:?} {to:?}, after {after}: {is_done}"));
    }

    fn stop(&self) {
        self.service.iter().chain(&self.second).for_each(Service::stop);
    }

    fn resume(&self) {
        self.service.iter().chain(&self.second).for_each(Service::resume);
    }

    fn kill(&mut self, step: u64) {
        let Some(mut service) = self.service.take() else { return };
        if self.chance.one_in(2) {
            service.burst(&mut self.model, 60, 5, 2, false);
            let moments = self.chance.below(4000);
            std::thread::sleep(Duration::from_micros(moments));
        }
        service.kill(&mut self.model);
        self.seen.kills += 1;
        self.note(format!("{step}: killed"));
        self.open(step);
    }

    fn close(&mut self, step: u64) {
        let Some(mut service) = self.service.take() else { return };
        let answer = Run::end_service(&mut service, &mut self.model);
        self.note(format!("{step}: close: {answer}"));
        if self.chance.one_in(2) {
            self.act(step);
        }
        self.open(step);
    }

    /// Closes a service: its account has to add up, whatever the answer is.
    fn end_service(service: &mut Service, model: &mut Model) -> Answer {
        let answer = service.call(model, "close");
        let stats = service.call(model, "stats");
        service.check_stats(model, &stats);
        service.leave();
        answer
    }

    fn set_clock(&mut self, step: u64) {
        const HOUR: i64 = 3600;
        let by = [-1, 1, -HOUR, HOUR, -26 * HOUR, 26 * HOUR, 10_000 * HOUR];
        self.world.clock += self.chance.pick(&by).expect("one");
        if self.chance.one_in(3) {
            self.world.clock = 0;
        }
        let command = format!("clock {}", self.world.clock);
        self.command(step, &command);
    }

    /// A second writer of the same log comes, or goes.
    fn second_writer(&mut self, step: u64) {
        if let Some(second) = self.second.take() {
            self.end_second(step, second);
            return;
        }
        self.world.know_segments();
        self.world.opening();
        let (plan, places) = (&self.world.plan, &self.world.places);
        let (second, answer) =
            Service::start(plan, places, &mut self.model, LANES[1], self.world.clock);
        self.note(format!("{step}: a second writer: {answer}"));
        if second.is_open {
            self.seen.second_writers += 1;
            self.world.is_shared = true;
            self.second = Some(second);
        }
    }

    fn end_second(&mut self, step: u64, mut second: Service) {
        self.world.hold_all();
        if self.chance.one_in(2) {
            second.kill(&mut self.model);
            self.note(format!("{step}: the second writer is killed"));
        } else {
            let answer = Run::end_service(&mut second, &mut self.model);
            self.note(format!("{step}: the second writer closes: {answer}"));
        }
        // The first one sets its file aside, and retention may take it.
        self.world.know_segments();
    }

    fn fill_or_limit(&mut self, step: u64) {
        if self.world.plan.small_disk {
            match self.world.filler {
                Some(_) => self.world.free_disk(),
                None => self.world.fill_disk(&mut self.chance),
            }
            let is_full = self.world.filler.is_some();
            self.note(format!("{step}: the disk is full: {is_full}"));
        } else {
            // Smaller limits than a block have a test of their own.
            let limit = (128 << 10) + self.chance.below(400 << 10);
            self.command(step, &format!("limit {limit}"));
        }
    }

    fn check(&mut self) {
        self.stop();
        oracles::check(&mut self.world, &self.model, &mut self.numbers);
        self.resume();
        self.seen.checks += 1;
    }

    /// The world becomes sane; then the service has to write within [`SOON`] (oracle 3).
    fn be_sane(&mut self, step: u64) {
        if let Some(second) = self.second.take() {
            self.end_second(step, second);
        }
        self.world.free_disk();
        // Files that the service may not read, and so could not note; once it may, retention can delete them.
        self.world.know_segments();
        self.world.give_rights();
        self.command(step, &format!("limit {}", i64::MAX));
        self.note(format!("{step}: the world is sane"));
        self.seen.sane += 1;
        if self.world.plan.manager {
            // Events are still to be opened, also by a service that lives.
            let after = self.model.commands;
            self.world.clear_names(after);
        }
        let begun = Instant::now();
        let mut answer = Answer::new();
        while self.service.is_none() {
            assert!(begun.elapsed() < SOON, "oracle 3: the log cannot be opened: {answer}");
            let after = self.model.commands;
            self.world.clear_names(after);
            answer = self.open(step);
        }
        self.writes_again(step);
        self.check();
    }

    fn writes_again(&mut self, step: u64) {
        let mut service = self.service.take().expect("an open service");
        let begun = Instant::now();
        // The first flush looks for the file; what is logged from then on is not in one that was deleted.
        let mut flushes = 0;
        while flushes < 2 {
            service.burst(&mut self.model, 3, 0, 0, false);
            service.finish(&mut self.model);
            let answer = service.call(&mut self.model, "flush");
            let is_late = begun.elapsed() > SOON;
            assert!(
                !is_late,
                "oracle 3: nothing is written: {answer}; {:?}",
                service.call(&mut self.model, "stats")
            );
            // Records can be refused while memory is full; another flush makes room.
            let last = Key { lane: LANES[0], number: self.model.next(LANES[0]) - 1 };
            let is_kept = self.model.get(last).is_some_and(|it| it.fate == Fate::Durable);
            if answer == "ok" && is_kept {
                flushes += 1;
            } else {
                flushes = 0;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let mut health = service.call(&mut self.model, "health");
        // A thread of its own tells what happened, perhaps after the answer.
        while health != "Ok" && service.told.is_empty() && begun.elapsed() < SOON {
            std::thread::sleep(Duration::from_millis(1));
            health = service.call(&mut self.model, "health");
        }
        let last = Key { lane: LANES[0], number: self.model.next(LANES[0]) - 1 };
        self.note(format!("{step}: it writes: {last:?}, {health}"));
        let is_told = !service.told.is_empty();
        if health == "Ok" {
            // A file that is renamed or compressed during the look would be seen under neither name.
            service.stop();
            let is_found = oracles::is_in(last, &self.homes_of_service());
            service.resume();
            assert!(is_found, "oracle 3: {last:?} is durable, and not in the directory of the log");
        } else {
            self.seen.sane_and_not_well += 1;
            assert!(is_told, "oracle 3: the log is {health}, and nobody was told");
        }
        self.service = Some(service);
    }

    /// Where a healthy service may write: the directory that it names, or the one it holds that was moved.
    fn homes_of_service(&self) -> Vec<PathBuf> {
        let moved = self.world.moved[self.moved_at_start..].iter();
        moved.chain([&self.world.places.logs]).cloned().collect()
    }

    fn end(&mut self) {
        self.be_sane(self.seen.steps);
        let mut service = self.service.take().expect("it is open");
        let answer = Run::end_service(&mut service, &mut self.model);
        self.note(format!("the end: close: {answer}"));
        assert!(
            answer.starts_with("ok "),
            "oracle 3: the world is sane, and close fails: {answer}"
        );
        self.check();
        self.seen.offered = self.model.all().count() as u64;
        let durable = self.model.all().filter(|(_, known)| known.fate == Fate::Durable);
        self.seen.durable = durable.count() as u64;
    }
}
