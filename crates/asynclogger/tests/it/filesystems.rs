//! The same log on every file system: direct where it can be, said so, and whole.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::Path,
};

use asynclogger::{
    Config, DirectIo, Durability, Engine, ErrorKind, IoMode, Logger, Opened, Overflow, read::LogDir,
};

use crate::{
    matrix::{assert_holds_all, durabilities, engines, log_numbered},
    mounts::{FileSystem, Mounted, or_skip},
    support::{assert_balanced, open},
};

const THREADS: u32 = 3;
const EACH: u64 = 1_000;

/// What the kernel says of direct I/O on a file: the alignment of memory and of offsets, if it does it.
fn dio_align(path: &Path) -> Option<(usize, usize)> {
    let file = File::open(path).expect("the file");
    // SAFETY: zeros are a valid value of the structure.
    let mut answer: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, the empty name ends with NUL, and the structure is ours.
    let result = unsafe {
        let (name, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        libc::statx(file.as_raw_fd(), name, flags, libc::STATX_DIOALIGN, &raw mut answer)
    };
    assert_eq!(result, 0, "statx");
    let (memory, offset) = (answer.stx_dio_mem_align, answer.stx_dio_offset_align);
    (answer.stx_mask & libc::STATX_DIOALIGN != 0 && memory > 0 && offset > 0)
        .then_some((memory as usize, offset as usize))
}

/// Pages of a file that are in the page cache.
fn cached_pages(path: &Path) -> usize {
    let file = File::open(path).expect("the file");
    let len = file.metadata().expect("metadata").len() as usize;
    let mut pages = vec![0_u8; len.div_ceil(4096)];
    // SAFETY: a mapping of its own, which nothing reads; there is a byte for each of its pages, of which
    // there are at most as many as pages of 4096 bytes.
    unsafe {
        let nowhere = std::ptr::null_mut();
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        let mapped = libc::mmap(nowhere, len, protection, flags, file.as_raw_fd(), 0);
        assert_ne!(mapped, libc::MAP_FAILED, "mmap");
        assert_eq!(libc::mincore(mapped, len, pages.as_mut_ptr()), 0, "mincore");
        assert_eq!(libc::munmap(mapped, len), 0, "munmap");
    }
    pages.iter().filter(|page| **page & 1 != 0).count()
}

/// The alignment that a file was written with, by its first block.
fn file_align(path: &Path) -> usize {
    let bytes = fs::read(path).expect("the file");
    u32::from_le_bytes(bytes[28..32].try_into().expect("4 bytes")) as usize
}

fn config(path: &Path, durability: Durability, direct: DirectIo, engine: Engine) -> Config {
    Config::new(path)
        .buffer_size(512 << 10)
        .num_shards(4)
        .overflow(Overflow::Block)
        .durability(durability)
        .direct_io(direct)
        .engine(engine)
}

/// One session: some thousand records from several threads, a flush between them, closed.
fn session(logger: &Logger, number: u64) {
    let (first, end) = (number * EACH, (number + 1) * EACH);
    let half = first + EACH / 2;
    log_numbered(logger, THREADS, first..half);
    logger.flush().expect("flush");
    log_numbered(logger, THREADS, half..end);
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    let all = u64::from(THREADS) * EACH;
    assert_eq!((stats.accepted, stats.durable, stats.dropped_logs), (all, all, 0));
    assert_eq!((stats.flush_errors, stats.lost), (0, 0));
    assert!(logger.last_error().is_none());
}

/// What is asked for, and whether it is what the file system does: in a log that is begun and continued,
/// and in one that all modes continue in turn.
fn every_mode(mounted: &Mounted, does_direct: bool) {
    let mut rounds = 0;
    let common = mounted.path().join("common/app.log");
    for direct in [DirectIo::Preferred, DirectIo::Required, DirectIo::Off] {
        for durability in durabilities() {
            for engine in engines() {
                let name = format!("{direct:?}-{durability:?}-{engine:?}/app.log");
                let path = mounted.path().join(name);
                let config = config(&path, *durability, direct, *engine);
                if direct == DirectIo::Required && !does_direct {
                    let error = Logger::new(config).expect_err("there is no direct I/O here");
                    assert_eq!(error.kind(), ErrorKind::DirectIo, "{error}");
                    assert_eq!(error.path(), Some(&*path), "{error}");
                    assert!(!std::fs::exists(&path).expect("a look"), "nothing is left behind");
                    continue;
                }
                let mode = match direct {
                    DirectIo::Off => IoMode::Buffered,
                    _ if does_direct => IoMode::Direct,
                    _ => IoMode::Buffered,
                };
                for number in 0..2 {
                    let logger = open(config.clone());
                    let expected = if number == 0 { Opened::Created } else { Opened::Continued };
                    assert_eq!(*logger.opened(), expected);
                    assert_eq!(logger.stats().io_mode, mode, "{direct:?}");
                    session(&logger, number);
                    if number == 0 {
                        // Nobody has read it yet.
                        assert_eq!(cached_pages(&path) == 0, mode == IoMode::Direct, "{direct:?}");
                    }
                }
                assert_holds_all(&path, THREADS, 2 * EACH);
                let asked = dio_align(&path).filter(|_| mode == IoMode::Direct);
                let align = asked.map_or(4096, |(memory, offset)| memory.max(offset).max(4096));
                assert_eq!(file_align(&path), align);
                let size = fs::metadata(&path).expect("metadata").size();
                assert!(size.is_multiple_of(align as u64), "{size}");
                if align == 4096 {
                    let logger = open(self::config(&common, *durability, direct, *engine));
                    session(&logger, rounds);
                    rounds += 1;
                }
            }
        }
    }
    if rounds > 0 {
        assert_holds_all(&common, THREADS, rounds * EACH);
    }
}

/// Every mode on such a file system. `known` is what it is known to do; otherwise the kernel is asked.
fn on(file_system: FileSystem, known: Option<bool>) {
    let Some(mounted) = or_skip(file_system.mount()) else {
        return;
    };
    let probe = mounted.path().join("probe");
    File::create(&probe).expect("a file");
    let does_direct = dio_align(&probe).is_some();
    assert!(known.is_none_or(|known| known == does_direct), "{file_system:?}: {does_direct}");
    every_mode(&mounted, does_direct);
    let others = fs::read_dir(mounted.path()).expect("list").map(|entry| entry.expect("an entry"));
    let files = others.filter(|entry| entry.file_type().expect("a type").is_file());
    assert_eq!(files.count(), 1, "nothing beside the logs' directories");
}

#[test]
fn on_ext4_it_is_direct() {
    on(FileSystem::Ext4, Some(true));
}

#[test]
fn on_ext4_with_sectors_of_4096_it_is_direct() {
    on(FileSystem::Ext4On4k, Some(true));
}

#[test]
fn on_xfs_it_is_direct() {
    on(FileSystem::Xfs, Some(true));
}

#[test]
fn on_xfs_with_sectors_of_16_kib_it_is_direct() {
    on(FileSystem::XfsOn16k, Some(true));
}

/// Kernels differ in what they say of it.
#[test]
fn on_btrfs_it_is_what_the_kernel_says() {
    on(FileSystem::Btrfs, None);
}

#[test]
fn on_overlayfs_it_is_what_the_kernel_says() {
    on(FileSystem::Overlay, None);
}

#[test]
fn on_tmpfs_it_is_buffered() {
    on(FileSystem::Tmpfs, Some(false));
}

/// The only one here that refuses the flag itself.
#[test]
fn on_ramfs_it_is_buffered() {
    on(FileSystem::Ramfs, Some(false));
}

/// A log that comes from a device with smaller sectors is not continued at offsets that the new one
/// refuses: it is set aside, and the log goes on in a new segment.
#[test]
fn a_log_from_smaller_sectors_is_set_aside() {
    let Some(mounted) = or_skip(FileSystem::XfsOn16k.mount()) else {
        return;
    };
    for engine in engines() {
        let path = mounted.path().join(format!("{engine:?}/app.log"));
        let logger = open(config(&path, Durability::Dsync, DirectIo::Off, *engine));
        session(&logger, 0);
        assert_eq!(file_align(&path), 4096);
        let before = fs::read(&path).expect("the file");

        let logger = open(config(&path, Durability::Dsync, DirectIo::Preferred, *engine));
        let Opened::SetAside { to, reason, .. } = logger.opened().clone() else {
            panic!("{:?}", logger.opened());
        };
        assert!(reason.contains("4096") && reason.contains("16384"), "{reason}");
        assert!(fs::read(&to).expect("the old file") == before, "it is untouched");
        session(&logger, 0);
        assert_eq!((logger.stats().io_mode, file_align(&path)), (IoMode::Direct, 16384));
        assert_holds_all(&to, THREADS, EACH);
        assert_holds_all(&path, THREADS, EACH);
        let log = LogDir::open(&path).expect("the log").verify().expect("a report");
        assert!(log.is_whole(), "{log:?}");
    }
}
