//! Loggers whose memory outlives the process: what was accepted is in the log after the next opening.

mod at_exit;
mod cgroup;
mod counts;
mod damage;
mod damage_to_events;
mod dying;
mod endings;
mod forks;
mod killing;
mod maps;
mod rooms;
mod worker;

pub use counts::Counts;
pub use worker::Random;
