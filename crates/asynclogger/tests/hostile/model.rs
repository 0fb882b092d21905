//! What has to hold of each record, by what the services have said.

use std::collections::BTreeMap;

use crate::record::Key;

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Offered, and the answer was never heard: the service was killed.
    Unknown,
    Refused,
    Accepted,
    /// A `flush`, `wait_durable` or `close` that covers it has returned `Ok`.
    Durable,
}

/// A record, and the number of the command by which it was logged.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub fate: Fate,
    pub command: u64,
}

/// All records that were ever offered, by lane and number.
#[derive(Debug, Default)]
pub struct Model {
    lanes: BTreeMap<u32, Vec<Known>>,
    /// Numbers the commands of all services.
    pub commands: u64,
}

impl Model {
    pub fn next(&self, lane: u32) -> u32 {
        self.lanes.get(&lane).map_or(0, |known| known.len() as u32)
    }

    pub fn offer(&mut self, lane: u32, count: u32) {
        let known = Known { fate: Fate::Unknown, command: self.commands };
        let lane = self.lanes.entry(lane).or_default();
        lane.extend((0..count).map(|_| known));
    }

    pub fn set(&mut self, key: Key, fate: Fate) {
        let lane = self.lanes.get_mut(&key.lane).expect("a lane");
        lane[key.number as usize].fate = fate;
    }

    /// Every record of the lane before `end`, from `first` on, that was not refused is durable.
    pub fn durable_before(&mut self, lane: u32, first: u32, end: u32) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        for known in &mut known[first as usize..end as usize] {
            if known.fate != Fate::Refused {
                known.fate = Fate::Durable;
            }
        }
    }

    /// The records from `first` to `end` were taken, but for those that were refused.
    pub fn accepted(&mut self, lane: u32, first: u32, end: u32) {
        let known = self.lanes.get_mut(&lane).expect("a lane");
        for known in &mut known[first as usize..end as usize] {
            if known.fate == Fate::Unknown {
                known.fate = Fate::Accepted;
            }
        }
    }

    pub fn get(&self, key: Key) -> Option<Known> {
        self.lanes.get(&key.lane)?.get(key.number as usize).copied()
    }

    pub fn all(&self) -> impl Iterator<Item = (Key, Known)> {
        self.lanes.iter().flat_map(|(lane, known)| {
            let key = |number| Key { lane: *lane, number: number as u32 };
            known.iter().enumerate().map(move |(number, known)| (key(number), *known))
        })
    }

    /// Offered, and taken for certain, of a lane from `first` on.
    pub fn counts(&self, lane: u32, first: u32) -> (u64, u64) {
        let Some(known) = self.lanes.get(&lane) else { return (0, 0) };
        let known = &known[first as usize..];
        let taken = known.iter().filter(|it| matches!(it.fate, Fate::Accepted | Fate::Durable));
        (known.len() as u64, taken.count() as u64)
    }
}
