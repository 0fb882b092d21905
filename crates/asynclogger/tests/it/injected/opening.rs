//! Steps of opening that fail, and space that cannot be reserved.

use std::{fs, io};

use asynclogger::{Durability, Engine, Opened};

use super::{EACH, ENOUGH, Run, THREADS, Told, can_inject, child, sweep};
use crate::{matrix::engines, support::child_role};

/// Opening: an error that says what and where, or it works without; and then it works. What was there
/// stays there.
#[test]
fn each_step_of_opening_may_fail() {
    let test = "injected::opening::each_step_of_opening_may_fail";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    const TEXT: &[u8] = b"somebody's text\n";
    let (durability, engine) = (Durability::Dsync, Engine::Pwrite);
    let fresh = || Run::new(durability, engine);
    let closed = || Run::continuing(durability, engine);
    let foreign = || {
        let run = Run::new(durability, engine);
        fs::write(&run.path, TEXT).expect("a file");
        run
    };
    let mut refusals = 0;
    for (call, name, number) in [
        ("openat", "EACCES", libc::EACCES),
        ("openat", "EMFILE", libc::EMFILE),
        ("openat", "EIO", libc::EIO),
        ("openat", "ENOSPC", libc::ENOSPC),
        ("fsync", "EIO", libc::EIO),
        ("renameat2", "EACCES", libc::EACCES),
    ] {
        let fault = format!("error={name}:when={{n}}");
        for (make, texts) in [(&fresh as &dyn Fn() -> Run, 0), (&closed, 0), (&foreign, 1)] {
            for n in 1..ENOUGH {
                let run = make();
                let told = run.inject(test, call, &fault.replace("{n}", &n.to_string()));
                run.assert_whole();
                // A directory that cannot be searched for older segments is no reason not to log.
                assert!(told.refused.len() <= 1, "{call}: {told:?}");
                assert!(told.refused.iter().all(|error| *error == number), "{call}: {told:?}");
                if run.first > 0 {
                    assert_eq!(told.opened, format!("{:?}", Opened::Continued), "{call}");
                }
                let files = fs::read_dir(&run.logs).expect("list");
                let is_text = |entry: io::Result<fs::DirEntry>| {
                    fs::read(entry.expect("an entry").path()).expect("a file") == TEXT
                };
                assert_eq!(files.map(is_text).filter(|is_text| *is_text).count(), texts, "{call}");
                refusals += told.refused.len();
                if !told.injected {
                    break;
                }
            }
        }
    }
    assert!(refusals > 10, "{refusals}");
}

/// Space that is not set aside in advance, or not given back, is no error: the writes decide.
#[test]
fn preallocation_may_fail() {
    let test = "injected::opening::preallocation_may_fail";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    for (call, error) in [
        ("fallocate", "ENOSPC"),
        ("fallocate", "EOPNOTSUPP"),
        ("fallocate", "EINTR"),
        ("ftruncate", "EIO"),
    ] {
        for engine in engines() {
            let run = || Run::new(Durability::Dsync, *engine);
            let check = |run: &Run, told: &Told| {
                run.assert_whole();
                assert_eq!(told.durable, u64::from(THREADS) * EACH);
            };
            sweep(test, call, &format!("error={error}:when={{n}}"), run, check);
            let run = run();
            check(&run, &run.inject(test, call, &format!("error={error}")));
        }
    }
}
