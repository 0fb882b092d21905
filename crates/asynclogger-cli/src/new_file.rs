//! A file that is complete when it gets its name: it is written under a hidden name beside, and synced.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use crate::outcome::Failure;

const BUFFER_BYTES: usize = 256 << 10;
/// How many hidden names are tried: a killed process can have left one.
const NAMES: u32 = 100;

/// The file under its hidden name, which is removed with this value unless the file got its own name.
pub(crate) struct NewFile {
    out: BufWriter<File>,
    hidden: PathBuf,
    path: PathBuf,
    has_name: bool,
}

impl NewFile {
    /// A new empty file beside `path`, with these rights, less what the process masks.
    pub(crate) fn beside(path: &Path, mode: u32) -> Result<NewFile, Failure> {
        let Some(name) = path.file_name() else {
            return Err(Failure::Usage(format!("{}: not the name of a file", path.display())));
        };
        let mut result = Err(io::ErrorKind::AlreadyExists.into());
        for number in 0..NAMES {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}-{number}.part", std::process::id()));
            let hidden = path.with_file_name(hidden);
            result = OpenOptions::new().write(true).create_new(true).mode(mode).open(&hidden);
            match result {
                Ok(file) => {
                    let out = BufWriter::with_capacity(BUFFER_BYTES, file);
                    let path = path.to_owned();
                    return Ok(NewFile { out, hidden, path, has_name: false });
                }
                Err(ref error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => break,
            }
        }
        let error = result.err().unwrap_or(io::ErrorKind::AlreadyExists.into());
        Err(Failure::io(format_args!("{}: cannot make a file beside", path.display()), error))
    }

    /// The hidden name.
    pub(crate) fn hidden(&self) -> &Path {
        &self.hidden
    }

    /// Gives the file its name, and replaces a file of that name.
    pub(crate) fn replace(mut self) -> Result<(), Failure> {
        self.complete()
            .and_then(|()| fs::rename(&self.hidden, &self.path))
            .map_err(|error| self.failure(error))?;
        self.named()
    }

    /// Gives the file its name and these rights, if no file has that name.
    pub(crate) fn keep(mut self, mode: u32) -> Result<(), Failure> {
        let rights = self.out.get_ref().set_permissions(Permissions::from_mode(mode));
        rights.and_then(|()| self.complete()).map_err(|error| self.failure(error))?;
        match self.rename_without_replacing() {
            Ok(()) => self.named(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&self.path)),
            Err(error) => Err(self.failure(error)),
        }
    }

    fn rename_without_replacing(&self) -> io::Result<()> {
        match renameat_with(CWD, &self.hidden, CWD, &self.path, RenameFlags::NOREPLACE) {
            // Not every file system has this; links never replace a file, either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs::hard_link(&self.hidden, &self.path)?;
                fs::remove_file(&self.hidden)
            }
            renamed => Ok(renamed?),
        }
    }

    fn complete(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }

    /// The file has its name; the directory is synced, so that the name stays, too.
    fn named(&mut self) -> Result<(), Failure> {
        self.has_name = true;
        let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        // Some file systems cannot sync a directory.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        Ok(())
    }

    fn failure(&self, error: io::Error) -> Failure {
        Failure::io(format_args!("{}: cannot be written", self.path.display()), error)
    }
}

/// The refusal to replace a file.
pub(crate) fn exists(path: &Path) -> Failure {
    Failure::Usage(format!("{}: exists, and is not replaced", path.display()))
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.has_name {
            // The name is of this process, and no other file can have come to it.
            let _ = fs::remove_file(&self.hidden);
        }
    }
}
