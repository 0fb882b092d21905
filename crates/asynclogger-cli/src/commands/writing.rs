//! The commands that write.

use super::{bench, salvage, write};
use crate::{
    outcome::{Answer, Failure},
    writing::args::Writing,
};

pub(crate) fn run(command: Writing) -> Result<Answer, Failure> {
    match command {
        Writing::Write(args) => write::run(args),
        Writing::Salvage(args) => salvage::run(args),
        #[cfg(feature = "ship")]
        Writing::Ship(args) => super::ship::run(args),
        Writing::Bench(args) => bench::run(args),
    }
}
