//! The counter that the times of records are taken from, and how it stands to the clocks of the system.

/// A counter that goes on at a steady rate, is the same on all processors, and never goes back while the system runs.
///
/// The zero bytes are [`Counter::Clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Counter {
    /// The nanoseconds of the system's clock that is never set.
    Clock = 0,
    /// The processor's time stamp counter.
    Stamps = 1,
}

/// One moment by the counter and by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Moment {
    /// The wall clock: nanoseconds since 1970-01-01T00:00:00Z.
    pub(crate) wall: i64,
    /// The clock that is never set, in nanoseconds.
    pub(crate) clock: u64,
    pub(crate) counter: u64,
}

/// How often the clocks are read for a moment: the best of them counts, since a thread can be stopped in between.
const TRIES: usize = 3;

impl Counter {
    /// The cheapest counter that is right here. The kernel compares the time stamp counters of all processors, and reads
    /// the time from them only as long as they agree and go on at one rate: so its choice is the proof.
    pub(crate) fn choose() -> Counter {
        const CHOICE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        let can_read = cfg!(all(target_arch = "x86_64", not(any(loom, miri))));
        if can_read && std::fs::read_to_string(CHOICE).is_ok_and(|choice| choice.trim() == "tsc") {
            Counter::Stamps
        } else {
            Counter::Clock
        }
    }

    /// The counter that has this number in a map; `None` if this program cannot read it.
    pub(crate) fn of(number: u32) -> Option<Counter> {
        match number {
            0 => Some(Counter::Clock),
            1 if cfg!(target_arch = "x86_64") => Some(Counter::Stamps),
            _ => None,
        }
    }

    /// The number of counts so far.
    #[inline(always)]
    pub(crate) fn now(self) -> u64 {
        match self {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            // SAFETY: the instruction reads a register.
            Counter::Stamps => unsafe { std::arch::x86_64::_rdtsc() },
            _ => steady(),
        }
    }

    /// This moment. The counter and the clocks are read within some ten nanoseconds.
    pub(crate) fn moment(self) -> Moment {
        let look = || {
            let before = self.now();
            let (clock, wall) = (steady(), wall());
            let width = self.now().wrapping_sub(before);
            (width, Moment { wall, clock, counter: before.wrapping_add(width / 2) })
        };
        let looks: [_; TRIES] = std::array::from_fn(|_| look());
        let best = looks.into_iter().min_by_key(|(width, _)| *width);
        best.map(|(_, moment)| moment).unwrap_or_default()
    }
}

/// The clock that is never set, in nanoseconds.
#[cold]
fn steady() -> u64 {
    #[cfg(not(any(loom, miri)))]
    let nanoseconds = nanoseconds(libc::CLOCK_MONOTONIC).cast_unsigned();
    #[cfg(any(loom, miri))]
    let nanoseconds = 0;
    nanoseconds
}

/// The wall clock, in nanoseconds since the epoch.
fn wall() -> i64 {
    #[cfg(not(any(loom, miri)))]
    let nanoseconds = nanoseconds(libc::CLOCK_REALTIME);
    #[cfg(any(loom, miri))]
    let nanoseconds = 0;
    nanoseconds
}

/// The reading of a clock by the C library, which makes no system call where the kernel offers that. (`rustix` reads the
/// same, but finds the kernel's function by itself, and crashes under valgrind while it does.)
#[cfg(not(any(loom, miri)))]
fn nanoseconds(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is the caller's own. The call cannot fail: every kernel has both clocks.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    fn counters() -> Vec<Counter> {
        let mut counters = vec![Counter::Clock];
        counters.extend([Counter::choose()].into_iter().filter(|it| *it == Counter::Stamps));
        counters
    }

    #[test]
    fn a_counter_goes_on_as_the_clocks_do() {
        for counter in counters() {
            let (first, begin) = (counter.moment(), std::time::Instant::now());
            while begin.elapsed() < std::time::Duration::from_millis(20) {
                std::hint::spin_loop();
            }
            let middle = counter.moment();
            while begin.elapsed() < std::time::Duration::from_millis(40) {
                std::hint::spin_loop();
            }
            let last = counter.moment();
            let since =
                |it: Moment| ((it.clock - first.clock) as f64, (it.counter - first.counter) as f64);
            // The line through the first and the last moment meets the one in the middle.
            let ((half, at), (all, counts)) = (since(middle), since(last));
            let error = (at * all / counts - half).abs();
            assert!(error < 20_000.0, "{counter:?}: {error} ns");
        }
    }

    #[test]
    fn a_counter_has_its_number() {
        for counter in counters() {
            assert_eq!(Counter::of(counter as u32), Some(counter));
        }
        assert_eq!(Counter::of(2), None);
    }
}
