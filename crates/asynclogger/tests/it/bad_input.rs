//! Bad input: a clear error, never a panic.

use std::{fs, os::unix::fs::PermissionsExt};

use asynclogger::{Config, ErrorKind, Logger};

use crate::support::directory;

#[test]
fn an_unwritable_path_is_an_error_with_the_path() {
    for path in ["/proc/nothing/app.log", "/sys/app.log", "/dev/null/app.log"] {
        let error = Logger::new(Config::new(path)).expect_err(path);
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.path().is_some() && error.io_error().is_some(), "{error:?}");
    }
}

#[test]
fn a_directory_without_permission_is_an_error() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } == 0 {
        println!("skipped: root may write everywhere");
        return;
    }
    let directory = directory();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).expect("chmod");
    let error = Logger::new(Config::new(directory.path().join("app.log"))).expect_err("denied");
    assert_eq!(
        error.io_error().map(std::io::Error::kind),
        Some(std::io::ErrorKind::PermissionDenied)
    );
}

#[test]
fn absurd_sizes_are_errors() {
    let directory = directory();
    let path = directory.path().join("app.log");
    for (buffer, shards) in
        [(usize::MAX, 8), (1, 1), (usize::MAX, usize::MAX), (1 << 10, 100), (1 << 62, 1 << 12)]
    {
        let config = Config::new(&path).buffer_size(buffer).num_shards(shards);
        let error = Logger::new(config).expect_err("absurd");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    }
    assert!(!path.exists(), "nothing is made before the settings are checked");
}

#[test]
fn a_name_too_long_is_an_error() {
    let directory = directory();
    let path = directory.path().join("x".repeat(250));
    assert_eq!(Logger::new(Config::new(path)).expect_err("long").kind(), ErrorKind::InvalidConfig);
}
