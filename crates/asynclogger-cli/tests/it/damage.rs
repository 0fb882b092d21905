use std::fs;

use crate::support::{Place, numbers};

const LINES: u64 = 40_000;

/// A whole log of some chunks, and its bytes.
fn log(place: &Place) -> Vec<u8> {
    place.write("app.log", numbers(LINES));
    fs::read(place.file("app.log")).unwrap()
}

/// Every line of `part` is in `whole`, in the same order.
fn is_subsequence(part: &str, whole: &str) -> bool {
    let mut whole = whole.lines();
    part.lines().all(|line| whole.any(|other| other == line))
}

#[test]
fn a_whole_log_is_whole() {
    let place = Place::new();
    let bytes = log(&place);
    let run = place.run("verify app.log", "").ends_with(0);
    assert!(run.text().lines().last().unwrap().starts_with("whole: 40,000 records"));
    let json = place.run("verify --json app.log", "").ends_with(0).json();
    assert_eq!(json.len(), 2);
    let keys = [
        "file",
        "format",
        "version",
        "log_id",
        "segment",
        "ending",
        "blocks",
        "records",
        "payload_bytes",
        "file_bytes",
        "dropped",
        "lost",
        "damage",
    ];
    for key in keys {
        assert!(json[0].get(key).is_some(), "{key}");
    }
    assert_eq!(json[0]["ending"], "clean");
    assert_eq!(json[0]["file_bytes"], bytes.len());
    assert_eq!(json[1]["files"], 1);
    assert_eq!(json[1]["records"], LINES);
    assert_eq!(json[1]["whole"], true);
    assert_eq!(fs::read(place.file("app.log")).unwrap(), bytes, "the source is untouched");
}

#[test]
fn a_flipped_bit_costs_its_chunk_and_is_told_exactly() {
    let place = Place::new();
    let mut bytes = log(&place);
    let at = bytes.windows(5).position(|window| window == b"20000").unwrap();
    bytes[at] ^= 1;
    place.put("bad.log", &bytes);

    let run = place.run("verify --json bad.log", "").ends_with(1);
    let json = run.json();
    let damage = &json[0]["damage"];
    assert_eq!(damage.as_array().unwrap().len(), 1, "{damage}");
    let (offset, len) = (damage[0]["offset"].as_u64().unwrap(), damage[0]["len"].as_u64().unwrap());
    assert!(offset <= at as u64 && (at as u64) < offset + len, "{damage}");
    let lost = damage[0]["lost_min"].as_u64().unwrap();
    assert_eq!(damage[0]["lost_max"], lost);
    assert_eq!(json[1]["whole"], false);

    let run = place.run("cat bad.log", "").ends_with(1).says("bad.log").says("chunk");
    let text = run.text();
    assert_eq!(text.lines().count() as u64, LINES - lost);
    assert!(is_subsequence(&text, &numbers(LINES)));

    let run = place.run("verify bad.log", "").ends_with(1);
    assert!(
        run.text().lines().last().unwrap().starts_with("damaged: 1 place in 1 of 1 file;"),
        "{}",
        run.text()
    );
    let run = place.run("stat bad.log", "").ends_with(1);
    assert!(run.text().contains("damaged"), "{}", run.text());
    // One bad file among good ones.
    place.run("verify app.log bad.log", "").ends_with(1);
    assert_eq!(fs::read(place.file("bad.log")).unwrap(), bytes, "the source is untouched");
}

