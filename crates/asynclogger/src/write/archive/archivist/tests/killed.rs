//! The process is killed between any two steps, and the next one finds everything and finishes it.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
};

use super::*;
use crate::io::{Ability, World};

const SIGKILL: i32 = 9;
const ARCHIVED: u64 = 3;

fn archivist_settings(directory: &Path, told: &Told) -> Arc<ArchiveSettings> {
    let config = told.clone().into_config(config(&directory.join("app.log")));
    let config = config.retention(Retention::new().keep(1));
    settings(directory, if cfg!(feature = "zstd") { zstd(config) } else { config })
}

fn sweep(directory: &Path) -> Told {
    let told = Told::default();
    let active = lineage_of(&directory.join("app.log"));
    perform(Work::Sweep { settings: archivist_settings(directory, &told), active });
    told
}

/// Runs the test again, as a child that does the work, and is killed at its n-th step.
fn run_killed(directory: &Path, named: bool, n: u64) -> ExitStatus {
    let test = "write::archive::archivist::tests::killed::nothing_is_lost_at_any_step";
    let mut child = Command::new(env::current_exe().expect("this binary"));
    child.args([test, "--exact", "--test-threads=1"]);
    child.env("ARCHIVIST_DIRECTORY", directory).env("ASYNCLOGGER_KILL_AT", n.to_string());
    if named {
        child.env("NAMED_PARTS", "");
    }
    child.output().expect("a child").status
}

#[test]
fn nothing_is_lost_at_any_step() {
    if let Some(directory) = env::var_os("ARCHIVIST_DIRECTORY") {
        let directory = Path::new(&directory);
        let world = World::of(directory);
        if env::var_os("NAMED_PARTS").is_some() {
            world.lacks(&[Ability::Unnamed]);
        }
        assert_eq!(sweep(directory).errors(), [""; 0]);
        return;
    }
    // Parts have a name where a file cannot be made without one.
    [false, true].into_iter().for_each(nothing_is_lost);
}

fn nothing_is_lost(named: bool) {
    let original = Log::new(ARCHIVED);
    let mut steps = 0;
    loop {
        let copy = tempfile::tempdir().expect("a directory");
        for name in original.names().iter().map(String::as_str).chain(["app.log"]) {
            fs::copy(original.path(name), copy.path().join(name)).expect("copied");
        }
        let status = run_killed(copy.path(), named, steps);
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(SIGKILL), "step {steps}: {status:?}");
        // The segments are whole, each record exists once, and only the oldest are missing.
        let held_now = held(copy.path());
        assert!(held_now.ends_with(&[ARCHIVED, ARCHIVED + 1]), "step {steps}: {held_now:?}");
        assert!(held_now.windows(2).all(|pair| pair[1] == pair[0] + 1), "step {steps}");

        // The next process finishes it.
        let told = sweep(copy.path());
        assert_eq!(told.errors(), [""; 0], "step {steps}");
        assert_eq!(held(copy.path()), [ARCHIVED, ARCHIVED + 1], "step {steps}");
        let suffix = if cfg!(feature = "zstd") { ".zst" } else { "" };
        let (left, rest): (Vec<_>, Vec<_>) =
            names(copy.path()).into_iter().partition(|name| name.starts_with("app"));
        assert_eq!(left, [format!("app_2024-01-01_00-00-03.log{suffix}")]);
        // A part that has no byte yet is nobody's.
        let is_empty = |name: &String| fs::read(copy.path().join(name)).expect("it").is_empty();
        assert!(rest.iter().all(|name| named && is_empty(name)), "step {steps}: {rest:?}");
        steps += 1;
    }
    assert!(steps >= if cfg!(feature = "zstd") { 30 } else { 4 }, "{steps} steps");
}
