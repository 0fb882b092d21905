//! The flusher of a manager, round by round on the test's thread.

use super::*;
use crate::{
    Config, LogError, Overflow, Position,
    write::{
        common::Ending,
        events::{
            Callers, Setup, event::Event, handle::EventHandle, memory::TAG, opener::Opener, set_up,
        },
    },
};

struct Manager {
    callers: Arc<Callers>,
    shared: Arc<Shared>,
    opener: Opener,
    worker: Worker,
    stop: Stop,
    _directory: tempfile::TempDir,
}

impl Manager {
    fn new(configure: impl FnOnce(Config) -> Config) -> Manager {
        let directory = tempfile::tempdir().expect("a directory");
        let config = configure(Config::new(directory.path().join("base.log")));
        let setup = set_up(config.validate().expect("valid")).expect("a manager");
        let Setup { callers, shared, opener, shares, max_open, .. } = setup;
        let memory = Memory::new(&shares, None).expect("memory");
        let worker = Worker::new(shared.clone(), memory, max_open);
        Manager { callers, shared, opener, worker, stop: Stop::default(), _directory: directory }
    }

    fn event(&mut self, name: &str) -> (Arc<Event>, EventHandle) {
        let Ok(event) = self.opener.open(&self.shared, &self.callers, name) else {
            panic!("{name} is not opened")
        };
        let handle = EventHandle::new(&self.callers, &event);
        (event, handle)
    }

    fn round(&mut self) -> Round {
        self.worker.round(&self.stop)
    }

    /// Rounds until there is nothing to do now.
    fn rounds(&mut self) {
        while self.round() == Round::Busy {}
    }

    fn flush(&mut self) {
        let ticket = self.shared.gate.request();
        let answer = loop {
            self.round();
            if let Some(answer) = self.shared.gate.answer(ticket) {
                break answer;
            }
        };
        answer.expect("a flush");
    }

    /// Until all is written and closed.
    fn close(mut self) {
        let gate = |manager: &Manager| manager.shared.gate.ending();
        self.shared.shards.close(Instant::now());
        self.shared.gate.set_ending(Ending::Closing);
        while gate(&self) != Ending::Closed {
            self.round();
        }
    }
}

fn log(handle: &EventHandle, record: &[u8]) -> Result<Position, LogError> {
    handle.append_bytes(record)
}

/// The promise to the quiet: from the moment in which the flusher takes up a buffer while fewer than half are
/// free, the event with the most of it takes nothing, and others find room, until three quarters are free.
#[test]
fn who_crowds_the_shared_buffers_is_refused_until_most_are_free() {
    for overflow in [Overflow::Drop, Overflow::Block] {
        let mut manager = Manager::new(|config| config.num_shards(2).overflow(overflow));
        let (noisy_event, noisy) = manager.event("noisy");
        let (quiet_event, quiet) = manager.event("quiet");
        let sealed = |manager: &Manager| manager.shared.shards.pool().sealed_count();
        // One thread, and so one shard: of eight buffers six are sealed, and one is written to.
        while sealed(&manager) < 6 {
            log(&noisy, &[1; 4_000]).expect("there is room");
        }
        log(&quiet, b"before").expect("there is room");
        assert!(!noisy_event.is_held());
        // Four are sorted at once: five of eight are free then.
        manager.worker.take_orders();
        manager.worker.sort();
        assert_eq!(sealed(&manager), 2);
        let drops = overflow == Overflow::Drop;
        assert_eq!((noisy_event.is_held(), quiet_event.is_held()), (drops, false));
        if drops {
            assert_eq!(log(&noisy, b"refused"), Err(LogError::Full));
        }
        log(&quiet, b"taken").expect("there is room");
        // The rest is sorted: seven are free.
        manager.worker.sort();
        assert!(!noisy_event.is_held());
        log(&noisy, b"taken again").expect("there is room");
        manager.flush();
        assert_eq!(quiet_event.session().written().durable, 2);
        assert_eq!(noisy_event.session().dropped().total(), u64::from(drops));
        manager.close();
    }
}

