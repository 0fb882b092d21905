//! Calls by name: a number is not another event's before all that was meant by it is there.

use super::{Model, NEVER, Size, check, spawn};
use crate::{
    Overflow,
    sync::{Arc, AtomicU64, Ordering},
    write::common::{BlockMemory, Local},
};

/// A call that looks for a name while it is forgotten; then its number gets another meaning, once no writer
/// was at the shard and what was logged until then was taken out.
#[test]
fn loom_a_number_means_one_event_at_a_time() {
    check("a number means one event", 4, || {
        let size = Size { shards: 1, buffers: 2, records: 2 };
        let Model { log, .. } = Model::new(size, Overflow::Drop, NEVER);
        let name = Arc::new(AtomicU64::new(1));
        let (by_name, of_name) = (log.clone(), name.clone());
        let writer = spawn(move || {
            Local::with(|local| local.set_home(by_name.ingest.id(), 0));
            let logged = by_name.ingest.append_some(4, |room| {
                room.fill(7);
                if of_name.load(Ordering::Acquire) == 1 { 4 } else { 0 }
            });
            logged.expect("there is room").is_some()
        });
        name.store(0, Ordering::Release);
        if !log.shards().are_unclaimed() {
            writer.join().expect("writer");
            return;
        }
        log.shards().seal_idle(0);
        let mut sealed = log.shards().pool().sealed();
        let sealed = std::iter::from_fn(|| sealed.take_next(|_, _| true));
        let found = sealed.map(|buffer| buffer.valid()).sum::<u32>() > 0;
        // From here on the number is another event's.
        assert_eq!(writer.join().expect("writer"), found);
    });
}
