use crate::support::{Place, numbers};

/// Two segments of the event `pay/ment`, and one of `other`; 1,010 and 3 records.
fn events(place: &Place) {
    let lines = |event: &str, count: u64| {
        numbers(count).lines().map(|line| format!("{event}\t{line}\n")).collect::<String>()
    };
    place.run("write --events logs", lines("pay/ment", 1000)).ends_with(0);
    place.run("write --events logs", lines("pay/ment", 10)).ends_with(0);
    place.run("write --events logs --no-timestamps", lines("other", 3)).ends_with(0);
}

#[test]
fn the_files_of_a_directory_are_listed_with_what_they_hold() {
    let place = Place::new();
    events(&place);
    let files = place.run("ls --json logs", "").ends_with(0).json();
    let of = |event: &str| files.iter().filter(|file| file["event"] == event).collect::<Vec<_>>();
    let records: u64 = of("pay/ment").iter().map(|file| file["records"].as_u64().unwrap()).sum();
    assert_eq!(records, 1010, "{files:?}");
    let [other] = of("other")[..] else { panic!("{files:?}") };
    assert_eq!((other["records"].as_u64(), other["dropped"].as_u64()), (Some(3), Some(0)));
    let path = place.file(other["file"].as_str().unwrap());
    assert_eq!(other["bytes"], std::fs::metadata(path).unwrap().len());
    assert_eq!(other["segment"], 1);

    let text = place.run("ls logs", "").ends_with(0).text();
    assert!(text.starts_with("EVENT ") && text.contains("1,013"), "{text}");
    let one = place.run("ls --json --event other logs", "").ends_with(0).json();
    assert_eq!(one.len(), 1);
    // Times: nothing is as old as that, and nothing is younger than now.
    let first = other["first_time"].as_str().unwrap();
    let before = place.run(&format!("ls --json --event other --until {first} logs"), "");
    assert_eq!(before.ends_with(0).json().len(), 0);
    let since = place.run(&format!("ls --json --event other --since {first} logs"), "");
    assert_eq!(since.ends_with(0).json().len(), 1);
}

#[test]
fn what_cannot_be_listed_is_told() {
    let place = Place::new();
    place.run("ls missing", "").ends_with(3).says("missing");
    std::fs::create_dir(place.file("empty")).unwrap();
    place.run("ls empty", "").ends_with(1).says("there is no log in this directory");
    place.put("text.log", b"some text\n");
    place.run("ls text.log", "").ends_with(1).says("not a log");
}

#[cfg(not(feature = "remote"))]
#[test]
fn a_build_without_object_stores_says_so() {
    let place = Place::new();
    for command in ["ls", "cat", "stat", "verify"] {
        let run = place.run(&format!("{command} s3://bucket/logs"), "").ends_with(2);
        run.says("lacks the features `ship` and `export`");
    }
}

/// A place in an object store that is a directory.
#[cfg(feature = "remote")]
#[test]
fn commands_that_read_take_urls() {
    let place = Place::new();
    events(&place);
    let url = format!("file://{}/logs", place.dir().display());
    let verified = place.run(&format!("verify {url}"), "").ends_with(0).text();
    assert!(verified.contains("whole: 1,013 records"), "{verified}");
    let event = place.run(&format!("cat --event other {url}"), "").ends_with(0).text();
    assert_eq!(event, numbers(3));
    let merged = place.run(&format!("cat --by-time {url}"), "").ends_with(0).text();
    assert_eq!(merged.lines().count(), 1013);
    let listed = place.run(&format!("ls --json {url}"), "").ends_with(0).json();
    assert!(listed.iter().all(|file| file["records"].is_null()), "nothing says: {listed:?}");
    let mut name = listed.iter().map(|file| file["file"].as_str().unwrap());
    let other = name.find(|name| name.ends_with("/other.log")).unwrap().to_owned();
    assert_eq!(place.run(&format!("cat {other}"), "").ends_with(0).text(), numbers(3));
    place.run(&format!("verify {url}/none"), "").ends_with(1).says("under this URL");
    place.run("ls ftp://host/logs", "").ends_with(2);
    place.run("ls s3://key:secret@bucket/logs", "").ends_with(2);
    // Damage is told with the URL and the place.
    let path = place.file("logs/other.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() / 2;
    bytes[4096..last].fill(0xAA);
    std::fs::write(&path, bytes).unwrap();
    let damaged = place.run(&format!("verify {other}"), "").ends_with(1).text();
    assert!(damaged.contains("file://") && damaged.contains("other.log"), "{damaged}");
}
