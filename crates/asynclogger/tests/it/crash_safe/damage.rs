//! Damage to the map of a dead process: each is found, or makes no difference.

use std::{
    fmt::Debug,
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use asynclogger::{
    Error, Logger, Salvage,
    read::{LogDir, Loss},
};

use super::{
    dying::Home,
    maps::{HELD, dead},
    worker::Random,
};
use crate::support::Numbered;

/// Where the words of a map begin.
pub const WORDS: usize = 16 << 10;

/// The logs and the map of a dead process, which can be put back as they were.
pub struct Scene {
    pub home: Home,
    pub map: PathBuf,
    pub map_was: Vec<u8>,
    /// The files of the logs: path, identity, bytes. They are found by their identity.
    files: Vec<(PathBuf, u64, Vec<u8>)>,
}

impl Scene {
    pub fn new(home: Home) -> Scene {
        let map = home.map();
        let map_was = fs::read(&map).expect("a map");
        let logs = fs::read_dir(home.path().join("logs")).expect("the directory");
        let paths = logs.map(|entry| entry.expect("an entry").path());
        let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
        let files = paths.filter(is_log).map(|path| {
            let bytes = fs::read(&path).expect("a log");
            (path.clone(), inode(&path), bytes)
        });
        let files = files.collect();
        Scene { home, map, map_was, files }
    }

    /// Puts everything back, with this map.
    pub fn put_back(&self, map: &[u8]) {
        let mut kept = Vec::new();
        for entry in fs::read_dir(self.home.path().join("logs")).expect("the directory") {
            let path = entry.expect("an entry").path();
            let of = inode(&path);
            if self.files.iter().any(|(_, inode, _)| *inode == of) {
                let aside = self.home.path().join(format!("aside-{of}"));
                fs::rename(&path, &aside).expect("renamed");
                kept.push((of, aside));
            } else {
                fs::remove_file(path).expect("removed");
            }
        }
        for (path, inode, bytes) in &self.files {
            let (_, aside) = kept.iter().find(|(of, _)| of == inode).expect("the file is there");
            write_all(aside, bytes);
            fs::rename(aside, path).expect("renamed");
        }
        for left in self.home.all_maps() {
            fs::remove_file(left).expect("removed");
        }
        write_all(&self.map, map);
    }

    /// The map with a change of one word.
    pub fn with(&self, word: usize, change: impl FnOnce(u64) -> u64) -> Vec<u8> {
        let mut map = self.map_was.clone();
        let at = WORDS + word * 8;
        let was = u64::from_le_bytes(map[at..at + 8].try_into().expect("a word"));
        map[at..at + 8].copy_from_slice(&change(was).to_le_bytes());
        map
    }

    /// Whether a word was ever stored.
    pub fn is_used(&self, word: usize) -> bool {
        let at = WORDS + word * 8;
        self.map_was[at..at + 8] != [0; 8]
    }

    /// What became of the map that was put back. `open` opens and closes what was killed, `read` reads its logs and says
    /// what is wrong with them: without all records only if they were left alone.
    pub fn outcome(
        &self,
        open: impl FnOnce() -> Result<Salvage, Error>,
        read: impl FnOnce(Option<&Salvage>) -> Result<(), String>,
    ) -> Outcome {
        let before = fs::read(&self.map).expect("the map");
        let salvage = match catch_unwind(AssertUnwindSafe(open)) {
            Err(_) => return Outcome::Wrong("a panic".into()),
            Ok(Err(error)) => return Outcome::Wrong(format!("{error:#}")),
            Ok(Ok(salvage)) => salvage,
        };
        match (&salvage.left_alone[..], &salvage.sessions[..]) {
            ([_], []) => match (read(None), fs::read(&self.map)) {
                (Ok(()), Ok(after)) if after == before => Outcome::LeftAlone,
                (Ok(()), _) => Outcome::Wrong("the map was changed".into()),
                (Err(what), _) => Outcome::Wrong(what),
            },
            ([], [_, ..]) => match read(Some(&salvage)) {
                Ok(()) => Outcome::Exact,
                Err(what) => Outcome::Wrong(format!("{what}: {salvage:?}")),
            },
            _ => Outcome::Wrong(format!("{salvage:?}")),
        }
    }
}

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().expect("a file").ino()
}

fn write_all(path: &Path, bytes: &[u8]) {
    let file = File::options().write(true).create(true).truncate(false).open(path).expect("a file");
    file.set_len(bytes.len() as u64).expect("a length");
    file.write_all_at(bytes, 0).expect("written");
}

/// What became of a damaged map.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Exact,
    LeftAlone,
    Wrong(String),
}

