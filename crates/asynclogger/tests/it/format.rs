//! The seed's file format test, and how much file a record costs.

use asynclogger::{Config, Overflow};

use crate::{
    seed_readers::{self, Step},
    support::{directory, log_path, open},
};

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes")) as usize
}

#[test]
fn logger_file_format_verification() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    for n in 0..3 {
        logger.log(&format!("Log entry {n}\n"));
    }
    logger.close().expect("close");
    let bytes = std::fs::read(&path).expect("file");
    // Start and head, each one A; then the data's shard header.
    let data = 2 * 4096;
    let (capacity, valid) = (u32_at(&bytes, data), u32_at(&bytes, data + 4));
    assert_eq!(valid, 3 * (4 + 12));
    assert_eq!(capacity, 4096, "up to the next block");
    // Records right after the header, without padding between.
    for n in 0..3 {
        let at = data + 8 + n * 16;
        assert_eq!(u32_at(&bytes, at), 12);
        assert_eq!(&bytes[at + 4..at + 16], format!("Log entry {n}\n").as_bytes());
    }
    // Then zeros to the sector, the tail's own header, and everything on 512-byte boundaries.
    assert!(bytes[data + 8 + valid..data + 512].iter().all(|byte| *byte == 0));
    assert_eq!(u32_at(&bytes, data + 512), 4096 - 512);
    assert_eq!(bytes.len() % 4096, 0);
}

/// Both rules of stepping arrive at every record, over many blocks of all kinds of lengths.
#[test]
fn both_seed_readers_read_everything() {
    let directory = directory();
    let path = log_path(&directory);
    let config = Config::new(&path).buffer_size(512 << 10).num_shards(2).overflow(Overflow::Block);
    let mut expected = Vec::new();
    for session in 0..3_u32 {
        let logger = open(config.clone());
        for n in 0..5_000_u32 {
            let record = (session * 5_000 + n).to_le_bytes().repeat(1 + (n as usize * 7) % 300);
            logger.log_bytes(&record);
            expected.push(record);
            if n % 911 == 0 {
                logger.flush().expect("flush");
            }
        }
        logger.close().expect("close");
    }
    assert!(seed_readers::records(&path, Step::Valid) == expected);
    assert!(seed_readers::records(&path, Step::Capacity) == expected);
}

/// The original writes 67 MB for this.
#[test]
fn a_hundred_records_need_at_most_64_kib() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    for _ in 0..100 {
        logger.log_bytes(&[b'r'; 256]);
    }
    logger.close().expect("close");
    let size = path.metadata().expect("file").len();
    assert!(size <= 64 << 10, "{size}");
    assert_eq!(seed_readers::records(&path, Step::Valid).len(), 100);
}

#[test]
fn a_flush_of_one_record_adds_at_most_three_units() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    let size = || path.metadata().expect("file").len();
    let mut before = size();
    for round in 0..5 {
        logger.log_bytes(&[b'r'; 256]);
        // A drop to declare, which the block's shard did not see in time: a note of its own at worst.
        logger.log_bytes(b"");
        logger.flush().expect("flush");
        let after = size();
        assert!(after > before && after - before <= 3 * 4096, "{round}: {}", after - before);
        before = after;
    }
    // Nothing new: nothing is written.
    logger.flush().expect("flush");
    assert_eq!(size(), before);
    // Only a drop: a note alone.
    logger.log_bytes(b"");
    logger.flush().expect("flush");
    assert_eq!(size(), before + 4096);
}
