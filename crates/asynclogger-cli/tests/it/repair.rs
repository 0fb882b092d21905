//! Damaged files and the whole ones that `repair` makes of them.

use std::{fs, os::unix::fs::PermissionsExt, thread, time::Instant};

use rustix::fs::{Mode, OFlags};

use crate::{
    service::Small,
    support::{Place, numbers},
};

/// The records with their positions and times, as `cat` prints them; segment and name are the same, too.
fn records(place: &Place, name: &str) -> String {
    place.run(&format!("cat --format json {name}"), "").text()
}

fn log(place: &Place) -> Vec<u8> {
    place.write("app.log", numbers(30_000));
    place.write("app.log", numbers(30_000));
    fs::read(place.file("app.log")).unwrap()
}

fn nothing_is_left_over(place: &Place) {
    let names = fs::read_dir(place.dir()).unwrap().map(|it| it.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.as_encoded_bytes().ends_with(b".part")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_can_be_read_is_kept_and_the_rest_is_told() {
    let place = Place::new();
    let mut bytes = log(&place);
    let at = bytes.windows(5).position(|window| window == b"20000").unwrap();
    bytes[at] ^= 1;
    place.put("bad.log", &bytes);
    fs::set_permissions(place.file("bad.log"), fs::Permissions::from_mode(0o640)).unwrap();
    let lost = place.run("verify --json bad.log", "").json()[0]["lost"]["min"].as_u64().unwrap();
    assert!(lost > 0);
    fs::remove_file(place.file("app.log")).unwrap();
    let kept = 60_000 - lost;

    let told = place.run("repair bad.log --output new.log --json", "").ends_with(1).json();
    assert_eq!(told[0]["records"], kept);
    assert_eq!(told[0]["source"]["lost"]["min"], lost);
    assert_eq!((&told[0]["copied"], &told[0]["whole"]), (&false.into(), &true.into()));
    assert_eq!(told[0]["bytes"], fs::metadata(place.file("new.log")).unwrap().len());
    assert_eq!(records(&place, "new.log"), records(&place, "bad.log"));

    let whole = place.run("verify --json new.log", "").ends_with(0).json();
    assert_eq!((&whole[0]["repaired"], &whole[0]["given_up"]), (&true.into(), &lost.into()));
    assert_eq!(whole[0]["ending"], "clean");
    place.run("verify --all new.log", "").ends_with(0);
    let text = place.run("verify new.log", "").text();
    assert!(text.contains("repaired  from a damaged file"), "{text}");
    // The new file is a log of its own, and no copy of a segment.
    let all = place.run("verify .", "").ends_with(1);
    assert!(!all.stderr.contains("copy of segment"), "{}", all.stderr);
    let mode = fs::metadata(place.file("new.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fs::read(place.file("bad.log")).unwrap(), bytes, "the source is untouched");

    // What was repaired is whole: another repair copies it.
    let told = place.run("repair new.log --output again.log", "").ends_with(0).text();
    assert!(told.contains("nothing is damaged; copied with"), "{told}");
    let [new, again] = ["new.log", "again.log"].map(|name| fs::read(place.file(name)).unwrap());
    assert!(new == again);
    // It is damaged again: what was lost before and what is lost now are two things.
    let mut twice = new;
    let at = twice.windows(5).rposition(|window| window == b"20000").unwrap();
    twice[at] ^= 1;
    place.put("twice.log", &twice);
    let fresh = place.run("verify --json twice.log", "").ends_with(1).json();
    assert_eq!(fresh[0]["given_up"], lost);
    let more = fresh[0]["lost"]["min"].as_u64().unwrap();
    assert_eq!(fresh[0]["records"], kept - more);
    place.run("repair twice.log --output third.log", "").ends_with(1);
    let third = place.run("verify --json third.log", "").ends_with(0).json();
    assert_eq!(third[0]["given_up"], lost + more);
    assert_eq!(records(&place, "third.log"), records(&place, "twice.log"));
    nothing_is_left_over(&place);
}

#[test]
fn a_whole_file_is_copied_and_a_compressed_one_becomes_plain() {
    let place = Place::new();
    let bytes = log(&place);
    place.run("repair app.log --output copy.log", "").ends_with(0);
    assert!(fs::read(place.file("copy.log")).unwrap() == bytes);
    let mut damaged = bytes.clone();
    damaged[4096 + 100] ^= 1;
    place.put("bad.log", &damaged);
    place.run("repair bad.log --output plain.log", "").ends_with(0);
    place.compress("bad.log");
    place.run("repair bad.log.zst --output packed.log", "").ends_with(0);
    let [plain, packed] =
        ["plain.log", "packed.log"].map(|name| fs::read(place.file(name)).unwrap());
    assert!(plain == packed);
    assert_eq!(records(&place, "plain.log"), records(&place, "bad.log.zst"));
    place.compress("app.log");
    place.run("repair app.log.zst --output restored.log", "").ends_with(0);
    assert!(fs::read(place.file("restored.log")).unwrap() == bytes);
}

#[test]
fn a_torn_file_of_the_original_stays_one() {
    let place = Place::new();
    let mut original = Vec::new();
    for text in [b"abc", b"def"] {
        let mut shard = vec![0; 512];
        shard[..4].copy_from_slice(&512u32.to_le_bytes());
        shard[4..8].copy_from_slice(&14u32.to_le_bytes());
        for at in [8, 15] {
            shard[at..at + 4].copy_from_slice(&3u32.to_le_bytes());
            shard[at + 4..at + 7].copy_from_slice(text);
        }
        original.extend(shard);
    }
    original.truncate(512 + 18);
    place.put("bad.log", &original);
    place.run("verify bad.log", "").ends_with(1);
    place.run("repair bad.log --output new.log", "").ends_with(1);
    assert_eq!(place.run("cat new.log", "").ends_with(0).text(), "abc\nabc\ndef\n");
    place.run("verify new.log", "").ends_with(0);
    assert_eq!(fs::read(place.file("new.log")).unwrap().len(), 1024);
}

#[test]
fn nothing_is_replaced_and_what_is_no_log_is_refused() {
    let place = Place::new();
    log(&place);
    place.put("mine.log", b"mine");
    place.put("notes.txt", b"no log at all, only a text of some length\n");
    place.run("repair app.log --output mine.log", "").ends_with(2).says("exists");
    place.run("repair app.log --output app.log", "").ends_with(2).says("exists");
    place.run("repair . --output new.log", "").ends_with(2).says("directory");
    place.run("repair gone.log --output new.log", "").ends_with(3).says("gone.log");
    place.run("repair notes.txt --output new.log", "").ends_with(3).says("not a log");
    place.run("repair app.log --output no/new.log", "").ends_with(3);
    place.run("repair app.log", "").ends_with(2);
    assert_eq!(fs::read(place.file("mine.log")).unwrap(), b"mine");
    assert!(!place.file("new.log").exists());
    nothing_is_left_over(&place);
}

#[test]
fn a_full_disk_leaves_no_file() {
    let place = Place::new();
    let Some(_mounted) = Small::mount(&place) else { return };
    let mut bytes = Vec::new();
    for _ in 0..4 {
        bytes = log(&place);
    }
    bytes[4096 + 100] ^= 1;
    place.put("bad.log", &bytes);
    fs::write(place.file("small/fill"), vec![0; 700 << 10]).expect("written");
    let run = place.run("repair bad.log --output small/new.log", "").ends_with(3);
    assert!(run.stderr.contains("No space left"), "{}", run.stderr);
    let names: Vec<_> =
        fs::read_dir(place.file("small")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.as_encoded_bytes().starts_with(b".new")), "{names:?}");
    assert!(!place.file("small/new.log").exists());
}

fn has_nameless_files(place: &Place) -> bool {
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    rustix::fs::open(place.dir(), flags, Mode::RUSR | Mode::WUSR).is_ok()
}

/// Killed at any moment, there is the whole file under the new name, or none.
#[test]
fn a_kill_leaves_a_whole_file_or_none() {
    let place = Place::new();
    let mut bytes = log(&place);
    bytes[4096 + 100] ^= 1;
    place.put("bad.log", &bytes);
    let begin = Instant::now();
    place.run("repair bad.log --output whole.log", "").ends_with(0);
    let undisturbed = begin.elapsed();
    let whole = fs::read(place.file("whole.log")).unwrap();
    let (mut none, mut all) = (0, 0);
    for round in 0..40 {
        let mut child = place.command("repair bad.log --output new.log").spawn().expect("it runs");
        // The last rounds come too late.
        if round < 37 {
            thread::sleep(undisturbed * 3 * round / 2 / 37);
            child.kill().expect("killed");
        }
        child.wait().expect("its end");
        match fs::read(place.file("new.log")) {
            Ok(new) => {
                assert!(new == whole, "{} of {} bytes", new.len(), whole.len());
                fs::remove_file(place.file("new.log")).unwrap();
                all += 1;
            }
            Err(_) => none += 1,
        }
    }
    println!("{none} without a file, {all} with the whole one");
    // The first child is killed at once, and the last ones are not killed.
    assert!(none > 0 && all >= 3, "{none} without a file, {all} with the whole one");
    if has_nameless_files(&place) {
        nothing_is_left_over(&place);
    } else {
        println!("skipped: the file system has no files without a name");
    }
    // What a killed process left does not stop the next one.
    place.run("repair bad.log --output new.log", "").ends_with(0);
}

/// A repaired segment in the middle of a log: the records of the segments before are not lost.
#[test]
fn a_repaired_segment_loses_nothing_of_the_ones_before() {
    let place = Place::new();
    let write = "write --buffer-size 64K --shards 1 --rotate-size 320K app.log";
    place.run(write, numbers(100_000)).ends_with(0);
    let files = place.run("verify --json .", "").ends_with(0).json();
    let second = files.iter().find(|file| file["segment"] == 2).expect("a second segment");
    let mut bytes = fs::read(place.file(second["file"].as_str().unwrap())).unwrap();
    // Some record in the middle.
    let middle = bytes.len() / 2;
    let is_record = |at: &[u8]| at[..3] == [0, 0, 0] && at[3..].iter().all(u8::is_ascii_digit);
    let at = bytes[middle..].windows(7).position(is_record).expect("a record");
    bytes[middle + at + 5] ^= 1;
    fs::create_dir(place.file("new")).unwrap();
    place.put("new/bad.log", &bytes);
    let lost = place.run("verify --json new/bad.log", "").ends_with(1).json()[0]["lost"].clone();
    assert!(lost["min"].as_u64() > Some(0) && lost["min"] == lost["max"], "{lost}");
    place.run("repair new/bad.log --output new/new.log", "").ends_with(1);
    fs::remove_file(place.file("new/bad.log")).unwrap();
    for args in
        ["verify new/new.log", "verify --all new/new.log", "verify new", "cat new", "stat new"]
    {
        place.run(args, "").ends_with(0);
    }
}
