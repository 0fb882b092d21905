//! Replays the corpora of `fuzz/` and some random inputs, on any toolchain.

use std::{fs, path::Path};

use super::TARGETS;

#[test]
fn the_corpora_hold() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    if !fuzz.exists() {
        // The published package has no corpora.
        return;
    }
    for &(name, target) in TARGETS {
        let dir = fuzz.join("corpus").join(name);
        let mut count = 0;
        for entry in fs::read_dir(&dir).expect("a corpus") {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name}: {}", path.display());
            count += 1;
        }
        assert!(count > 0, "{}", dir.display());
    }
}

#[test]
fn inputs_by_chance_hold() {
    let rounds = std::env::var("ASYNCLOGGER_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok());
    for &(name, target) in TARGETS {
        for seed in 0..rounds.unwrap_or(10_000u64) {
            let bytes = bytes_by_chance(seed);
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name}, seed {seed}: {bytes:?}");
        }
    }
}

fn bytes_by_chance(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let len = random() % 100;
    (0..len).map(|_| random()).collect()
}
