//! Loggers whose memory outlives the process: what was accepted is in the log after the next opening.

mod counts;
mod endings;
mod killing;
mod maps;
mod worker;
