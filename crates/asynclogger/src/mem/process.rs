//! The identity of the process, without a system call, and values that belong to one process alone.

use super::mapping::{Mapping, PAGE};
use crate::sync::{GlobalAtomicPtr, GlobalAtomicU64, Ordering};

/// A process, as a place in the line of its ancestors: no other process of that line has the same number.
///
/// The process id would not do: a forked child can have the id of the process that made the inherited value (the first
/// process of a container and the first process of a namespace made there both have the id 1; other ids are used
/// again). The number is kept in a page that a fork wipes. A process that finds 0 there takes a number greater than all
/// its ancestors' numbers; a counter that no fork wipes holds the greatest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process(u64);

/// The page that a fork wipes, made once and inherited by each child.
static NUMBER: GlobalAtomicPtr<GlobalAtomicU64> = GlobalAtomicPtr::new(std::ptr::null_mut());
/// The count of numbers that this process and its ancestors have taken.
static TAKEN: GlobalAtomicU64 = GlobalAtomicU64::new(0);
/// The bit of a number that is a process id, for lack of a page.
const IS_ID: u64 = 1 << 63;

impl Process {
    /// The calling process. Two loads and no lock, so a child may call this function whatever its parent's threads did
    /// at the fork.
    pub(crate) fn current() -> Process {
        let Some(number) = number() else {
            // No logger exists in such a process: a logger, too, needs a page that a fork wipes.
            return Process(IS_ID | u64::from(std::process::id()));
        };
        // All accesses are relaxed: a number, no data. A fork copies the values that the forking thread has seen.
        match number.load(Ordering::Relaxed) {
            0 => {}
            known => return Process(known),
        }
        // The number is counted before it is used: a child forked between the two steps takes the next one.
        let mine = TAKEN.fetch_add(1, Ordering::Relaxed) + 1;
        match number.compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Process(mine),
            Err(other_thread) => Process(other_thread),
        }
    }

    pub(crate) fn is_current(self) -> bool {
        self == Process::current()
    }
}

/// The word that holds the process's number; `None` if the system gives no page.
fn number() -> Option<&'static GlobalAtomicU64> {
    // Acquire pairs with the Release below: the page is initialised.
    let mut word = NUMBER.load(Ordering::Acquire);
    if word.is_null() {
        let mapping = Mapping::new(PAGE, true).ok()?;
        let ours = mapping.start().as_ptr().cast();
        let none = std::ptr::null_mut();
        word = match NUMBER.compare_exchange(none, ours, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                std::mem::forget(mapping);
                ours
            }
            Err(other_thread) => other_thread,
        };
    }
    // SAFETY: the word is the first bytes of a mapping that is never unmapped, zero at first, and used as this atomic
    // only.
    Some(unsafe { &*word })
}

/// A value that only its maker process can reach. A forked child can neither use nor drop the value: a thread, a ring,
/// a held lock belong to the parent alone.
#[derive(Debug)]
pub(crate) struct OfProcess<T> {
    maker: Process,
    /// `None` only within `drop`.
    value: Option<T>,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: T) -> OfProcess<T> {
        OfProcess { maker: Process::current(), value: Some(value) }
    }

    /// The value; `None` in a forked child.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.maker.is_current())
    }

    /// The value, mutable; `None` in a forked child.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.value.as_mut().filter(|_| self.maker.is_current())
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if !self.maker.is_current() {
            std::mem::forget(self.value.take());
        }
    }
}

/// A static of which each process has its own value, made at the first use. A forked child leaves the inherited value
/// alone: a lock in that value may be held by a thread that the child does not have.
pub(crate) struct PerProcess<T: 'static>(GlobalAtomicPtr<OfProcess<T>>);

impl<T: Send + Sync + Default> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess(GlobalAtomicPtr::new(std::ptr::null_mut()))
    }

    pub(crate) fn get(&self) -> &T {
        loop {
            // Acquire pairs with the Release below: the value is initialised.
            let found = self.0.load(Ordering::Acquire);
            // SAFETY: null, or a box that was leaked below.
            if let Some(value) = unsafe { found.as_ref() }.and_then(OfProcess::get) {
                return value;
            }
            let made = Box::into_raw(Box::new(OfProcess::new(T::default())));
            let put = self.0.compare_exchange(found, made, Ordering::AcqRel, Ordering::Relaxed);
            if put.is_err() {
                // SAFETY: the box that was just made, which nobody else has seen.
                drop(unsafe { Box::from_raw(made) });
            }
        }
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::{
        mem::in_forked_child,
        sync::{Arc, AtomicBool, GlobalMutex, thread},
    };

    struct TellsOfItsDrop(Arc<AtomicBool>);

    impl Drop for TellsOfItsDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_value_is_out_of_reach_in_a_child_and_not_dropped_there() {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let mut value = OfProcess::new(TellsOfItsDrop(is_dropped.clone()));
        assert!(value.get().is_some() && value.get_mut().is_some());
        let mut value = Some(value);
        in_forked_child(|| {
            let mut value = value.take().expect("a value");
            let is_out_of_reach = value.get().is_none() && value.get_mut().is_none();
            drop(value);
            is_out_of_reach && !is_dropped.load(Ordering::Relaxed)
        });
        drop(value);
        assert!(is_dropped.load(Ordering::Relaxed));
    }

    /// Each process of a line differs from its ancestors, whatever their ids; threads of one process agree.
    #[test]
    fn no_descendant_is_taken_for_its_ancestor() {
        let me = Process::current();
        assert_eq!(thread::spawn(Process::current).join().expect("a thread"), me);
        in_forked_child(|| {
            // A child that is asked for its number only after it has forked.
            in_forked_child(|| Process::current() > me);
            let child = Process::current();
            in_forked_child(|| {
                let grandchild = Process::current();
                in_forked_child(|| Process::current() > grandchild);
                grandchild > child && !me.is_current() && !child.is_current()
            });
            child > me && child.is_current()
        });
        assert!(me.is_current());
    }

    #[test]
    fn a_child_has_a_static_value_of_its_own() {
        static VALUE: PerProcess<GlobalMutex<u32>> = PerProcess::new();
        *VALUE.get().lock().expect("a lock") = 1;
        // A lock for which the child would wait for ever.
        let held = VALUE.get().lock().expect("a lock");
        in_forked_child(|| {
            let mut value = VALUE.get().lock().expect("a lock");
            *value += 5;
            *value == 5
        });
        assert_eq!(*held, 1);
    }

    /// Ids are used again: the first process of a namespace has the id 1, and so has the first one of a namespace that
    /// this process makes.
    #[test]
    fn a_child_with_the_id_of_its_parent_is_another_process() {
        // SAFETY: concerns only later children of the calling process, which is a child of the test.
        let enter = || unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0;
        in_forked_child(|| {
            if !enter() {
                eprintln!("skipped: needs the right to make a process namespace");
                return true;
            }
            in_forked_child(|| {
                let value = OfProcess::new(std::process::id());
                assert!(value.get() == Some(&1) && enter());
                in_forked_child(|| std::process::id() == 1 && value.get().is_none());
                true
            });
            true
        });
    }
}
