//! A file that is complete when it gets its name: until then it has none, or a hidden one, and it is synced before.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::{
    outcome::Failure,
    system::{create_nameless, create_new, give_rights, name, path_of, rename_new},
};

const BUFFER_BYTES: usize = 256 << 10;
/// How many hidden names are tried: a killed process can have left one.
const NAMES: u32 = 100;

/// The file without its name. A hidden name is removed with this value unless the file got its own.
pub(crate) struct NewFile {
    out: BufWriter<File>,
    /// The hidden name; `None` if there is none.
    hidden: Option<PathBuf>,
    path: PathBuf,
}

impl NewFile {
    /// A new empty file for `path`, without a name where the system has such files. The file cannot replace another one.
    pub(crate) fn nameless(path: &Path, mode: u32) -> Result<NewFile, Failure> {
        match create_nameless(directory_of(path), mode) {
            Ok(file) => Ok(NewFile::of(file, None, path)),
            Err(_) => NewFile::beside(path, mode),
        }
    }

    /// A new empty file with a hidden name beside `path`, with these rights, less what the process masks.
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
            result = create_new(&hidden, mode);
            match result {
                Ok(file) => return Ok(NewFile::of(file, Some(hidden), path)),
                Err(ref error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => break,
            }
        }
        let error = result.err().unwrap_or(io::ErrorKind::AlreadyExists.into());
        Err(Failure::io(format_args!("{}: cannot make a file beside", path.display()), error))
    }

    fn of(file: File, hidden: Option<PathBuf>, path: &Path) -> NewFile {
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        NewFile { out, hidden, path: path.to_owned() }
    }

    /// A path at which this process can read the file.
    pub(crate) fn readable(&self) -> PathBuf {
        self.hidden.clone().unwrap_or_else(|| path_of(self.out.get_ref()))
    }

    /// Gives the file its name, and replaces a file of that name.
    pub(crate) fn replace(mut self) -> Result<(), Failure> {
        self.complete()
            .and_then(|()| fs::rename(self.readable(), &self.path))
            .map_err(|error| self.failure(error))?;
        self.named()
    }

    /// Gives the file its name and the rights of another file, if no file has that name.
    pub(crate) fn keep(mut self, rights_of: &Metadata) -> Result<(), Failure> {
        let rights = give_rights(self.out.get_ref(), rights_of);
        rights.and_then(|()| self.complete()).map_err(|error| self.failure(error))?;
        let named = match &self.hidden {
            Some(hidden) => rename_new(hidden, &self.path),
            None => name(self.out.get_ref(), &self.path),
        };
        match named {
            Ok(()) => self.named(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&self.path)),
            Err(error) => Err(self.failure(error)),
        }
    }

    fn complete(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }

    /// The file has its name; the directory is synced, so that the name stays, too.
    fn named(&mut self) -> Result<(), Failure> {
        self.hidden = None;
        // Some systems cannot sync a directory.
        let _ = File::open(directory_of(&self.path)).and_then(|directory| directory.sync_all());
        Ok(())
    }

    fn failure(&self, error: io::Error) -> Failure {
        Failure::io(format_args!("{}: cannot be written", self.path.display()), error)
    }
}

fn directory_of(path: &Path) -> &Path {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
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
        if let Some(hidden) = &self.hidden {
            // The name is of this process, and no other file can have come to it.
            let _ = fs::remove_file(hidden);
        }
    }
}
