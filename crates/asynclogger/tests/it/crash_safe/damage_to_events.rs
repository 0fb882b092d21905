//! Damage to the map of a dead manager: no record goes to another event, comes twice, or is altered.

use asynclogger::{
    Config, CrashSafe, LoggerManager, Salvage,
    read::{LogDir, Loss},
};

use super::{
    damage::{Outcome, Outcomes, Scene, WORDS, bits, bits_of, struck},
    dying::{Home, Role},
    maps::kill,
    worker::event_name,
};
use crate::support::Numbered;

const CHILD: &str = "crash_safe::damage_to_events::child_holds_events";
const EVENTS: usize = 3;
/// Places for events in the map.
const PLACES: u32 = 4;
/// Records of one length: a length that is wrong by some of them still ends at one.
const LEN: usize = 28;
const HELD: u64 = 9_000;

fn config(config: Config, maps: &std::path::Path) -> Config {
    config.crash_safe(CrashSafe::in_dir(maps).events(PLACES))
}

/// The event of a record.
fn event(number: u64) -> usize {
    (number / 5) as usize % EVENTS
}

/// The child: some records are in files, some with their events, some in shared buffers, and its manager is kept until
/// it is killed.
#[test]
fn child_holds_events() {
    let Some(role) = Role::get() else {
        return;
    };
    let manager = LoggerManager::new(config(role.config(), &role.maps)).expect("a manager");
    let counts = role.counts();
    let mut record = Numbered::new();
    for number in 0..HELD {
        let bytes = record.make(0, number, LEN);
        let event = manager.event(&event_name(event(number))).expect("an event");
        event.try_log_bytes(bytes).expect("accepted");
        counts.set(0, number + 1);
        if number == HELD / 4 {
            manager.flush().expect("flushed");
        }
    }
    role.ready();
    loop {
        std::thread::park();
    }
}

fn dead() -> Scene {
    let home = Home::new();
    kill(home.start(CHILD, "holds"));
    assert_eq!(home.counts().get(0), HELD);
    Scene::new(home)
}

fn outcome(scene: &Scene) -> Outcome {
    let open = || {
        let manager = LoggerManager::new(config(scene.home.config(), scene.home.maps()))?;
        let salvage = manager.salvage().clone();
        manager.close()?;
        Ok(salvage)
    };
    let read = |salvage: Option<&Salvage>| {
        let logs = scene.home.path().join("logs");
        let mut seen = [const { Vec::new() }; EVENTS];
        for log in LogDir::scan(logs).map_err(|error| format!("{error:#}"))? {
            read_event(log, salvage.is_some(), &mut seen)?;
        }
        for (number, seen) in seen.iter().enumerate() {
            let expected = (0..HELD).filter(|record| event(*record) == number);
            let expected: Vec<_> = expected.collect();
            let is_right = match salvage {
                Some(_) => *seen == expected,
                // A later write of the dead process can have been done, an earlier one not.
                None => seen.is_sorted_by(|one, next| one < next),
            };
            if !is_right {
                let first = expected.iter().zip(seen).find(|(expected, seen)| expected != seen);
                let (seen, expected) = (seen.len(), expected.len());
                return Err(format!("event {number}: {seen} of {expected}, {first:?}"));
            }
        }
        Ok(())
    };
    scene.outcome(open, read)
}

fn read_event(mut log: LogDir, is_whole: bool, seen: &mut [Vec<u64>]) -> Result<(), String> {
    let name = log.segments()[0].name.clone();
    let of = (0..EVENTS).find(|number| event_name(*number).as_bytes() == name);
    let of = of.ok_or_else(|| format!("a log of nobody: {:?}", log.segments()))?;
    while let Some(record) = log.next_record().map_err(|error| format!("{error:#}"))? {
        match Numbered::parse(record.bytes()) {
            Some((0, number)) if event(number) == of => seen[of].push(number),
            other => return Err(format!("event {of} has {other:?}")),
        }
    }
    let report = log.report();
    if is_whole && (report.lost != Loss::exact(0) || report.dropped().total() > 0) {
        return Err(format!("{report:?}"));
    }
    Ok(())
}

/// Where the words of a map end, or a little later: the buffers follow, each with a page of head room.
fn words_len(scene: &Scene) -> usize {
    let is_record = |bytes: &[u8]| {
        let is_of_thread = bytes[..4] == [0; 4] && bytes[8..12] == [0; 4] && bytes[LEN - 1] != 0;
        is_of_thread && Numbered::parse(bytes).is_some()
    };
    let map = &scene.map_was[WORDS..];
    let first = map.windows(LEN).position(is_record).expect("a record in a buffer");
    first / 8 - (4096 - LEN) / 8
}

/// The words that were ever stored, and the two behind each of them.
fn words(scene: &Scene) -> Vec<usize> {
    let len = words_len(scene);
    (2..len).filter(|word| (word - 2..=*word).any(|word| scene.is_used(word))).collect()
}

/// The places, in the map, of the numbers of events in front of records of shared buffers.
fn tags(scene: &Scene) -> Vec<usize> {
    const TAGGED: usize = LEN + 4;
    let map = &scene.map_was;
    let is_one = |at: &usize| {
        let bytes = &map[*at - 4..*at + TAGGED];
        let is_of_thread = bytes[8..12] == [0; 4] && bytes[16..20] == [0; 4];
        bytes[..4] == (TAGGED as u32).to_le_bytes()
            && is_of_thread
            && Numbered::parse(&bytes[8..]).is_some()
    };
    (WORDS..map.len() - TAGGED).step_by(4).filter(is_one).collect()
}

#[test]
fn no_damaged_number_of_an_event_gives_its_record_to_another() {
    let scene = dead();
    let mut outcomes = Outcomes::default();
    let tags = tags(&scene);
    assert!(tags.len() > 100, "{} records in shared buffers", tags.len());
    for (number, at) in tags.iter().enumerate().step_by(tags.len() / 100) {
        let mut map = scene.map_was.clone();
        map[at + number % 4] ^= 1 << (number / 4 % 8);
        scene.put_back(&map);
        outcomes.add(number, outcome(&scene));
    }
    outcomes.assert_none_wrong("a manager, numbers of events");
}

#[test]
fn no_damaged_word_of_a_manager_makes_a_wrong_record() {
    let scene = dead();
    let bits = bits(1);
    let mut outcomes = Outcomes::default();
    for word in words(&scene) {
        for flipped in bits_of(word, bits) {
            scene.put_back(&scene.with(word, |was| was ^ flipped));
            outcomes.add((word, flipped), outcome(&scene));
        }
    }
    outcomes.assert_none_wrong("a manager");
    scene.put_back(&scene.map_was);
    assert_eq!(outcome(&scene), Outcome::Exact);
}

/// `DAMAGE_SEEDS` says how many maps are struck.
#[test]
fn no_damaged_part_of_a_manager_makes_a_wrong_record() {
    let scene = dead();
    let seeds = std::env::var("DAMAGE_SEEDS").map_or(60, |text| text.parse().expect("a number"));
    let len = words_len(&scene);
    let mut outcomes = Outcomes::default();
    for seed in 0..seeds {
        scene.put_back(&struck(&scene.map_was, len, seed));
        outcomes.add(seed, outcome(&scene));
    }
    outcomes.assert_none_wrong("a manager, struck");
}
