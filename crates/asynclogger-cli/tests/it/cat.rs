use std::io::{BufRead, BufReader, Read};

use crate::support::{Place, numbers};

#[test]
fn json_is_one_object_a_line_whatever_the_bytes() {
    let place = Place::new();
    place.write("app.log", b"plain \"quoted\" \\ \n\n\xff\x00\n");
    let run = place.run("cat --format json app.log", "").ends_with(0);
    let records = run.json();
    assert_eq!(records.len(), 3);
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record["number"], at);
        assert_eq!(record["shard"], records[0]["shard"]);
        assert_eq!(record["segment"], 1);
        assert_eq!(record["session"].as_str().unwrap().len(), 16);
        assert!(record["time"].as_i64().unwrap() > 1_700_000_000_000_000_000);
    }
    assert_eq!(records[0]["data"], "plain \"quoted\" \\ ");
    assert_eq!(records[0]["len"], 17);
    assert_eq!(records[1]["data"], "\n");
    assert_eq!(records[2]["data_b64"], "/wA=");
    assert!(records[2].get("data").is_none() && records[0].get("data_b64").is_none());
}

#[test]
fn hex_is_position_and_bytes() {
    let place = Place::new();
    place.write("app.log", b"Az\x00\n");
    let run = place.run("cat --format hex app.log", "").ends_with(0);
    let text = run.text();
    assert!(text.ends_with("/0 3 41 7a 00 |Az.|\n"), "{text}");
}

#[test]
fn records_can_be_ended_with_nul() {
    let place = Place::new();
    place.write("app.log", "one\n\ntwo\n");
    assert_eq!(place.run("cat -0 app.log", "").ends_with(0).stdout, b"one\0\n\0two\0");
}

#[test]
fn several_files_come_one_after_the_other() {
    let place = Place::new();
    place.write("a.log", "a\n");
    place.write("b.log", "b\n");
    assert_eq!(place.cat("b.log a.log b.log"), b"b\na\nb\n");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let place = Place::new();
    place.write("app.log", numbers(300_000));
    for args in ["cat app.log", "cat --format json app.log", "cat --format hex app.log"] {
        let mut child = place.command(args).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{args}");
    }
}

/// `[capacity][valid]`, and records as the original lays them out by `seed`'s rule: packed to sectors.
#[test]
fn files_of_the_original_are_read() {
    let place = Place::new();
    let mut bytes = Vec::new();
    for shard in [["one", "two"], ["three", "four"]] {
        let records: Vec<u8> = shard
            .iter()
            .flat_map(|record| {
                [&(record.len() as u32).to_le_bytes()[..], record.as_bytes()].concat()
            })
            .collect();
        bytes.extend(4096_u32.to_le_bytes());
        bytes.extend((records.len() as u32).to_le_bytes());
        bytes.extend(records);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    place.put("seed.log", &bytes);
    let ways =
        ["cat seed.log", "cat --layout seed seed.log", "cat --layout seed .", "cat --all seed.log"];
    for args in ways {
        assert_eq!(place.run(args, "").ends_with(0).text(), "one\ntwo\nthree\nfour\n", "{args}");
    }
    // Such files have no times, and scripts count on the key.
    let records = place.run("cat --format json seed.log", "").ends_with(0).json();
    assert!(records.iter().all(|record| record["time"] == 0), "{records:?}");
    let json = place.run("verify --json seed.log", "").ends_with(0).json();
    assert_eq!(json[0]["format"], "original");
    assert_eq!(json[0]["records"], 4);
}

#[test]
fn the_cause_of_an_error_is_said_once() {
    let place = Place::new();
    for command in ["cat nowhere.log", "stat nowhere.log", "tail nowhere.log", "verify nowhere.log"]
    {
        let run = place.run(command, "").ends_with(3);
        assert_eq!(run.stderr.matches("No such file").count(), 1, "{command}: {}", run.stderr);
    }
}