/// The outcomes of many maps.
#[derive(Default)]
pub struct Outcomes {
    exact: u64,
    left: u64,
    wrong: Vec<String>,
}

impl Outcomes {
    pub fn add(&mut self, what: impl Debug, outcome: Outcome) {
        match outcome {
            Outcome::Exact => self.exact += 1,
            Outcome::LeftAlone => self.left += 1,
            Outcome::Wrong(why) => self.wrong.push(format!("{what:?}: {why}")),
        }
    }

    pub fn assert_none_wrong(&self, what: &str) {
        let Outcomes { exact, left, wrong } = self;
        let wrongs = wrong.len();
        println!(
            "{what}: {exact} salvaged exactly, {left} left alone and reported, {wrongs} wrong"
        );
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(*left > 0);
    }
}

/// How many bits of each word are flipped, one at a time (64: all): `DAMAGE_BITS`.
pub fn bits(default: usize) -> usize {
    std::env::var("DAMAGE_BITS").map_or(default, |text| text.parse().expect("a number"))
}

/// So many bits of a word, others in each word.
pub fn bits_of(word: usize, bits: usize) -> impl Iterator<Item = u64> {
    (0..bits).map(move |n| 1 << ((n * 64 / bits + word * 7) % 64))
}

/// Kinds of damage that change more than a bit, by a seed: in the words up to `len`.
pub fn struck(map: &[u8], len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed ^ 0xDA4A);
    let mut map = map.to_vec();
    let words = &mut map[WORDS..WORDS + len * 8];
    let used: Vec<usize> = (0..len).filter(|word| words[word * 8..][..8] != [0; 8]).collect();
    let at = random.pick(&used) * 8;
    match random.below(4) {
        // A word of noise.
        0 => words[at..at + 8].fill_with(|| random.below(256) as u8),
        // Some bytes of a foreign program.
        1 => {
            let len = (1 + random.below(200) as usize).min(words.len() - at);
            words[at..at + len].fill_with(|| b"text \0\x01"[random.below(7) as usize]);
        }
        // Two words that have changed places.
        2 => {
            let other = random.pick(&used) * 8;
            for byte in 0..8 {
                words.swap(at + byte, other + byte);
            }
        }
        // A few bits here and there.
        _ => {
            for _ in 0..2 + random.below(3) {
                let at = random.pick(&used) * 8 + random.below(8) as usize;
                words[at] ^= 1 << random.below(8);
            }
        }
    }
    map
}

fn outcome(scene: &Scene) -> Outcome {
    let open = || {
        let logger = Logger::new(scene.home.config())?;
        let salvage = logger.salvage().clone();
        logger.close()?;
        Ok(salvage)
    };
    let read = |salvage: Option<&Salvage>| {
        let mut log = LogDir::open(scene.home.log()).map_err(|error| format!("{error:#}"))?;
        let mut next = 0;
        while let Some(record) = log.next_record().map_err(|error| format!("{error:#}"))? {
            match Numbered::parse(record.bytes()) {
                // What was left alone can have a hole: of two writes of the dead process, the later one was done.
                Some((0, number)) if number == next || (salvage.is_none() && number > next) => {
                    next = number + 1;
                }
                other => return Err(format!("record {other:?} in place of {next}")),
            }
        }
        let report = log.report();
        let Some(Salvage { sessions, .. }) = salvage else { return Ok(()) };
        let sum: u64 = sessions.iter().map(|session| session.safe + session.records).sum();
        let is_whole = report.lost == Loss::exact(0) && report.dropped().total() == 0;
        let is_exact = sessions.len() == 1 && next == HELD && sum == HELD && is_whole;
        is_exact.then_some(()).ok_or_else(|| format!("{next} of {HELD} records, {report:?}"))
    };
    scene.outcome(open, read)
}

#[test]
fn no_damaged_word_makes_a_wrong_record() {
    let scene = Scene::new(dead());
    let bits = bits(3);
    let mut outcomes = Outcomes::default();
    for word in words(&scene) {
        for flipped in bits_of(word, bits) {
            scene.put_back(&scene.with(word, |was| was ^ flipped));
            outcomes.add((word, flipped), outcome(&scene));
        }
    }
    outcomes.assert_none_wrong("a logger");
    scene.put_back(&scene.map_was);
    assert_eq!(outcome(&scene), Outcome::Exact);
}

/// The words of a map that were ever stored, and those beside them.
fn words(scene: &Scene) -> Vec<usize> {
    // The words take whole units of the alignment; what follows are the buffers, which have a page of head room.
    let len = (scene.map_was.len() - WORDS) / 8;
    // 2 shards, 4 buffers, 512 slots: less than 11,000 words.
    (0..len.min(10_400)).filter(|word| *word < 80 || scene.is_used(*word)).collect()
}
