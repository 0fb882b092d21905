//! What a store promises, with objects in memory and in a directory.

use std::{io::Write, process::Command, sync::Arc};

use asynclogger::{
    Config, Logger,
    read::{ReadAt, ReadOptions},
};
use asynclogger_store::{ErrorKind, Metadata, ObjectBytes, Store};

/// Runs a test in a store of each kind.
fn in_each(name: &str, test: impl Fn(&Store)) {
    test(&Store::open(&format!("memory://{name}/a/prefix")).unwrap());
    let dir = tempfile::tempdir().unwrap();
    test(&Store::open(&format!("file://{}/a/prefix", dir.path().display())).unwrap());
}

fn keys(store: &Store, prefix: &str) -> Vec<String> {
    let mut keys: Vec<_> = store.list(prefix).unwrap().map(|entry| entry.unwrap().key).collect();
    keys.sort();
    keys
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn put(store: &Store, key: &str, bytes: &[u8]) {
    store.put_small(key, bytes.to_vec(), Metadata::new(), false).unwrap();
}

#[test]
fn objects_are_written_listed_read_and_deleted() {
    in_each("objects", |store| {
        assert!(keys(store, "").is_empty());
        for key in ["p/1", "p/q/%2F..%25", "p2/3", "4"] {
            put(store, key, key.as_bytes());
        }
        assert_eq!(keys(store, ""), ["4", "p/1", "p/q/%2F..%25", "p2/3"]);
        assert_eq!(keys(store, "p"), ["p/1", "p/q/%2F..%25"]);
        assert!(keys(store, "nothing").is_empty());
        assert_eq!(&store.get_range("p/q/%2F..%25", 4..9).unwrap()[..], b"%2F..");
        assert_eq!(store.get_range("4", 0..100).unwrap().len(), 1);
        let object = store.head("p2/3").unwrap();
        assert_eq!(object.size, 4);
        assert!(object.etag.is_some());
        store.delete("p2/3").unwrap();
        assert_eq!(store.head("p2/3").unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn an_object_is_made_once_if_that_is_asked_for() {
    in_each("once", |store| {
        let put = |bytes: &'static str, only| store.put_small("k", bytes, Metadata::new(), only);
        put("first", true).unwrap();
        let error = put("second", true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(&store.get_range("k", 0..9).unwrap()[..], b"first");
        put("third", false).unwrap();
        assert_eq!(&store.get_range("k", 0..9).unwrap()[..], b"third");
    });
}

#[test]
fn a_key_stays_below_the_prefix() {
    in_each("below", |store| {
        for key in ["", "/k", "k/", "a//b", "../k", "a/../k", "a/.", "a\nb"] {
            let error = store.put_small(key, "x", Metadata::new(), false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{key}");
        }
        assert!(keys(store, "").is_empty());
    });
}

#[test]
fn uploads_of_any_length_are_visible_as_a_whole() {
    const PART: usize = 5 << 20;
    in_each("uploads", |store| {
        for count in [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 7] {
            let expected = bytes(count);
            let metadata = Metadata::from([("alog-segment".to_owned(), "7".to_owned())]);
            let upload = store.upload("k", metadata.clone()).unwrap();
            let mut upload = upload.part_bytes(PART).concurrency(2);
            for piece in expected.chunks(1_000_003) {
                upload.write_all(piece).unwrap();
            }
            assert!(store.head("k").is_err());
            assert_eq!(upload.finish().unwrap().bytes, count as u64);
            let object = store.head("k").unwrap();
            assert_eq!(object.size, count as u64);
            if store.location().to_string().starts_with("memory") {
                assert_eq!(object.metadata, metadata);
            }
            let found = if count == 0 {
                Vec::new()
            } else {
                store.get_range("k", 0..count as u64).unwrap().to_vec()
            };
            assert!(found == expected, "{count} bytes");
            store.delete("k").unwrap();
        }
    });
}

#[test]
fn an_upload_that_is_dropped_leaves_nothing() {
    in_each("dropped", |store| {
        let mut upload = store.upload("k", Metadata::new()).unwrap().part_bytes(5 << 20);
        upload.push(&bytes(11 << 20)).unwrap();
        drop(upload);
        assert!(keys(store, "").is_empty());
        assert_eq!(store.head("k").unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn an_object_is_read_at_any_offset() {
    const SIZE: usize = (21 << 20) + 5;
    in_each("offsets", |store| {
        let expected = bytes(SIZE);
        put(store, "k", &expected);
        let entry = store.list("").unwrap().next().unwrap().unwrap();
        let object = ObjectBytes::listed(store, &entry);
        assert_eq!(object.len().unwrap(), SIZE as u64);
        let mut buffer = vec![0; 700_001];
        let check = |offset: usize, buffer: &mut [u8]| {
            let read = object.read_at(offset as u64, buffer).unwrap();
            assert!(read > 0 || offset >= SIZE, "at {offset}");
            assert!(buffer[..read] == expected[offset..offset + read], "at {offset}");
            read
        };
        // Forward, then by jumps, then from the end.
        let mut offset = 0;
        while offset < SIZE {
            offset += check(offset, &mut buffer);
        }
        for at in 0..200 {
            check(at * 7_919_993 % SIZE, &mut buffer[..at * 100 + 1]);
        }
        check(SIZE - 9, &mut buffer);
        assert_eq!(object.read_at(SIZE as u64, &mut buffer).unwrap(), 0);
        assert_eq!(object.read_at(u64::MAX, &mut buffer).unwrap(), 0);
    });
}

#[test]
fn an_object_that_is_replaced_is_an_error_and_no_mix() {
    in_each("replaced", |store| {
        put(store, "k", &bytes(9 << 20));
        let object = ObjectBytes::open(store, "k").unwrap();
        let mut buffer = [0; 100];
        assert_eq!(object.read_at(0, &mut buffer).unwrap(), 100);
        let mut other = bytes(9 << 20);
        other.reverse();
        put(store, "k", &other);
        let error = object.read_at(5 << 20, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
        let again = ObjectBytes::open(store, "k").unwrap();
        assert_eq!(again.read_at(5 << 20, &mut buffer).unwrap(), 100);
        store.delete("k").unwrap();
        let error = object.read_at(8 << 20, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
    });
}

#[test]
fn a_log_is_read_where_it_lies() {
    const RECORDS: usize = 40_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let logger = Logger::new(Config::new(&path)).unwrap();
    for record in 0..RECORDS {
        logger.log_bytes(&bytes(200 + record % 100));
    }
    logger.close().unwrap();
    in_each("log", |store| {
        put(store, "logs/a.log", &std::fs::read(&path).unwrap());
        let given = store.list("logs").unwrap().map(|entry| {
            let object: Arc<dyn ReadAt> = Arc::new(ObjectBytes::listed(store, &entry.unwrap()));
            ("a.log".into(), object)
        });
        let mut logs = ReadOptions::new().scan_given(given.collect::<Vec<_>>()).logs;
        let mut found = 0;
        while logs[0].next_record().unwrap().is_some() {
            found += 1;
        }
        assert_eq!((logs.len(), found), (1, RECORDS));
    });
}

/// The environment of a process cannot be changed safely while threads run, so each case is a process: this test again.
#[test]
fn plain_http_needs_an_allowance() {
    const CHILD: &str = "ASYNCLOGGER_STORE_TEST_URL";
    if let Ok(url) = std::env::var(CHILD) {
        match Store::open(&url) {
            Ok(store) => println!("opened {store:?}"),
            Err(error) => println!("refused {error}"),
        }
        return;
    }
    let run = |url: &str, env: &[(&str, &str)]| {
        let secret = "SECRETSECRET";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "plain_http_needs_an_allowance", "--nocapture"])
            .env(CHILD, url)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_ACCESS_KEY_ID", secret)
            .env("AWS_REGION", "eu-north-1")
            .env("AZURE_STORAGE_ACCOUNT_NAME", "account")
            .env("AZURE_STORAGE_ACCOUNT_KEY", "U0VDUkVU")
            .env("GOOGLE_BEARER_TOKEN", secret)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let shown = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!shown.contains(secret) && !shown.contains("U0VDUkVU"), "{shown}");
        assert!(output.status.success(), "{shown}");
        shown
    };
    for (url, endpoint, allowance) in [
        ("s3://b/p", "AWS_ENDPOINT", "AWS_ALLOW_HTTP"),
        ("s3://b/p", "AWS_ENDPOINT_URL_S3", "AWS_ALLOW_HTTP"),
        ("az://c/p", "AZURE_STORAGE_ENDPOINT", "AZURE_ALLOW_HTTP"),
        ("gs://b/p", "GOOGLE_BASE_URL", "GOOGLE_ALLOW_HTTP"),
    ] {
        let plain = (endpoint, "http://127.0.0.1:1");
        let shown = run(url, &[plain]);
        assert!(
            shown.contains("refused") && shown.contains(&format!("set {allowance}=true")),
            "{shown}"
        );
        assert!(run(url, &[plain, (allowance, "true")]).contains("opened"), "{endpoint}");
        assert!(run(url, &[(endpoint, "https://127.0.0.1:1")]).contains("opened"), "{endpoint}");
    }
}
