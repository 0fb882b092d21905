//! A hostile directory, at random: real services log, and between their steps the world does to their directory what
//! worlds do. [`oracles`] says what holds nevertheless; `scripts/hostile` runs the long form.
#![expect(unreachable_pub, reason = "the modules of one binary")]

mod actions;
mod chance;
mod clock;
mod disk;
mod files;
mod handle;
mod model;
mod oracles;
mod plan;
mod record;
mod run;
mod service;
mod watcher;
mod world;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use run::{Rights, Seen};

/// A process that [`handle::Service`] has started ends in here; for everybody else there is nothing to do.
#[test]
fn the_service_if_this_is_one() {
    service::serve_if_told();
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn rights() -> Rights {
    // SAFETY: asks for a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        println!("skipped: services without rights, and full disks: only root can make them");
        return Rights { is_root, can_mount: false };
    }
    let mounted = disk::enter_a_mount_namespace().and_then(|()| {
        let point = tempfile::tempdir()?;
        disk::SmallDisk::mount(point.path()).map(drop)
    });
    if let Err(error) = &mounted {
        println!("skipped: full disks: nothing can be mounted: {error}");
    }
    Rights { is_root, can_mount: mounted.is_ok() }
}

/// `HOSTILE_SEEDS` worlds (default 4) from `HOSTILE_SEED` on (default 1), of `HOSTILE_STEPS` steps each; and where no
/// seed is given one more, which changes with the time.
#[test]
fn no_durable_record_is_lost_and_no_log_stops_whatever_happens_around_its_files() {
    if std::env::var_os(service::ROLE).is_some() {
        return;
    }
    let (first, seeds) = (number("HOSTILE_SEED"), number("HOSTILE_SEEDS").unwrap_or(4));
    let steps = number("HOSTILE_STEPS").unwrap_or(40);
    let from = first.unwrap_or(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch");
    let other = first.is_none().then_some(now.as_micros() as u64 % 1_000_000_000);
    let (rights, begun) = (rights(), Instant::now());
    let mut seen = Seen::default();
    for seed in (from..from + seeds).chain(other) {
        seen.add(&run::run(seed, steps, rights));
    }
    let other = other.map_or(String::new(), |seed| format!(" and {seed}"));
    println!(
        "hostile: seeds {from} to {}{other}, {:.0} s, the oracles are silent: {seen:?}",
        from + seeds - 1,
        begun.elapsed().as_secs_f64()
    );
}
