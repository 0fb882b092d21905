//! Two readers written from the prose of the specification alone ("Log File Structure", "Reading
//! Process"), sharing no code with the library: one steps by the valid bytes, one by the capacity.

use std::{fs, path::Path};

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// To the 512-byte boundary after header and valid bytes.
    Valid,
    /// By the capacity in the header.
    Capacity,
}

/// Calls `each` for every record of the file.
pub fn read(path: &Path, step: Step, mut each: impl FnMut(&[u8])) {
    let file = fs::read(path).expect("the log file");
    let number =
        |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("4 bytes")) as usize;
    let mut shard = 0;
    while shard + 8 <= file.len() {
        let (capacity, valid) = (number(shard), number(shard + 4));
        if capacity == 0 || valid == 0 {
            break;
        }
        let end = shard + 8 + valid;
        let mut entry = shard + 8;
        while entry + 4 <= end {
            let length = number(entry);
            if length == 0 || entry + 4 + length > end {
                break;
            }
            each(&file[entry + 4..entry + 4 + length]);
            entry += 4 + length;
        }
        shard = match step {
            Step::Valid => (shard + 8 + valid).next_multiple_of(512),
            Step::Capacity => shard + capacity,
        };
    }
}

/// All records of the file.
pub fn records(path: &Path, step: Step) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    read(path, step, |record| records.push(record.to_vec()));
    records
}
