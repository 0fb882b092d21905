//! From the name of an event to its handle, without a lock.
//!
//! Readers take the bucket as it is; whoever changes one makes a new one. Changes are rare, and each copies
//! one bucket of many.

use arc_swap::ArcSwap;

use super::{handle::EventHandle, names::hash_of};
use crate::sync::{Arc, Mutex, lock};

const BUCKETS: usize = 256;

/// Sorted by the hash of the name.
type Bucket = Vec<(u64, Arc<EventHandle>)>;

pub(super) struct Table {
    buckets: Box<[ArcSwap<Bucket>]>,
    changing: Mutex<()>,
}

impl Table {
    pub(super) fn new() -> Table {
        let buckets = (0..BUCKETS).map(|_| ArcSwap::default()).collect();
        Table { buckets, changing: Mutex::new(()) }
    }

    fn bucket(&self, hash: u64) -> &ArcSwap<Bucket> {
        &self.buckets[(hash >> 56) as usize % BUCKETS]
    }

    /// Does something with the handle of an event; `None`: there is none.
    #[inline]
    pub(super) fn with<T>(&self, name: &str, use_it: impl FnOnce(&EventHandle) -> T) -> Option<T> {
        let hash = hash_of(name);
        let bucket = self.bucket(hash).load();
        let first = bucket.partition_point(|(of, _)| *of < hash);
        let same = bucket[first..].iter().take_while(|(of, _)| *of == hash);
        let (_, handle) = same.into_iter().find(|(_, handle)| handle.event().name() == name)?;
        Some(use_it(handle))
    }

    /// Makes a handle known.
    pub(super) fn insert(&self, handle: EventHandle) {
        let hash = hash_of(handle.event().name());
        let _changing = lock(&self.changing);
        let mut bucket = Bucket::clone(&self.bucket(hash).load());
        let at = bucket.partition_point(|(of, _)| *of < hash);
        bucket.insert(at, (hash, Arc::new(handle)));
        self.bucket(hash).store(Arc::new(bucket));
    }

    /// Forgets an event; its handle, if there was one.
    pub(super) fn remove(&self, name: &str) -> Option<Arc<EventHandle>> {
        let hash = hash_of(name);
        let _changing = lock(&self.changing);
        let mut bucket = Bucket::clone(&self.bucket(hash).load());
        let at = bucket.iter().position(|(_, handle)| handle.event().name() == name)?;
        let (_, handle) = bucket.remove(at);
        self.bucket(hash).store(Arc::new(bucket));
        Some(handle)
    }

    /// All handles, in no order.
    pub(super) fn all(&self) -> Vec<Arc<EventHandle>> {
        let all = |bucket: &ArcSwap<Bucket>| {
            bucket.load().iter().map(|(_, handle)| handle.clone()).collect::<Vec<_>>()
        };
        self.buckets.iter().flat_map(all).collect()
    }
}
