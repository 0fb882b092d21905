//! The same for Windows.

use std::{
    fs::{self, File, Metadata},
    io,
    os::windows::fs::MetadataExt,
    path::Path,
    thread,
    time::Duration,
};

pub(crate) use std::io::Stdout;

pub(crate) fn stdout() -> io::Result<Stdout> {
    Ok(io::stdout())
}

/// Which file it is: another one at the same path was made at another time.
pub(crate) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.creation_time(), 0)
}

/// A file that did not exist. It inherits the rights of its directory.
pub(crate) fn create_new(path: &Path, _mode: u32) -> io::Result<File> {
    File::create_new(path)
}

/// The rights are those of the directory.
pub(crate) fn give_rights(_file: &File, _of: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Gives a file another name, which no file has.
pub(crate) fn rename_new(old: &Path, new: &Path) -> io::Result<()> {
    fs::hard_link(old, new)?;
    fs::remove_file(old)
}

/// The reason why a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The time of the pause has passed.
    Over,
}

/// Ctrl-C ends the process at once, so there is nothing to wait for: what was printed is flushed before each pause.
pub(crate) struct StopSignal(());

impl StopSignal {
    pub(crate) fn install() -> io::Result<StopSignal> {
        Ok(StopSignal(()))
    }

    /// Waits for `time`. That the reader of the output has gone shows when it is written to.
    pub(crate) fn pause(&self, time: Duration, _output: &Stdout) -> io::Result<Pause> {
        thread::sleep(time);
        Ok(Pause::Over)
    }
}
