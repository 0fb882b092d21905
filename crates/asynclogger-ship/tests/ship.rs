//! Shipping in one process: what is in the store afterwards is what was in the directory.

mod common;

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use asynclogger::{Archive, Config, Logger};
use asynclogger_ship::{ErrorKind, Event, Health, Layout, OverLimit, Shipper, Summary};
use asynclogger_store::{Metadata, Store};

use common::{Segments, check_all, manifests, memory, objects, write_log};

#[test]
fn every_segment_is_shipped_once_with_what_it_says_of_itself() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("once"));
    write_log(dir.path(), "app", 3, 100);
    write_log(dir.path(), "a.b", 2, 50);
    let before = Segments::of(dir.path());
    let shipper = Shipper::to_store(store.clone()).unwrap().host("h");
    let summary = shipper.run(dir.path()).unwrap();
    assert_eq!((summary.shipped, summary.were_there, summary.left_alone), (5, 0, 0));
    check_all(&store, &before);
    let files = manifests(&store).files;
    let records: u64 = files.iter().map(|file| file["records"].as_u64().unwrap()).sum();
    assert_eq!(records, 3 * 100 + 2 * 50);
    for file in &files {
        let metadata = store.head(file["key"].as_str().unwrap()).unwrap().metadata;
        for (name, field) in [("log", "log"), ("crc32c", "crc32c"), ("event", "event")] {
            assert_eq!(metadata[&format!("alog-{name}")], file[field].as_str().unwrap());
        }
        for (name, field) in [("segment", "segment"), ("records", "records"), ("bytes", "bytes")] {
            assert_eq!(metadata[&format!("alog-{name}")], file[field].to_string());
        }
    }
    // Again: nothing to do, and nothing is listed twice.
    let again = shipper.run(dir.path()).unwrap();
    assert_eq!((again.shipped, again.were_there, again.manifests), (0, 0, 0));
    check_all(&store, &before);
}

#[test]
fn files_are_deleted_when_they_are_in_the_store_and_only_then() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("deleted"));
    write_log(dir.path(), "app", 3, 100);
    let before = Segments::of(dir.path());
    let shipper = Shipper::to_store(store.clone()).unwrap();
    assert_eq!(shipper.run(dir.path()).unwrap().deleted, 0);
    // The object of one segment is damaged in the store.
    let key = objects(&store).into_keys().next().unwrap();
    let head = store.head(&key).unwrap();
    let mut bytes = store.get_range(&key, 0..head.size).unwrap().to_vec();
    bytes[5000] ^= 1;
    store.put_small(&key, bytes, head.metadata, false).unwrap();
    let summary = shipper.delete_after_verify(true).run(dir.path()).unwrap();
    assert_eq!((summary.shipped, summary.deleted, summary.left_alone), (0, 2, 1));
    assert_eq!(Segments::of(dir.path()).len(), 1);
    assert_eq!(before.len(), 3);
}

#[test]
fn a_lost_journal_costs_no_second_object_and_no_second_line() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("journal"));
    write_log(dir.path(), "app", 4, 100);
    let before = Segments::of(dir.path());
    let shipper = Shipper::to_store(store.clone()).unwrap();
    shipper.run(dir.path()).unwrap();
    common::lose_journal(dir.path());
    let summary = shipper.delete_after_verify(true).run(dir.path()).unwrap();
    assert_eq!((summary.shipped, summary.were_there, summary.deleted), (0, 4, 4));
    check_all(&store, &before);
}

#[test]
fn a_segment_that_is_compressed_meanwhile_is_shipped_in_one_form() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("forms"));
    let path = write_log(dir.path(), "app", 3, 5000);
    let before = Segments::of(dir.path());
    let shipper = Shipper::to_store(store.clone()).unwrap();
    shipper.run(dir.path()).unwrap();
    common::compress_all(&path);
    let all = before.and(Segments::of(dir.path()));
    common::lose_journal(dir.path());
    let summary = shipper.delete_after_verify(true).run(dir.path()).unwrap();
    assert_eq!((summary.shipped, summary.were_there, summary.deleted), (1, 3, 4));
    check_all(&store, &all);
    assert_eq!(objects(&store).keys().filter(|key| key.ends_with(".log")).count(), 3);
}

