//! The limit over a directory, while events are open.

use std::ffi::OsStr;

use super::*;
use crate::write::archive::archivist::WholeDirectory;

fn is_app(base: &OsStr, full_name: &[u8]) -> bool {
    base == "app" && full_name == b"app"
}

/// A log of an event, in a directory that may have only one byte of archived segments.
fn scene() -> (Log, Arc<WholeDirectory>, Arc<ArchiveSettings>) {
    let log = Log::new(4);
    // A plain logger made the log.
    fs::remove_file(log.path(".app.lock")).expect("the lock file");
    let config = log.told.clone().into_config(config(&log.path("app.log")));
    let config = config.retention(Retention::new().directory_total(1)).validate().expect("valid");
    let directory = Directory::open_or_create(log.directory.path()).expect("a directory");
    let directory = Arc::new(directory);
    let whole = WholeDirectory::of(&config, &directory, is_app).expect("a name").expect("a limit");
    let name = LogName::of(config.path()).expect("a name");
    let settings = ArchiveSettings::new(&config, directory, name).within(Some(whole.clone()));
    (log, whole, Arc::new(settings))
}

/// Archived segments that were not reported yet stay.
#[test]
fn what_is_not_looked_after_yet_stays() {
    let (log, whole, settings) = scene();
    let archivist = super::super::Archivist::new();
    archivist.opened(&settings, Lineage { segment: 2, ..log.active });
    perform(Work::Whole(whole.clone()));
    // A single segment is the newest.
    log.assert_holds(1..=5);
    perform(Work::Archived(ArchivedSegment {
        active: Lineage { segment: 4, ..log.active },
        ..log.archived(&settings, 3)
    }));
    perform(Work::Whole(whole.clone()));
    log.assert_holds(3..=5);
    // The event is closed.
    drop(settings);
    perform(Work::Whole(whole));
    log.assert_holds(4..=5);
    assert_eq!(log.told.errors(), [""; 0]);
}