#[test]
fn a_position_is_durable_once_a_flush_behind_it_has_succeeded() {
    let mut manager = Manager::new(|config| config.num_shards(1));
    let (first_event, first) = manager.event("first");
    let (second_event, second) = manager.event("second");
    let is_durable = |manager: &Manager, event: &Event, position: &Position| {
        manager.shared.is_durable(event, position)
    };
    let before = log(&first, b"before").expect("taken");
    // The record of an event that was closed before the record was sorted.
    let nobodys = manager.callers.ingest().append(TAG + 1, |room| room.fill(0x77)).expect("taken");
    let nobodys = first_event.position(nobodys);
    let other = log(&second, b"other").expect("taken");
    manager.rounds();
    assert!(!is_durable(&manager, &first_event, &before), "nobody asked");
    manager.flush();
    assert!(is_durable(&manager, &first_event, &before));
    assert!(is_durable(&manager, &second_event, &other));
    assert!(!is_durable(&manager, &second_event, &before), "of another event");
    assert!(!is_durable(&manager, &first_event, &nobodys), "it was dropped");
    let behind = log(&first, b"behind").expect("taken");
    assert!(!is_durable(&manager, &first_event, &behind));
    manager.close();
}

/// The flusher must not sleep through an end, spin while it only waits for an end, or leave before it.
#[test]
fn an_end_is_news_until_the_manager_is_closed() {
    for ending in [Ending::Closing, Ending::Abandoned] {
        let mut manager = Manager::new(|config| config.num_shards(1));
        let (event, handle) = manager.event("event");
        log(&handle, b"record").expect("there is room");
        manager.flush();
        manager.stop = Stop::asked();
        manager.rounds();
        let has_news = |manager: &Manager| manager.worker.has_news(&manager.stop);
        assert!(!has_news(&manager), "{ending:?}: nothing has come");
        manager.shared.shards.close(Instant::now());
        manager.shared.gate.set_ending(ending);
        assert!(has_news(&manager), "{ending:?}: the end has come");
        // Every round that finds news is busy: a flusher that has news and nothing to do spins.
        while manager.shared.gate.ending() != Ending::Closed {
            let had_news = has_news(&manager);
            let round = manager.round();
            let is_closed = manager.shared.gate.ending() == Ending::Closed;
            assert!(
                is_closed || round != Round::Over,
                "{ending:?}: the flusher leaves before the end"
            );
            assert!(!had_news || round == Round::Busy, "{ending:?}: the flusher spins");
        }
        assert_eq!(manager.worker.endings.is_abandoned(), ending == Ending::Abandoned);
        assert!(!event.is_open() && manager.worker.sorter.is_empty());
        assert!(has_news(&manager), "{ending:?}: the stop is asked");
        assert_eq!(manager.round(), Round::Over, "{ending:?}");
        manager.stop = Stop::default();
        assert!(!has_news(&manager) && manager.round() == Round::Idle, "{ending:?}");
    }
}

/// A record that waits for memory is given up after the last handle only.
#[test]
fn nothing_is_given_up_while_a_handle_is_left() {
    let mut manager = Manager::new(|config| config.num_shards(1));
    let gives_up = |manager: &Manager| {
        let is_abandoned = manager.worker.endings.is_abandoned();
        manager.worker.stuck.gives_up_at(is_abandoned).is_some()
    };
    manager.worker.stuck.waits(true);
    assert!(!gives_up(&manager));
    manager.shared.gate.set_ending(Ending::Abandoned);
    let Worker { shared, sorting, sorter, endings, .. } = &mut manager.worker;
    assert!(endings.advance(shared, sorting, sorter));
    assert!(gives_up(&manager));
    manager.worker.stuck.is_over();
    assert!(!gives_up(&manager));
}
