//! Where files go.

use std::{
    fmt,
    fs::{self, File, Permissions},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::Format;

const BUFFER_BYTES: usize = 256 << 10;
/// What each file of an export has near its beginning (Arrow, JSON Lines) or its end (Parquet).
const MARK: &[u8] = b"asynclogger.version";
/// How much of a file is looked at for the mark.
const LOOK_BYTES: u64 = 64 << 10;

/// A place for files with names: a directory, a bucket of an object store.
///
/// A name has slashes between its parts, none of which is empty, `.` or `..`.
pub trait Destination: fmt::Debug + Send + Sync {
    /// Begins a file, which is not there before it is [finished](Begun::finish).
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, if something stands there that is no file of an export in this format; any other error of the
    /// system.
    fn begin(&self, name: &str, format: Format) -> io::Result<Box<dyn Begun>>;
}

/// A file that is written. If it is dropped, it is forgotten.
pub trait Begun: Write + Send {
    /// Makes the file durable, and gives it its name. An earlier file of that name is replaced.
    ///
    /// # Errors
    ///
    /// Any error of the system.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A directory of this system. A file has a hidden name beside its own until it is complete.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory at `path`, which is made if it is not there.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Directory {
        Directory { path: path.into() }
    }
}

impl Destination for Directory {
    fn begin(&self, name: &str, format: Format) -> io::Result<Box<dyn Begun>> {
        let path = self.path.join(name);
        let (Some(directory), Some(file_name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        fs::create_dir_all(directory)?;
        refuse_foreign(&path, format)?;
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(file_name);
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".part");
        #[cfg(unix)]
        let builder = {
            use std::os::unix::fs::PermissionsExt;
            // Less what the process masks.
            builder.permissions(Permissions::from_mode(0o666))
        };
        let file = BufWriter::with_capacity(BUFFER_BYTES, builder.tempfile_in(directory)?);
        Ok(Box::new(LocalFile { file, path, format }))
    }
}

struct LocalFile {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    format: Format,
}

impl Write for LocalFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Begun for LocalFile {
    fn finish(self: Box<Self>) -> io::Result<()> {
        let LocalFile { file, path, format } = *self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        refuse_foreign(&path, format)?;
        file.persist(&path).map_err(|error| error.error)?;
        // Some systems cannot sync a directory.
        let _ = path.parent().map(|directory| File::open(directory).and_then(|it| it.sync_all()));
        Ok(())
    }
}

/// Refuses a path at which something else stands than a file of an export.
fn refuse_foreign(path: &Path, format: Format) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.is_file() && is_ours(path, found.len(), format)? {
        return Ok(());
    }
    let text = "exists, and is no file of an earlier export";
    Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
}

fn is_ours(path: &Path, length: u64, format: Format) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if format == Format::Parquet {
        file.seek(SeekFrom::Start(length.saturating_sub(LOOK_BYTES)))?;
    }
    let mut bytes = Vec::new();
    BufReader::new(file).take(LOOK_BYTES).read_to_end(&mut bytes)?;
    let mark = match format {
        Format::Parquet | Format::Arrow => MARK,
        Format::JsonLines => return Ok(bytes.starts_with(super::json_lines::BEGINNING)),
    };
    Ok(bytes.windows(mark.len()).any(|window| window == mark))
}
