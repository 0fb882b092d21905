//! Power cuts under real file systems: a disk records each write and each flush of a process that logs, and then every
//! state that a cut can leave is mounted and read. `scripts/power-cuts` runs the long form.

mod disk;
mod oracle;
mod plan;
mod recording;
mod worker;

use std::{
    fs,
    ops::Range,
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use disk::Disk;
use plan::{Plan, WITHOUT_JOURNAL};
use recording::{Disks, Fate, KNOWN, What};
use tempfile::TempDir;

use crate::{
    crash_safe::{Counts, Random},
    mounts::{LoopDevice, enter_a_mount_namespace, run, skipped},
    support::{directory, wait_until},
};

/// The states of one recording.
const EACH: usize = 50;
/// When a life of a worker has recorded enough.
const ENTRIES: usize = 1_500;
const BYTES: u64 = 8 << 20;

/// A file system on a device, at a mount point; unmounted on drop.
struct OnDevice {
    point: PathBuf,
}

impl OnDevice {
    fn mount(device: LoopDevice, point: &Path) -> Result<OnDevice, String> {
        run(Command::new("mount").arg(device.path()).arg(point))?;
        // Given up now, so that the kernel frees it when it is unmounted, also if this process is killed.
        drop(device);
        Ok(OnDevice { point: point.to_owned() })
    }
}

impl Drop for OnDevice {
    fn drop(&mut self) {
        // A child of another test that has not yet executed its program has this process's descriptors for a moment. A
        // file system that stays mounted keeps its device, and xfs is not mounted a second time.
        let until = Instant::now() + Duration::from_secs(20);
        while run(Command::new("umount").arg(&self.point)).is_err() {
            if Instant::now() > until {
                let _ = run(Command::new("umount").arg("-l").arg(&self.point));
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What was recorded of one worker.
struct Scene {
    plan: Plan,
    seed: u64,
    counts: Counts,
    disk: Disk,
    /// The entries from the worker's beginning to its end.
    range: Range<usize>,
    /// Holds the mount point; the last one to go.
    home: TempDir,
}

impl Scene {
    /// Lets a worker log on a new disk.
    ///
    /// # Errors
    /// Why that cannot be done here.
    fn record(seed: u64) -> Result<Scene, String> {
        let (home, plan) = (directory(), Plan::of(seed));
        let counts = home.path().join("counts");
        let disk = Disk::new(plan.on.least_mib(), Counts::open(&counts))?;
        let point = home.path().join("mounted");
        fs::create_dir(&point).expect("the mount point");
        let device = LoopDevice::attach(&disk.path(), plan.on.sector(), true)?;
        plan.on.make_on(&device)?;
        let mounted = OnDevice::mount(device, &point)?;
        // Not by this process: see `disk`.
        run(Command::new("mkdir").arg(plan::logs(&point)).arg(plan::maps(&point)))?;
        run(Command::new("sync").arg("-f").arg(&point))?;
        let counts_path = counts;
        let counts = Counts::open(&counts_path);
        let begin = disk.recording().entries.len();
        for life in 0..plan.lives {
            let is_last = life + 1 == plan.lives;
            let worker = worker::start(seed, life, &point, &counts_path);
            wait_for(worker, &disk, &counts, is_last && plan.closes, seed);
        }
        let end = disk.recording().entries.len();
        drop(mounted);
        Ok(Scene { plan, seed, counts, disk, range: begin..end, home })
    }

    /// Checks `states` power cuts.
    fn check(&self, states: usize, sums: &mut Sums) {
        let Scene { plan, seed, counts, .. } = self;
        let recording = self.disk.recording();
        let mut random = Random::new(seed ^ 0xC07);
        let mut disks = Disks::new(&recording);
        let point = self.home.path().join("mounted");
        for at in recording::cuts(&recording, self.range.clone(), states, &mut random) {
            // Without a journal nothing is promised for a state that was half written.
            let fate = match plan.has_journal() {
                true => Fate::of(&mut random, plan.on.sector()),
                false => Fate::GONE,
            };
            let entry = recording.entries.get(at);
            let known = entry.map_or_else(|| std::array::from_fn(|n| counts.get(n)), |e| e.known);
            // In memory, since a state lives for some milliseconds; and without a name, so that a kill leaves nothing.
            let image = tempfile::tempfile_in("/dev/shm").expect("an image");
            disks.write(at, fate, &mut random, &image);
            let path =
                PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), image.as_raw_fd()));
            let what = || format!("seed {seed}, cut in front of {at}, {fate:?}, {plan:?}");
            let checked = self.check_one(&path, &point, &known);
            let checked = checked.unwrap_or_else(|error| panic!("{}: {error}", what()));
            sums.states += 1;
            sums.durable += checked.durable;
            sums.found += checked.found;
            sums.maps += checked.maps;
        }
    }

    fn check_one(
        &self,
        image: &Path,
        point: &Path,
        known: &[u64; KNOWN],
    ) -> Result<oracle::Checked, String> {
        let device = LoopDevice::attach(image, self.plan.on.sector(), false)?;
        let repaired = self.plan.on.repair(&device)?;
        let _mounted = OnDevice::mount(device, point)?;
        oracle::check(&self.plan, point, known, &self.counts).map_err(|what| {
            let files = run(Command::new("ls").arg("-laiR").arg(point));
            format!("{what}\n{}\n{repaired}", files.unwrap_or_else(|error| error))
        })
    }
}

/// Waits until a worker has recorded enough, and ends it.
fn wait_for(mut worker: Child, disk: &Disk, counts: &Counts, closes: bool, seed: u64) {
    let enough = {
        let recording = disk.recording();
        (recording.entries.len() + ENTRIES, recording.bytes + BYTES)
    };
    let begun = Instant::now();
    loop {
        let recording = disk.recording();
        let is_enough = recording.entries.len() > enough.0 || recording.bytes > enough.1;
        drop(recording);
        let is_over = worker.try_wait().expect("a status").is_some();
        // On a slow machine, too, something is to be lost.
        let has_durable = (0..worker::THREADS).any(|thread| counts.get(thread) > 0);
        let long = Duration::from_secs(if has_durable { 3 } else { 30 });
        if is_over || is_enough || begun.elapsed() > long {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if closes {
        counts.set(worker::DONE, 1);
    } else {
        let _ = worker.kill();
    }
    let output = worker.wait_with_output().expect("an end");
    let is_killed = output.status.signal() == Some(libc::SIGKILL);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(is_killed || (closes && output.status.success()), "seed {seed}: {errors}");
}

#[derive(Debug, Default)]
struct Sums {
    recordings: u64,
    entries: u64,
    flushes: u64,
    states: u64,
    durable: u64,
    found: u64,
    maps: u64,
}

/// The next boot of the machine has another id.
fn boot_again(home: &Path) -> Result<(), String> {
    let boot = home.join("boot");
    fs::write(&boot, "5eed0000-0000-4000-8000-000000000001\n").expect("a file");
    run(Command::new("mount").arg("--bind").arg(boot).arg("/proc/sys/kernel/random/boot_id"))
        .map(drop)
}

/// Does something on a thread with mounts of its own, which are gone with it.
fn with_own_mounts<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Option<T> {
    let in_there = || enter_a_mount_namespace().and_then(|()| work());
    let result = std::thread::scope(|scope| scope.spawn(in_there).join());
    match result {
        Ok(Ok(value)) => Some(value),
        Ok(Err(reason)) => {
            skipped(&reason);
            None
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Records, and cuts the power, until there are so many states.
fn cut_again_and_again(first: u64, states: u64) {
    // A short run has few cuts of each recording, so that it has all file systems.
    let each = (states as usize).div_ceil(6).min(EACH);
    let mut sums = Sums::default();
    for seed in first.. {
        if sums.states >= states {
            break;
        }
        let each = each.min((states - sums.states) as usize);
        let done = with_own_mounts(|| {
            let scene = Scene::record(seed)?;
            boot_again(scene.home.path())?;
            scene.check(each, &mut sums);
            let recording = scene.disk.recording();
            let is_flush = |entry: &&recording::Entry| matches!(entry.what, What::Flush);
            sums.recordings += 1;
            sums.entries += recording.entries.len() as u64;
            sums.flushes += recording.entries.iter().filter(is_flush).count() as u64;
            drop(recording);
            Ok(())
        });
        if done.is_none() {
            return;
        }
    }
    println!("power cuts: {sums:?}");
    assert!(sums.durable > 0);
}

/// `STATES` says how many cuts are made, `SEED` which recording is the first one.
#[test]
fn no_durable_record_is_lost_by_a_power_cut() {
    cut_again_and_again(number("SEED", 1), number("STATES", 24));
}

/// On a file system without a journal, on which the sync of a file says nothing about its name: a directory that is not
/// synced shows there alone.
#[test]
fn no_durable_record_is_lost_without_a_journal() {
    cut_again_and_again(WITHOUT_JOURNAL + number("SEED", 1), number("STATES", 24).div_ceil(4));
}

/// A write, then a flush of the device: the disk has seen both, in this order, when the flush returns.
#[test]
fn a_flush_of_the_device_is_recorded_behind_the_write_before_it() {
    with_own_mounts(|| {
        let home = directory();
        let disk = Disk::new(4, Counts::open(&home.path().join("counts")))?;
        let device = LoopDevice::attach(&disk.path(), 512, true)?;
        let input = home.path().join("input");
        fs::write(&input, [0xA5; 8192]).expect("a file");
        for is_direct in [false, true] {
            let begin = disk.recording().entries.len();
            let mut dd = Command::new("dd");
            dd.arg(format!("if={}", input.display()));
            dd.arg(format!("of={}", device.path().display()));
            dd.args(["bs=8192", "seek=3", "conv=fsync,notrunc", "status=none"]);
            if is_direct {
                dd.arg("oflag=direct");
            }
            run(&mut dd)?;
            let recording = disk.recording();
            let mut written = 0;
            let mut flushed = None;
            for entry in &recording.entries[begin..] {
                match &entry.what {
                    What::Write { offset, bytes } => {
                        assert!((24576..32768).contains(offset), "at {offset}");
                        assert!(bytes.iter().all(|byte| *byte == 0xA5));
                        written += bytes.len();
                    }
                    What::Flush => flushed = Some(written),
                }
            }
            assert_eq!((written, flushed), (8192, Some(8192)), "direct: {is_direct}");
        }
        wait_until("the disk is not used", || disk.recording().now(24576, 8192) == [0xA5; 8192]);
        Ok(())
    });
}
