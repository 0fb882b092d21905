//! The public face: settings, a run to the end, and a shipper that goes on beside a program.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use asynclogger::{Archive, Archived};
use asynclogger_store::{Location, Store};

use crate::{
    Error, ErrorKind, Event, Health, Layout, Summary,
    control::Control,
    layout::encode,
    outlook::{HealthCell, Listener, Outlook},
    run::Run,
    sending::Way,
};

/// How often a watching shipper looks at the directory unless it is told of a segment.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// What happens when more bytes wait to be shipped than may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverLimit {
    /// Nothing is deleted; [`Health::Failing`] says so. The default.
    #[default]
    Wait,
    /// The oldest segments are deleted without having been shipped; the next manifest declares them.
    DeleteOldest,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) delete: bool,
    pub(crate) finish: bool,
    pub(crate) concurrency: usize,
    pub(crate) keep_local: Option<(u64, OverLimit)>,
    pub(crate) patience: Option<Duration>,
}

/// Ships the archived segments of a directory to an object store; see the [crate's page](crate).
///
/// A value of settings: [`run`](Shipper::run) ships what is there and returns, [`start`](Shipper::start) goes on in a thread.
#[derive(Clone)]
#[must_use]
pub struct Shipper {
    store: Store,
    layout: Layout,
    host: String,
    part_bytes: usize,
    rate: Option<u64>,
    settings: Settings,
    listener: Option<Listener>,
    control: Control,
    health: HealthCell,
}

impl Shipper {
    /// A shipper to the store at a URL, which has no credentials in it; see [`Store::open`].
    ///
    /// # Errors
    ///
    /// `Settings`: the URL or the environment makes no sense.
    pub fn to(url: &str) -> Result<Shipper, Error> {
        let location = Location::parse(url)?;
        Shipper::to_store(Store::at(location)?)
    }

    /// A shipper to a store that is open.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn to_store(store: Store) -> Result<Shipper, Error> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Shipper {
            store,
            layout: Layout::parse(Layout::DEFAULT)?,
            host,
            part_bytes: 8 << 20,
            rate: None,
            settings: Settings {
                delete: false,
                finish: false,
                concurrency: 2,
                keep_local: None,
                patience: Some(Duration::from_secs(300)),
            },
            listener: None,
            control: Control::default(),
            health: HealthCell::default(),
        })
    }

    /// The names of the objects. Default: [`Layout::DEFAULT`].
    pub fn layout(mut self, layout: Layout) -> Shipper {
        self.layout = layout;
        self
    }

    /// What stands for `{host}` and in the names of manifests. Default: the name of the host.
    pub fn host(mut self, host: impl Into<String>) -> Shipper {
        self.host = host.into();
        self
    }

    /// Reads each object back, compares it with the file, and deletes the file once a manifest lists the object. Default: no.
    pub fn delete_after_verify(mut self, delete: bool) -> Shipper {
        self.settings.delete = delete;
        self
    }

    /// Gives the active files of logs that nobody writes an archived name, so that they are shipped, too. For a directory that
    /// no program writes any more. Default: no.
    pub fn finish(mut self, finish: bool) -> Shipper {
        self.settings.finish = finish;
        self
    }

    /// The most bytes a second that are sent, over all uploads; at least 1. Default: no limit.
    pub fn rate(mut self, bytes_per_second: u64) -> Shipper {
        self.rate = Some(bytes_per_second.max(1));
        self
    }

    /// How many segments are on their way at a time, each with two parts; at least 1. Default: 2.
    pub fn concurrency(mut self, segments: usize) -> Shipper {
        self.settings.concurrency = segments.max(1);
        self
    }

    /// The size of a part in bytes, at least 5 MiB. Three parts of each segment that is on its way are in memory. Default: 8 MiB.
    pub fn part_bytes(mut self, bytes: usize) -> Shipper {
        self.part_bytes = bytes;
        self
    }

    /// How many bytes of segments may wait on the disk, and what happens with more. Default: no limit.
    pub fn keep_local(mut self, bytes: u64, over_limit: OverLimit) -> Shipper {
        self.settings.keep_local = Some((bytes, over_limit));
        self
    }

    /// How long [`run`](Shipper::run) goes on without an answer of the store before it gives up. Default: five minutes.
    pub fn patience(mut self, patience: Duration) -> Shipper {
        self.settings.patience = Some(patience);
        self
    }

    /// A function that is told of each event, on the shipper's thread. Default: none.
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Shipper {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// What commands this shipper, from any thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { control: self.control.clone(), health: self.health.clone() }
    }

    /// Ships all archived segments of `dir`, and returns.
    ///
    /// # Errors
    ///
    /// `Settings`; `InUse`: another shipper ships this directory to this destination; `Local`; `Unavailable` and `Denied`: the
    /// store has not answered for as long as [`patience`](Shipper::patience) says, or refuses; `Stopped`. What was shipped
    /// by then is in the journal.
    pub fn run(&self, dir: impl AsRef<Path>) -> Result<Summary, Error> {
        let mut run = self.open(dir.as_ref())?;
        run.drain()?;
        Ok(run.summary().clone())
    }

    /// Ships all archived segments of `dir`, waits for further ones and ships them, until [`Handle::stop`].
    ///
    /// # Errors
    ///
    /// `Settings`, `InUse`, `Local`. A store that does not answer is waited for.
    pub fn watch(&self, dir: impl AsRef<Path>) -> Result<Summary, Error> {
        let mut patient = self.clone();
        patient.settings.patience = None;
        let run = patient.open(dir.as_ref())?;
        watch(run, &self.control)
    }

    /// The same as [`watch`](Shipper::watch), on a thread of its own.
    ///
    /// # Errors
    ///
    /// `Settings`, `InUse`, `Local`: the directory does not exist, or no thread can be started.
    pub fn start(&self, dir: impl AsRef<Path>) -> Result<Shipping, Error> {
        let mut patient = self.clone();
        patient.settings.patience = None;
        let run = patient.open(dir.as_ref())?;
        let (control, health) = (self.control.clone(), self.health.clone());
        let thread = thread::Builder::new().name("alog-ship".to_owned()).spawn(move || {
            let ended = watch(run, &control);
            if let Err(error) = &ended {
                health.failing(error.clone());
            }
            ended
        });
        let thread = thread.map_err(Error::local("start a thread for", dir.as_ref()))?;
        Ok(Shipping { handle: self.handle(), thread: Some(thread) })
    }

    fn open(&self, dir: &Path) -> Result<Run, Error> {
        let archive = Archive::open(dir).map_err(|error| Error::of_log(&error))?;
        let way = Way {
            store: self.store.clone(),
            layout: self.layout.clone(),
            host: self.host.clone(),
            part_bytes: self.part_bytes,
            rate: self.rate,
            read_back: self.settings.delete,
            control: self.control.clone(),
        };
        let outlook = Outlook::new(self.health.clone(), self.listener.clone());
        Run::new(self.settings.clone(), way, archive, outlook)
    }
}

