//! Deletion by limits, which never takes the newest segment.

use std::time::Duration;

use super::*;

fn all_limits() -> Retention {
    Retention::new().keep(1).max_total(1).max_age(Duration::from_nanos(1))
}

fn make_room(log: &Log, settings: &Arc<ArchiveSettings>) -> bool {
    let deleted = StdArc::new(StdMutex::new(None));
    let told = deleted.clone();
    perform(Work::MakeRoom {
        settings: settings.clone(),
        active: log.active,
        made: Box::new(move |deleted| *told.lock().expect("told") = Some(deleted)),
    });
    let deleted = *deleted.lock().expect("told");
    deleted.expect("told")
}

#[test]
fn the_newest_stays_whatever_the_limits() {
    let log = Log::new(3);
    let settings = log.settings(|config| config.retention(all_limits()));
    log.sweep(&settings);
    assert_eq!(log.names(), ["app_2024-01-01_00-00-03.log"]);
    log.sweep(&settings);
    assert!(!make_room(&log, &settings));
    assert_eq!(log.names(), ["app_2024-01-01_00-00-03.log"]);
    assert_eq!(log.told.errors(), [""; 0]);
    log.assert_holds(3..=4);
}

#[test]
fn room_is_made_one_by_one_from_the_oldest() {
    let log = Log::new(3);
    let settings = log.settings(|config| config);
    // Names prove nothing.
    fs::rename(log.path(archived_name(1)), log.path("app_2030-01-01_00-00-01.log")).expect("moved");
    assert!(make_room(&log, &settings));
    log.assert_holds(2..=4);
    assert!(make_room(&log, &settings));
    log.assert_holds(3..=4);
    assert!(!make_room(&log, &settings));
    log.assert_holds(3..=4);
}

#[test]
fn a_file_that_takes_the_place_of_a_known_one_is_looked_at() {
    let log = Log::new(3);
    let settings = log.settings(|config| config.retention(Retention::new().keep(3)));
    log.sweep(&settings);
    // The file is known to be the log's; then somebody puts another file of the same length there.
    let other = Log::new(1);
    fs::rename(log.path(archived_name(1)), log.path("kept")).expect("moved");
    fs::copy(other.path(archived_name(1)), log.path(archived_name(1))).expect("copied");
    assert!(make_room(&log, &settings), "segment 2 is the oldest now");
    assert!(log.path(archived_name(1)).exists());
    assert!(!log.path(archived_name(2)).exists());
}

#[cfg(feature = "zstd")]
#[test]
fn compressed_segments_have_ages_and_sizes_of_their_own() {
    for limits in [
        Retention::new().max_age(Duration::from_nanos(1)),
        Retention::new().max_total(1),
        Retention::new().keep(1),
    ] {
        let log = Log::new(3);
        let settings = log.settings(|config| zstd(config.retention(limits)));
        log.sweep(&settings);
        assert_eq!(log.told.errors(), [""; 0]);
        assert_eq!(log.names(), ["app_2024-01-01_00-00-03.log.zst"]);
        log.assert_holds(3..=4);
    }
    // An hour is not over; three compressed ones have fewer bytes than two that are not.
    let log = Log::new(3);
    let two = 2 * fs::metadata(log.path(archived_name(1))).expect("a file").len();
    let settings = log.settings(|config| {
        zstd(config.retention(Retention::new().max_age(Duration::from_secs(3600)).max_total(two)))
    });
    log.sweep(&settings);
    log.assert_holds(1..=4);
}
