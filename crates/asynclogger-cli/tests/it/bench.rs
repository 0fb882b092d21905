use serde_json::Value;

use crate::support::Place;

const KEYS: [&str; 19] = [
    "total",
    "accepted",
    "dropped",
    "lost",
    "payload_bytes",
    "file_bytes",
    "seconds",
    "mb_per_s",
    "ns_per_call",
    "cpu_seconds",
    "latency_ns",
    "swaps",
    "threads",
    "record_bytes",
    "policy",
    "durability",
    "engine",
    "direct",
    "harness_cpu_seconds",
];

#[track_caller]
fn bench(place: &Place, args: &str) -> Value {
    let run = place.run(&format!("bench --json {args}"), "").ends_with(0);
    let mut json = run.json();
    assert_eq!(json.len(), 1);
    let json = json.remove(0);
    let number = |key: &str| json[key].as_u64().expect(key);
    assert_eq!(number("total"), number("accepted") + number("dropped"));
    assert_eq!(number("lost"), 0);
    assert_eq!(number("payload_bytes"), number("accepted") * number("record_bytes"));
    json
}

#[test]
fn the_keys_are_exactly_the_promised_ones() {
    let place = Place::new();
    let json = bench(&place, "--count 10 app.log");
    let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = KEYS.to_vec();
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    let latency = json["latency_ns"].as_object().unwrap();
    for key in ["p50", "p90", "p99", "p999", "p9999", "max", "empty_call"] {
        assert!(latency[key].as_u64().unwrap() > 0, "{key}");
    }
    assert_eq!(latency.len(), 7);
    assert_eq!(json["threads"], 2);
    assert_eq!(json["record_bytes"], 256);
    assert_eq!(json["policy"], "block");
    assert_eq!(json["durability"], "dsync");
    assert!(json["engine"] == "io_uring" || json["engine"] == "pwritev2", "{json}");
    assert!(json["direct"].is_boolean());
    assert!(json["harness_cpu_seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_count_is_offered_and_accepted_to_the_last() {
    for args in ["--threads 1 --size 16", "--threads 3", "--threads 20 --shards 4", "--size 100K"] {
        let place = Place::new();
        let json = bench(&place, &format!("--count 2003 {args} app.log"));
        assert_eq!(json["total"], 2003, "{args}");
        assert_eq!(json["dropped"], 0, "{args}");
        place.run("verify app.log", "").ends_with(0);
    }
}

#[test]
fn saturation_drops_and_loses_nothing() {
    let place = Place::new();
    let json = bench(&place, "--seconds 0.3 --size 4K --buffer-size 1M app.log");
    assert_eq!(json["policy"], "drop");
    assert!(json["seconds"].as_f64().unwrap() >= 0.3);
    let json = place.run("verify --json app.log", "").ends_with(0).json();
    assert_eq!(json[0]["ending"], "clean");
}

#[test]
fn only_its_own_session_counts() {
    let place = Place::new();
    bench(&place, "--count 1000 app.log");
    let json = bench(&place, "--count 500 --size 64 app.log");
    assert_eq!(json["accepted"], 500);
    assert!(json["file_bytes"].as_u64().unwrap() < 200_000, "{json}");
    let json = place.run("stat --json app.log", "").ends_with(0).json();
    assert_eq!(json[0]["records"], 1500);
}

/// All files of the run are read back, and their bytes counted.
#[test]
fn a_run_may_be_rotated() {
    let place = Place::new();
    bench(&place, "--count 100 --size 64 app.log");
    place.archive(1);
    let rotated = "--buffer-size 256K --shards 2 --rotate-size 1M --size 4K app.log";
    let json = bench(&place, &format!("--count 2003 {rotated}"));
    assert_eq!((json["total"].as_u64(), json["dropped"].as_u64()), (Some(2003), Some(0)));
    let listed = place.run("stat --json .", "").ends_with(0).json();
    let log = &listed.last().unwrap()["logs"][0];
    assert!(log["segments"].as_u64().unwrap() > 8, "{log}");
    assert_eq!(log["records"], 2103);
    // Of the one before the run nothing counts.
    let bytes = |file: &serde_json::Value| file["file_bytes"].as_u64();
    let all: u64 = listed.iter().filter(|file| file["segment"] != 1).filter_map(bytes).sum();
    let totals = bytes(listed.last().unwrap()).unwrap();
    assert_eq!(json["file_bytes"], all - totals);
    // And on behind that, as if it had been one file.
    let json = bench(&place, &format!("--seconds 0.3 {rotated}"));
    assert!(json["accepted"].as_u64().unwrap() > 0);
    place.run("verify .", "").ends_with(0);
}

#[test]
fn a_rate_is_kept() {
    let place = Place::new();
    let json = bench(&place, "--threads 2 --rate 1000 --seconds 0.5 app.log");
    let total = json["total"].as_u64().unwrap();
    assert!((500..=1010).contains(&total), "2 x 1000 a second, for half a second: {total}");
}

#[test]
fn people_get_a_table() {
    let place = Place::new();
    let text = place.run("bench --count 1000 app.log", "").ends_with(0).text();
    for part in [
        "p50",
        "p99.99",
        "MB/s",
        "dropped",
        "swaps",
        "without the harness",
        "empty call",
        ", direct",
        "\nlost 0\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}
