use std::fs;

use jiff::Timestamp;

use crate::support::{Place, numbers};

/// Three segments of a log, of 1,000, 1,000 and 10 lines; the first is compressed.
fn three_segments(place: &Place) {
    for number in [1, 2] {
        place.write("app.log", numbers(1000));
        place.archive(number);
    }
    place.write("app.log", numbers(10));
    place.compress(&place.archived(1));
}

#[test]
fn a_log_is_read_over_plain_and_compressed_segments() {
    let place = Place::new();
    three_segments(&place);
    let all = [numbers(1000), numbers(1000), numbers(10)].concat();
    for args in ["cat .", "cat --all app.log", "cat --all app_2026-01-01_00-00-01.log.zst"] {
        assert_eq!(place.run(args, "").ends_with(0).text(), all, "{args}");
    }
    let first = format!("{}.zst", place.archived(1));
    assert_eq!(place.run(&format!("cat {first}"), "").ends_with(0).text(), numbers(1000));
    let run = place.run("verify .", "").ends_with(0);
    assert!(run.text().contains("whole: 2,010 records in 3 files"), "{}", run.text());
    assert!(run.text().contains("compressed to"), "{}", run.text());
    let json = place.run("stat --json .", "").ends_with(0).json();
    assert_eq!(json[0]["stored_bytes"], fs::metadata(place.file(&first)).unwrap().len());
    assert!(json[0]["file_bytes"].as_u64() > json[0]["stored_bytes"].as_u64());
    assert_eq!(json[1]["file_bytes"], json[1]["stored_bytes"]);
}

#[test]
fn a_log_is_shown_as_a_whole() {
    let place = Place::new();
    three_segments(&place);
    place.write("other.log", "x\n");
    let json = place.run("stat --json .", "").ends_with(0).json();
    let logs = json.last().unwrap()["logs"].as_array().unwrap().clone();
    assert_eq!(logs.len(), 2);
    assert!(logs[0]["file"].as_str().unwrap().ends_with("app.log"), "{}", logs[0]);
    assert_eq!((logs[0]["segments"].as_u64(), logs[0]["records"].as_u64()), (Some(3), Some(2010)));
    assert_eq!(logs[0]["missing_segments"], 0);
    let stored: u64 = json[..3].iter().map(|file| file["stored_bytes"].as_u64().unwrap()).sum();
    assert_eq!(logs[0]["stored_bytes"], stored);
    assert_eq!(logs[0]["first_time"], json[0]["first_time"]);
    assert_eq!(logs[0]["last_time"], json[2]["last_time"]);
    let table = place.run("stat .", "").ends_with(0).text();
    assert!(table.starts_with("EVENT "), "{table}");
    assert!(table.contains("2,010") && table.lines().count() == 4, "{table}");
    fs::remove_file(place.file("other.log")).unwrap();
    let table = place.run("stat .", "").ends_with(0).text();
    let logs = table.split_once("\n\n").expect("a second table").1;
    assert!(logs.starts_with("LOG "), "{table}");
    assert!(logs.contains("2,010") && logs.lines().count() == 2, "{table}");
    // A file by itself is no log.
    let table = place.run("stat app.log", "").ends_with(0).text();
    assert!(!table.contains("\n\n"), "{table}");
}

#[test]
fn a_segment_that_is_missing_is_told() {
    let place = Place::new();
    three_segments(&place);
    fs::remove_file(place.file(&place.archived(2))).unwrap();
    for args in ["verify .", "verify --all app.log", "stat .", "cat .", "cat --all app.log"] {
        place.run(args, "").ends_with(1);
    }
    place.run("verify .", "").says("segments 2 to 2 are missing");
    place.run("cat .", "").says("segments 2 to 2 are missing");
    let verdict = place.run("verify .", "").text();
    assert!(verdict.lines().last().unwrap().contains("1 segment missing"), "{verdict}");
    let totals = place.run("verify --json .", "").json().pop().unwrap();
    assert_eq!(
        (totals["missing_segments"].as_u64(), totals["whole"].as_bool()),
        (Some(1), Some(false))
    );
    assert_eq!(totals["logs"][0]["missing_segments"], 1);
}

#[test]
fn damage_in_a_compressed_segment_is_told() {
    let place = Place::new();
    three_segments(&place);
    let name = format!("{}.zst", place.archived(1));
    let whole = fs::read(place.file(&name)).unwrap();
    // Only the table is gone.
    place.put(&name, &whole[..whole.len() - 5]);
    let run = place.run("cat .", "").ends_with(1).says("seek table").says(&name);
    assert_eq!(run.text().lines().count(), 2010);
    // A byte in the only frame.
    let mut bad = whole.clone();
    bad[whole.len() / 2] ^= 0xff;
    place.put(&name, &bad);
    let json = place.run(&format!("verify --json {name}"), "").ends_with(1).json();
    let damage = json[0]["damage"].as_array().unwrap();
    assert!(damage.iter().any(|damage| damage["kind"] == "frame"), "{damage:?}");
    place.run("cat .", "").ends_with(1).says("frame");
    // No frame at all.
    place.put("text.log.zst", b"only some text, longer than a header\n");
    place.run("cat text.log.zst", "").ends_with(1).says("not a compressed log");
}

#[test]
fn blocks_are_chosen_by_their_times() {
    let place = Place::new();
    three_segments(&place);
    let json = place.run("cat --all --format json app.log", "").ends_with(0).json();
    let time_of = |line: usize| {
        let nanoseconds = json[line]["time"].as_i64().unwrap();
        Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap()
    };
    let count = |args: &str| {
        let run = place.run(&format!("cat {args}"), "").ends_with(0);
        assert_eq!(run.stderr, "", "{args}");
        run.text().lines().count()
    };
    let (second, third) = (time_of(1000), time_of(2000));
    assert_eq!(count(&format!("--since {second} .")), 1010);
    assert_eq!(count(&format!("--until {second} .")), 1000);
    assert_eq!(count(&format!("--since {second} --until {third} --all app.log")), 1000);
    // Exactly, also within a block.
    let from = json[1500]["time"].as_i64().unwrap();
    let later = json.iter().filter(|record| record["time"].as_i64().unwrap() >= from).count();
    assert!(later < 1010 && later > 10);
    assert_eq!(count(&format!("--since {} .", time_of(1500))), later);
    assert_eq!(count(&format!("--until {} .", time_of(1500))), 2010 - later);
    assert_eq!(count("--since 1h ."), 2010);
    assert_eq!(count("--until 1h ."), 0);
    assert_eq!(count("--until 1h app.log"), 0);
    assert_eq!(count(&format!("--since {third} {}", place.archived(2))), 0);
    assert_eq!(count("--since 1h app.log"), 10);
    assert_eq!(count("--since 2001-01-01 ."), 2010);
    assert_eq!(count("--until 2001-01-01 ."), 0);
    assert_eq!(count("--since yesterday ."), 2010);
    assert_eq!(count("--until yesterday ."), 0);
    for bad in ["--since now", "--until 2026-07-32", "--since 5"] {
        place.run(&format!("cat {bad} app.log"), "").ends_with(2);
    }
    // What is not asked for is not read: neither damage in it is found, nor that it is gone.
    let second_file = place.file(&place.archived(2));
    let mut bytes = fs::read(&second_file).unwrap();
    let at = bytes.windows(4).position(|window| window == b"500\x03").unwrap();
    bytes[at] ^= 1;
    fs::write(&second_file, &bytes).unwrap();
    assert_eq!(count(&format!("--since {third} .")), 10);
    place.run(&format!("cat --since {second} ."), "").ends_with(1).says("chunk");
}
