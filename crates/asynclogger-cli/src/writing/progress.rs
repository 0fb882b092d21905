//! One line of progress on a terminal, which a thread of its own redraws.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use asynclogger::Stats;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::talk;
use crate::units::{show_bytes, show_count};

const REDRAW: Duration = Duration::from_millis(250);

/// The line of progress. The line is invisible if standard error is not a terminal.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Progress { bar }
    }

    /// From now on [`say`](crate::output::say) does not wait until its message is printed, and messages do
    /// not disturb the line.
    pub(crate) fn never_wait(&self) {
        let bar = self.bar.clone();
        // An invisible bar has a lock too, which would be held while a line is printed.
        talk::begin(move |print| if bar.is_hidden() { print() } else { bar.suspend(print) });
    }

    /// Shows the counters from `stats` until the returned value is dropped.
    pub(crate) fn watch(&self, stats: impl Fn() -> Stats + Send + 'static) -> Watching {
        let worker = (!self.bar.is_hidden()).then(|| {
            let (stop, stopped) = mpsc::channel::<()>();
            let bar = self.bar.clone();
            let thread = thread::spawn(move || {
                let mut last = (Instant::now(), 0, 0);
                while stopped.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
                    last = redraw(&bar, stats(), last);
                }
            });
            (stop, thread)
        });
        Watching { bar: self.bar.clone(), worker }
    }
}

/// The text of the line. Rates are those since the last redraw, not averages of the whole run.
fn redraw(
    bar: &ProgressBar,
    stats: Stats,
    (then, records, bytes): (Instant, u64, u64),
) -> (Instant, u64, u64) {
    let now = Instant::now();
    let seconds = (now - then).as_secs_f64().max(1e-9);
    bar.set_message(format!(
        "{} records, {}/s; {} written, {:.1} MB/s; {} dropped",
        show_count(stats.accepted),
        show_count((stats.accepted.saturating_sub(records) as f64 / seconds) as u64),
        show_bytes(stats.payload_bytes),
        stats.payload_bytes.saturating_sub(bytes) as f64 / seconds / 1e6,
        show_count(stats.dropped_logs),
    ));
    (now, stats.accepted, stats.payload_bytes)
}

/// Ends the redrawing and removes the line when it is dropped.
pub(crate) struct Watching {
    bar: ProgressBar,
    worker: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.worker.take() {
            drop(stop);
            let _ = thread.join();
            self.bar.finish_and_clear();
        }
    }
}
