//! Smoke.
use crate::seed_readers::{self, Step};
use asynclogger::{Config, Logger};

#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/app.log");
    for session in 0..2 {
        let logger = Logger::new(Config::new(&path)).unwrap();
        eprintln!("{:?} {:?}", logger.opened(), logger.stats());
        for n in 0..1000 {
            logger.log(&format!("record {session} {n}"));
        }
        logger.flush().unwrap();
        eprintln!("{:?}", logger.stats());
        let stats = logger.close().unwrap();
        eprintln!("{stats:?}");
    }
    for step in [Step::Valid, Step::Capacity] {
        let records = seed_readers::records(&path, step);
        assert_eq!(records.len(), 2000);
    }
}