/// A directory keeps no metadata, so that only the bytes tell whether the object is what the compressed file was made of.
#[test]
fn a_compressed_file_is_compared_with_the_plain_object_before_it_is_deleted() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = write_log(dir.path(), "app", 2, 5000);
    let before = Segments::of(dir.path());
    let store = Store::open(&format!("file://{}/logs", to.path().display())).unwrap();
    Shipper::to_store(store.clone()).unwrap().run(dir.path()).unwrap();
    common::compress_all(&path);
    common::lose_journal(dir.path());
    fs::remove_dir_all(to.path().join("logs/_manifest")).unwrap();
    let (key, mut bytes) = objects(&store).into_iter().next().unwrap();
    bytes[5000] ^= 1;
    store.put_small(&key, bytes, Metadata::new(), false).unwrap();
    let summary =
        Shipper::to_store(store).unwrap().delete_after_verify(true).run(dir.path()).unwrap();
    let Summary { shipped, were_there, deleted, left_alone, .. } = summary;
    assert_eq!((shipped, were_there, deleted, left_alone), (1, 1, 2, 1));
    assert_eq!((Segments::of(dir.path()).len(), before.len()), (1, 2));
}

#[test]
fn an_object_of_another_segment_is_left_alone_and_the_others_go_on() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("conflict"));
    write_log(dir.path(), "app", 3, 100);
    let shipper = Shipper::to_store(store.clone()).unwrap();
    shipper.run(dir.path()).unwrap();
    let keys: Vec<String> = objects(&store).into_keys().collect();
    let foreign = Metadata::from([
        ("alog-log".to_owned(), "00".repeat(16)),
        ("alog-segment".to_owned(), "1".to_owned()),
    ]);
    store.put_small(&keys[0], "foreign", foreign, false).unwrap();
    store.delete(&keys[1]).unwrap();
    common::lose_journal(dir.path());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tell = seen.clone();
    let shipper = shipper.on_event(move |event| {
        if let Event::LeftAlone { error, .. } = event {
            tell.lock().unwrap().push(error.kind());
        }
    });
    let summary = shipper.run(dir.path()).unwrap();
    assert_eq!((summary.shipped, summary.were_there, summary.left_alone), (1, 1, 1));
    assert_eq!(*seen.lock().unwrap(), [ErrorKind::Conflict]);
    assert_eq!(&store.get_range(&keys[0], 0..7).unwrap()[..], b"foreign");
    assert!(matches!(shipper.handle().health(), Health::Failing { .. }));
}

#[test]
fn segments_that_went_before_they_were_shipped_are_declared() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("gaps"));
    let path = write_log(dir.path(), "app", 2, 10);
    let shipper = Shipper::to_store(store.clone()).unwrap();
    shipper.run(dir.path()).unwrap();
    common::write_more(&path, 4, 10);
    let archive = Archive::open(dir.path()).unwrap();
    for segment in archive.segments().unwrap() {
        if matches!(segment.segment(), 3 | 4) {
            assert!(segment.delete().unwrap());
        }
    }
    let summary = shipper.run(dir.path()).unwrap();
    assert_eq!((summary.lost, summary.manifests), (2, 1));
    let gaps = manifests(&store).gaps;
    let found: Vec<_> =
        gaps.iter().map(|gap| (gap["from_segment"].as_u64(), gap["to_segment"].as_u64())).collect();
    assert_eq!(found, [(Some(3), Some(4))]);
    assert_eq!(shipper.run(dir.path()).unwrap().lost, 0);
}

