//! What the commands have in common that look again and again until a signal comes.

use std::{collections::BTreeSet, io, time::Duration};

use crate::{
    outcome::Failure,
    output::{Output, say},
    system::{Pause, StopSignal},
};

/// Waits between two looks, and says each thing once.
pub(super) struct Lookout {
    stop: StopSignal,
    /// Messages that were printed, so that they are not printed again.
    said: BTreeSet<String>,
}

impl Lookout {
    pub(super) fn begin() -> Result<Lookout, Failure> {
        let stop = StopSignal::install();
        let stop = stop.map_err(|error| Failure::io("cannot catch signals", error))?;
        Ok(Lookout { stop, said: BTreeSet::new() })
    }

    /// Waits for `time`. `false`: a signal asked for the end, or the reader of the output has gone.
    pub(super) fn goes_on(&self, time: Duration, output: &Output) -> io::Result<bool> {
        Ok(self.stop.pause(time, output.stdout())? == Pause::Over)
    }

    pub(super) fn say_once(&mut self, text: String) {
        if self.said.insert(text.clone()) {
            say(text);
        }
    }
}
