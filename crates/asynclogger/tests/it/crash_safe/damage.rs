//! Damaged words in the map of a dead process: each is found, or makes no difference.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use asynclogger::{Logger, read::LogDir};

use super::{
    dying::Home,
    maps::{HELD, dead},
};
use crate::support::Numbered;

/// Where the words of a map begin.
const WORDS: u64 = 16 << 10;

/// A dead process's log and map, which can be put back as they were.
struct Scene {
    home: Home,
    map: PathBuf,
    /// The bytes of the map and of the log.
    map_was: Vec<u8>,
    log_was: Vec<u8>,
    /// The log's file: it is found by its identity.
    inode: u64,
}

impl Scene {
    fn new() -> Scene {
        let home = dead();
        let map = home.map();
        let (map_was, log_was) =
            (fs::read(&map).expect("a map"), fs::read(home.log()).expect("it"));
        let inode = home.log().metadata().expect("the log").ino();
        Scene { home, map, map_was, log_was, inode }
    }

    /// Puts everything back, with a change of one word.
    fn put_back(&self, word: u64, flipped: u64) {
        let mut ours = None;
        for entry in fs::read_dir(self.home.path().join("logs")).expect("the directory") {
            let path = entry.expect("an entry").path();
            if path.metadata().expect("a file").ino() == self.inode {
                let aside = self.home.path().join("aside");
                fs::rename(&path, &aside).expect("renamed");
                ours = Some(aside);
            } else {
                fs::remove_file(path).expect("removed");
            }
        }
        let log = ours.expect("the file of the dead process is there");
        write_all(&log, &self.log_was);
        fs::rename(log, self.home.log()).expect("renamed");
        let mut map = self.map_was.clone();
        let at = (WORDS + word * 8) as usize;
        let was = u64::from_le_bytes(map[at..at + 8].try_into().expect("a word"));
        map[at..at + 8].copy_from_slice(&(was ^ flipped).to_le_bytes());
        for left in self.home.all_maps() {
            fs::remove_file(left).expect("removed");
        }
        write_all(&self.map, &map);
    }
}

fn write_all(path: &std::path::Path, bytes: &[u8]) {
    let file = File::options().write(true).create(true).truncate(false).open(path).expect("a file");
    file.set_len(bytes.len() as u64).expect("a length");
    file.write_all_at(bytes, 0).expect("written");
}

/// What became of a damaged map.
#[derive(Debug, PartialEq)]
enum Outcome {
    Exact,
    LeftAlone,
    Wrong(String),
}

fn outcome(scene: &Scene) -> Outcome {
    let before = fs::read(&scene.map).expect("the map");
    let salvage = catch_unwind(AssertUnwindSafe(|| {
        Logger::new(scene.home.config()).map(|logger| {
            let salvage = logger.salvage().clone();
            logger.close().expect("closed");
            salvage
        })
    }));
    let salvage = match salvage {
        Err(_) => return Outcome::Wrong("a panic".into()),
        Ok(Err(error)) => return Outcome::Wrong(format!("{error:#}")),
        Ok(Ok(salvage)) => salvage,
    };
    let mut log = LogDir::open(scene.home.log()).expect("the log");
    let mut next = 0;
    loop {
        match log.next_record() {
            Err(error) => return Outcome::Wrong(format!("{error:#}")),
            Ok(None) => break,
            Ok(Some(record)) => match Numbered::parse(record.bytes()) {
                Some((0, number)) if number == next => next += 1,
                other => return Outcome::Wrong(format!("record {other:?} in place of {next}")),
            },
        }
    }
    let report = log.report();
    match (&salvage.left_alone[..], &salvage.sessions[..]) {
        ([_], []) => {
            if fs::read(&scene.map).expect("the map") == before {
                Outcome::LeftAlone
            } else {
                Outcome::Wrong("the map was changed".into())
            }
        }
        ([], [session]) => {
            let sum = session.safe + session.records;
            let is_whole = report.lost == asynclogger::read::Loss::exact(0);
            if next == HELD && sum == HELD && is_whole && report.dropped().total() == 0 {
                Outcome::Exact
            } else {
                Outcome::Wrong(format!("{next} of {HELD} records, {session:?}, {report:?}"))
            }
        }
        _ => Outcome::Wrong(format!("{salvage:?}")),
    }
}

/// `DAMAGE_BITS` says how many bits of each word are flipped, one at a time (64: all).
#[test]
fn no_damaged_word_makes_a_wrong_record() {
    let bits = std::env::var("DAMAGE_BITS").map_or(3, |text| text.parse().expect("a number"));
    let scene = Scene::new();
    let (mut exact, mut left, mut wrong) = (0, 0, Vec::new());
    for (word, bit) in words(&scene.map_was)
        .into_iter()
        .flat_map(|word| (0..bits).map(move |n| (word, (n * 64 / bits + word * 7) % 64)))
    {
        scene.put_back(word, 1 << bit);
        match outcome(&scene) {
            Outcome::Exact => exact += 1,
            Outcome::LeftAlone => left += 1,
            Outcome::Wrong(what) => wrong.push(format!("word {word}, bit {bit}: {what}")),
        }
    }
    println!("{exact} salvaged exactly, {left} left alone and reported, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(left > 0);
    scene.put_back(0, 0);
    assert_eq!(outcome(&scene), Outcome::Exact);
}

/// The words of a map that were ever stored, and those beside them.
fn words(map: &[u8]) -> Vec<u64> {
    // The words take whole units of the alignment; what follows are the buffers, which have a page of head room.
    let len = map[WORDS as usize..].len() as u64 / 8;
    let is_used = |word: u64| {
        let at = (WORDS + word * 8) as usize;
        map[at..at + 8] != [0; 8]
    };
    // 2 shards, 4 buffers, 512 slots: less than 11,000 words.
    (0..len.min(10_400)).filter(|word| *word < 80 || is_used(*word)).collect()
}