/// A small log, cut at every sector and a byte beside it, and with a bit flipped here and there, given to every
/// command that reads: an answer each time, and never a record that was not logged.
#[test]
fn any_damage_has_an_answer() {
    let place = Place::new();
    place.write("small.log", numbers(300));
    let bytes = fs::read(place.file("small.log")).unwrap();
    let mut copies = Vec::new();
    for sector in (0..bytes.len()).step_by(512) {
        copies.push(bytes[..sector].to_vec());
        copies.push(bytes[..sector + 1].to_vec());
    }
    for bit in (0..bytes.len() * 8).step_by(2111) {
        let mut copy = bytes.clone();
        copy[bit / 8] ^= 1 << (bit % 8);
        copies.push(copy);
    }
    let all = numbers(300);
    for copy in copies {
        let path = place.put("bad.log", &copy);
        let run = place.run("cat bad.log", "");
        assert!(matches!(run.code, 0 | 1), "{run:?}");
        assert!(is_subsequence(&run.text(), &all), "{run:?}");
        for command in ["verify bad.log", "verify --json bad.log", "stat bad.log"] {
            let run = place.run(command, "");
            assert!(matches!(run.code, 0 | 1), "{run:?}");
            assert!(!run.stderr.contains("panicked"), "{run:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), copy, "the source is untouched");
    }
}

#[test]
fn what_is_no_log_is_told_from_one() {
    let place = Place::new();
    place.put("notes.txt", b"Dear diary, today I was opened by a log reader.\n");
    place.put("noise.log", &[0xa5; 10_000]);
    for name in ["notes.txt", "noise.log"] {
        for command in ["cat", "verify", "stat"] {
            let run = place.run(&format!("{command} {name}"), "").ends_with(1);
            assert!(run.stderr.contains(name) || run.text().contains(name), "{run:?}");
        }
    }
}

/// Every truncation and every flipped bit of a small log through every command that reads, many files a
/// process. One in `DAMAGE_STEP` (default 37) here, every one by `scripts/damage`.
#[test]
fn every_truncation_and_every_bit_is_told() {
    const FILES: usize = 400;
    let step = std::env::var("DAMAGE_STEP").ok().and_then(|text| text.parse().ok()).unwrap_or(37);
    let place = Place::new();
    place.write("small.log", numbers(60));
    let whole = fs::read(place.file("small.log")).unwrap();
    let lines = numbers(60);
    let cuts = (1..whole.len()).step_by(step).map(|len| whole[..len].to_vec());
    let flips = (0..whole.len() * 8).step_by(step).map(|bit| {
        let mut copy = whole.clone();
        copy[bit / 8] ^= 1 << (bit % 8);
        copy
    });
    let copies: Vec<_> = cuts.chain(flips).collect();
    for batch in copies.chunks(FILES) {
        let names: Vec<_> = (0..batch.len()).map(|n| format!("{n}.log")).collect();
        for (name, copy) in names.iter().zip(batch) {
            place.put(name, copy);
        }
        let names = names.join(" ");
        let verified = place.run(&format!("verify --json {names}"), "").ends_with(1);
        assert!(!verified.stderr.contains("panicked"), "{}", verified.stderr);
        // One line a file, but for those that are cut to nothing like a log and told on stderr.
        let told = verified.json().len() - 1 + verified.stderr.lines().count();
        assert!(told >= batch.len(), "{told} of {}", batch.len());
        for file in verified.json().iter().filter(|line| line.get("file").is_some()) {
            let damaged = !file["damage"].as_array().unwrap().is_empty();
            let open = file["ending"] == "open" && file["file_bytes"] != whole.len() as u64;
            assert!(damaged || open, "taken for whole: {file}");
        }
        let stat = place.run(&format!("stat {names}"), "");
        let cat = place.run(&format!("cat {names}"), "");
        for run in [&stat, &cat] {
            assert!(matches!(run.code, 0 | 1), "{}", run.stderr);
            assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        }
        // Of each file a part of the lines, in order: nothing else is ever printed.
        let text = cat.text();
        assert!(text.lines().all(|line| lines.lines().any(|known| known == line)), "{text}");
        for (number, copy) in batch.iter().enumerate() {
            let path = place.file(&format!("{number}.log"));
            assert_eq!(&fs::read(&path).unwrap(), copy, "the source is untouched");
            fs::remove_file(path).unwrap();
        }
    }
    println!("{} damaged files, each told by verify, stat and cat", copies.len());
}

#[test]
fn a_verdict_over_several_paths_speaks_of_all() {
    let place = Place::new();
    place.write("app.log", numbers(10));
    place.put("notes.txt", b"no log at all, only a text of some length\n");
    let run = place.run("verify app.log notes.txt gone.log", "").ends_with(3);
    let verdict = run.text().lines().last().unwrap().to_owned();
    assert_eq!(verdict, "not all: 10 records in 1 file, nothing damaged there; 2 paths not read");
    let totals =
        place.run("verify --json app.log notes.txt", "").ends_with(1).json().pop().unwrap();
    assert_eq!((totals["unread"].as_u64(), totals["whole"].as_bool()), (Some(1), Some(false)));
}
