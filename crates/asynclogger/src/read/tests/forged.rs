//! Bytes that no writer of this library makes: noise, and wrong fields under right checksums.

use std::collections::BTreeMap;

use super::{
    super::{DamageKind, Loss},
    builder::*,
};
use crate::Error;

#[test]
fn a_contradicting_table_invents_nothing() -> Result<(), Error> {
    // Good checksums over a length that leads out of the block: only a faulty writer makes that.
    let mut log = sample();
    let block = log.parts[1].clone();
    let data_at = block.start + 4096;
    log.bytes[data_at + 8 + 24] = 200;
    let data_len = 512;
    let crc = crate::format::checksum::crc32c(&log.bytes[data_at..data_at + data_len]);
    for part in [block.start..data_at, data_at + data_len..block.end] {
        let bytes = &mut log.bytes[part];
        bytes[176..180].copy_from_slice(&crc.to_le_bytes());
        let own = crate::format::checksum::crc32c(&bytes[..12]);
        let own = crate::format::checksum::crc32c_append(own, &bytes[16..]);
        bytes[12..16].copy_from_slice(&own.to_le_bytes());
    }
    let got = read(log.bytes.clone())?;
    check_losses(&log, &got, "contradiction");
    assert_eq!(kinds(&got.report), [DamageKind::Chunk]);
    assert_eq!(got.report.lost, Loss::exact(4));
    Ok(())
}

#[test]
fn noise_is_survived() {
    let log = sample();
    let mut state = 1u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for round in 0..3000 {
        let mut bytes = log.bytes.clone();
        for _ in 0..1 + random() % 8 {
            let at = random() % bytes.len();
            let len = (random() % 5000).min(bytes.len() - at);
            let from = random() % (bytes.len() - len);
            match random() % 4 {
                0 => bytes[at] ^= random() as u8,
                1 => bytes.copy_within(from..from + len, at),
                2 => bytes[at..at + len].iter_mut().for_each(|byte| *byte = random() as u8),
                _ => {
                    let (at, from, len) = (at & !511, from & !511, len & !511);
                    let len = len.min(bytes.len() - at).min(bytes.len() - from);
                    bytes.copy_within(from..from + len, at);
                }
            }
        }
        let got = read(bytes).expect("a log");
        check_losses(&log, &got, &format!("round {round}"));
    }
}

/// Puts the right checksum on the metadata block at `at`.
fn seal(bytes: &mut [u8], at: usize) {
    let size = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let Some(block) = bytes.get_mut(at..at.saturating_add(size)).filter(|_| size > 16) else {
        return;
    };
    let crc = crate::format::checksum::crc32c(&block[..12]);
    let crc = crate::format::checksum::crc32c_append(crc, &block[16..]);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// A checksum is not an authentication: right checksums over wrong fields can make a reader report anything.
/// But the reader must reach an end, deliver no position twice, and none out of order.
#[test]
fn forged_fields_do_no_harm() {
    let log = sample();
    let mut places = Vec::new();
    for part in &log.parts {
        places.push(part.start);
        if part.len() > 4096 {
            let data_len = (part.start + 4096..part.end)
                .step_by(512)
                .skip(1)
                .find(|at| log.bytes[at + 16..].starts_with(b"ALOGTAIL"));
            places.push(data_len.expect("a tail"));
        }
    }
    let values = [0, 1, 2, 3, 5, 7, 255, 4096, 65_536, u32::MAX - 1, u32::MAX];
    let mut state = 7u64;
    let mut random = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let mut bytes = log.bytes.clone();
        for _ in 0..1 + random(4) {
            let at = places[random(places.len())];
            let field = at + 32 + 4 * random(40);
            let value = values[random(values.len())];
            bytes[field..field + 4].copy_from_slice(&value.to_le_bytes());
            seal(&mut bytes, at);
        }
        let got = read(bytes).expect("a log");
        assert_eq!(got.report.records, got.records.len() as u64);
        let mut last = BTreeMap::new();
        for (position, _) in &got.records {
            let shard = (position.session(), position.shard());
            let before = last.insert(shard, position.number());
            assert!(before.is_none_or(|before| before < position.number()), "{:#?}", got.report);
        }
    }
}