fn watch(mut run: Run, control: &Control) -> Result<Summary, Error> {
    loop {
        match run.drain() {
            Ok(()) => control.wait_for_news(WATCH_INTERVAL),
            Err(error) if error.kind() == ErrorKind::Stopped => return Ok(run.summary().clone()),
            Err(error) => return Err(error),
        }
    }
}

impl fmt::Debug for Shipper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipper")
            .field("store", &self.store)
            .field("layout", &self.layout.to_string())
            .field("host", &encode(self.host.as_bytes()))
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What commands a shipper, from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    control: Control,
    health: HealthCell,
}

impl Handle {
    /// Lets the shipper look at the directory now. Does not wait.
    pub fn notify(&self) {
        self.control.notify();
    }

    /// Tells the shipper to end: parts on their way are aborted, the journal stays true. Does not wait.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// How the shipper is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.get()
    }
}

/// A shipper that goes on beside a program; made by [`Shipper::start`]. Dropped, it is told to stop and waited for.
#[derive(Debug)]
pub struct Shipping {
    handle: Handle,
    thread: Option<JoinHandle<Result<Summary, Error>>>,
}

impl Shipping {
    /// What commands the shipper.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// A function for [`Config::on_archived`](asynclogger::Config::on_archived): it lets the shipper look, and does not wait.
    pub fn on_archived(&self) -> impl Fn(&Archived) + Send + Sync + 'static {
        let handle = self.handle();
        move |_| handle.notify()
    }

    /// Tells the shipper to end, and waits for its end: for the request that is under way, at most.
    ///
    /// # Errors
    ///
    /// What ended the shipper before.
    pub fn stop(mut self) -> Result<Summary, Error> {
        self.end()
    }

    fn end(&mut self) -> Result<Summary, Error> {
        self.handle.stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(Error::new(ErrorKind::Other, "the shipper's thread panicked")),
            None => Ok(Summary::default()),
        }
    }
}

impl Drop for Shipping {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