#[test]
fn a_full_directory_loses_the_oldest_only_if_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    write_log(dir.path(), "app", 4, 100);
    let file_bytes = fs::metadata(Segments::of(dir.path()).paths().next().unwrap()).unwrap().len();
    // A file where the directory of the store should be: every request fails.
    let blocked = dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let url = format!("file://{}/store", blocked.display());
    let away = || Shipper::to(&url).unwrap().patience(Duration::from_millis(1));
    let wait = away().keep_local(2 * file_bytes, OverLimit::Wait);
    assert!(wait.run(dir.path()).is_err());
    assert_eq!(Segments::of(dir.path()).len(), 4);
    let delete =
        away().patience(Duration::from_secs(1)).keep_local(2 * file_bytes, OverLimit::DeleteOldest);
    assert!(delete.run(dir.path()).is_err());
    assert_eq!(Segments::of(dir.path()).len(), 2);
    // The store is back.
    fs::remove_file(&blocked).unwrap();
    let before = Segments::of(dir.path());
    let summary = away().run(dir.path()).unwrap();
    assert_eq!(summary.shipped, 2);
    let store = Store::open(&url).unwrap();
    check_all(&store, &before);
    let gaps = manifests(&store).gaps;
    assert_eq!(gaps.len(), 2);
    assert!(
        gaps.iter().all(|gap| gap["reason"].as_str().unwrap().starts_with("deleted unshipped"))
    );
}

#[test]
fn only_one_shipper_ships_a_directory_to_a_destination() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("alone"));
    let first = Shipper::to_store(store.clone()).unwrap().start(dir.path()).unwrap();
    let error = Shipper::to_store(store).unwrap().run(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    Shipper::to_store(memory("alone-too")).unwrap().run(dir.path()).unwrap();
    first.stop().unwrap();
}

#[test]
fn a_shipper_beside_a_logger_ships_what_is_archived_and_the_rest_at_the_end() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("beside"));
    let shipper = Shipper::to_store(store.clone()).unwrap().delete_after_verify(true);
    let shipping = shipper.start(dir.path()).unwrap();
    let config = Config::new(dir.path().join("app.log")).on_archived(shipping.on_archived());
    let logger = Logger::new(config).unwrap();
    for _ in 0..3 {
        logger.log_bytes(b"record");
        logger.rotate().unwrap();
    }
    common::until("three segments are in manifests", || manifests(&store).files.len() == 3);
    logger.log_bytes(b"last");
    logger.close().unwrap();
    let summary = shipping.stop().unwrap();
    assert_eq!(summary.shipped, 3);
    let rest = Shipper::to_store(store.clone()).unwrap().finish(true).delete_after_verify(true);
    assert_eq!(rest.run(dir.path()).unwrap().shipped, 1);
    let records: u64 =
        manifests(&store).files.iter().map(|file| file["records"].as_u64().unwrap()).sum();
    assert_eq!((records, Segments::of(dir.path()).len()), (4, 0));
}

#[test]
fn a_layout_and_a_rate_are_kept() {
    let (dir, store) = (tempfile::tempdir().unwrap(), memory("layout"));
    write_log(dir.path(), "app", 1, 1000);
    let before = Segments::of(dir.path());
    let layout = Layout::parse("x/{log}/{segment}.{ext}").unwrap();
    let bytes = before.bytes();
    let shipper = Shipper::to_store(store.clone()).unwrap().layout(layout).rate(bytes);
    let begun = std::time::Instant::now();
    shipper.run(dir.path()).unwrap();
    // The first MiB goes at once, and the bytes behind in their time.
    assert!(begun.elapsed().as_secs_f64() < 30.0);
    let keys: Vec<String> = objects(&store).into_keys().collect();
    assert!(keys[0].starts_with("x/") && keys[0].ends_with("/000001.log"), "{keys:?}");
    check_all(&store, &before);
}
