//! The seed's configuration tests.

use std::time::Duration;

use asynclogger::{Config, ErrorKind, IoMode, Logger, Retention, Stats};

use crate::support::{directory, log_path, open};

#[test]
fn config_validate_valid() {
    let config = Config::new("/logs/app.log").buffer_size(8 << 20).num_shards(4);
    let config = config.flush_interval(Duration::from_secs(1)).validate().expect("valid");
    assert_eq!(config.max_record(), (2 << 20) - 12);
}

#[test]
fn config_validate_missing_log_path() {
    for path in ["", "/", ".."] {
        let error = Config::new(path).validate().expect_err("no file name");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{path:?}");
    }
}

#[test]
fn config_validate_defaults_for_zero() {
    let directory = directory();
    let config = Config::new(log_path(&directory))
        .buffer_size(0)
        .num_shards(0)
        .flush_interval(Duration::ZERO)
        .flush_timeout(Duration::ZERO);
    assert_eq!(config.max_record(), (8 << 20) - 12);
    let logger = open(config);
    assert_eq!(logger.shard_stats().len(), Config::DEFAULT_NUM_SHARDS);
    assert_eq!(
        logger.shard_stats()[0].capacity,
        Config::DEFAULT_BUFFER_SIZE / Config::DEFAULT_NUM_SHARDS
    );
    assert_eq!(logger.max_record(), (8 << 20) - 12);
}

#[test]
fn config_validate_shard_size() {
    for (buffer, shards) in [(1 << 10, 100), (65_535, 1), (1 << 20, 17), (2 << 30, 1)] {
        let config = Config::new("/nowhere/app.log").buffer_size(buffer).num_shards(shards);
        let error = Logger::new(config).expect_err("a bad shard size");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("a shard"), "{error}");
    }
    let too_many = Config::new("/nowhere/app.log").buffer_size(4 << 30).num_shards(1 << 15);
    assert!(Logger::new(too_many).expect_err("too many").to_string().contains("num_shards"));
}

#[test]
fn shards_need_not_divide_the_buffer_size() {
    let directory = directory();
    let config = Config::new(log_path(&directory)).buffer_size((1 << 20) + 1).num_shards(7);
    let logger = open(config);
    let longest = vec![b'x'; ((1 << 20) + 1) / 7 - 12];
    assert_eq!(logger.max_record(), longest.len());
    assert!(logger.try_log_bytes(&longest).is_ok());
    assert_eq!(logger.close().expect("close").accepted, 1);
}

/// What only a manager does is no setting of a logger: it would be ignored, and nobody would know.
#[test]
fn a_logger_refuses_what_only_a_manager_does() {
    let directory = directory();
    let config = || Config::new(log_path(&directory));
    for (config, word) in [
        (config().event_quota(1 << 20), "event_quota"),
        (config().event_files(1), "event_files"),
        (config().retention(Retention::new().directory_total(1 << 30)), "directory_total"),
        (config().compression_rate(0), "compression_rate"),
        (Config::default(), "path"),
    ] {
        let error = Logger::new(config).expect_err(word);
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{word}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), 0);
}

#[test]
fn a_config_that_was_validated_stays_as_it_is() {
    let config = Config::new("/logs/app.log").flush_interval(Duration::MAX);
    let once = config.validate().expect("valid");
    let twice = once.clone().validate().expect("valid");
    assert_eq!(format!("{once:?}"), format!("{twice:?}"));
    assert!(format!("{once:?}").contains(&format!("buffer_size: {}", 64 << 20)), "{once:?}");
}

#[test]
fn stats_that_nobody_filled_promise_nothing() {
    assert_eq!(Stats::default().io_mode, IoMode::Buffered);
}
