//! The real Apache httpd, and `write` as its piped log.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::wait_until;
use crate::support::Place;

const MODULES: &str = "/usr/lib/apache2/modules";
const PROGRAMS: [&str; 2] = ["/usr/sbin/apache2", "/usr/sbin/httpd"];

/// More than what the sockets hold: the request is over when the client has read nearly all.
const SLOW_BYTES: usize = 24 << 20;
const RESTARTS: u64 = 4;

/// For so long a download goes on after a restart.
const HOLD: Duration = Duration::from_millis(300);

/// Ends the clients, also if the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The loggers of this place that catch SIGTERM.
fn loggers_of(place: &Place) -> BTreeSet<String> {
    const TERM: u64 = 1 << 14;
    let log = place.file("access.log").into_os_string().into_string().expect("text");
    let processes = fs::read_dir("/proc").expect("/proc").map(|entry| entry.expect("it").path());
    let is_ours = |path: &std::path::PathBuf| {
        let text = |name| fs::read_to_string(path.join(name)).unwrap_or_default();
        let caught = text("status")
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:").map(str::trim).map(str::to_owned));
        let caught = caught.and_then(|set| u64::from_str_radix(&set, 16).ok()).unwrap_or(0);
        caught & TERM != 0 && text("cmdline").contains(&log)
    };
    processes.filter(is_ours).map(|path| path.display().to_string()).collect()
}

/// Prints what was said if the test fails.
struct OnPanic<F: Fn() -> String>(F);

impl<F: Fn() -> String> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", (self.0)());
        }
    }
}

struct Httpd {
    child: Child,
    address: SocketAddr,
}

impl Httpd {
    fn start(place: &Place, program: &str, log: &str) -> Httpd {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = address.expect("a port");
        let dir = place.dir();
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir, everybody).expect("the directory of the test");
        fs::create_dir(place.file("www")).expect("a directory");
        place.put("www/page", b"hello\n");
        place.put("www/slow", &vec![b'x'; SLOW_BYTES]);
        // Whoever starts as root has to say as whom requests are answered.
        let user = if geteuid().is_root() { "User nobody\nGroup nogroup\n" } else { "" };
        let modules: String = ["mpm_event", "authz_core"]
            .iter()
            .filter(|name| Path::new(&format!("{MODULES}/mod_{name}.so")).exists())
            .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
            .collect();
        let dir = dir.display();
        let config = format!(
            "{modules}{user}\
             ServerRoot \"{dir}\"\nServerName localhost\nListen {address}\nPidFile \"{dir}/pid\"\n\
             DefaultRuntimeDir \"{dir}\"\nDocumentRoot \"{dir}/www\"\nErrorLog \"{dir}/error.log\"\n\
             KeepAlive Off\nTimeout 60\nSendBufferSize 65536\n\
             LogFormat \"%U?%q\" path\nCustomLog \"|{log}\" path\n"
        );
        let config = place.put("httpd.conf", config.as_bytes());
        let child = Command::new(program)
            .args(["-DFOREGROUND", "-f"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(place.file("stderr")).expect("a file"))
            .spawn()
            .expect("httpd starts");
        let httpd = Httpd { child, address };
        wait_until("httpd answers", || {
            let said = fs::read_to_string(place.file("stderr")).unwrap_or_default();
            assert!(said.is_empty() || said.starts_with("AH00558"), "{said}");
            httpd.get("page?ready", || ()).is_ok()
        });
        httpd
    }

    /// Fetches a page, with a pause behind the first piece; it is in the log if this is no error.
    fn get(&self, page: &str, pause: impl FnOnce()) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET /{page} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut piece = vec![0; 1 << 20];
        let (mut begin, mut pause) = (Vec::new(), Some(pause));
        loop {
            let len = stream.read(&mut piece)?;
            if len == 0 {
                break;
            }
            begin.extend_from_slice(&piece[..len.min(64_usize.saturating_sub(begin.len()))]);
            if let Some(pause) = pause.take() {
                pause();
            }
        }
        let is_answered = begin.starts_with(b"HTTP/1.1 200");
        is_answered.then_some(()).ok_or_else(|| io::Error::other("no answer"))
    }

    fn restart(&self) {
        kill_process(Pid::from_child(&self.child), Signal::USR1).expect("sent");
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn graceful_restarts_of_httpd_lose_no_line() {
    let Some(program) = PROGRAMS.into_iter().find(|program| Path::new(program).exists()) else {
        println!("skipped: Apache httpd is not installed");
        return;
    };
    let place = Place::new();
    let (bin, log) = (env!("CARGO_BIN_EXE_asynclogger"), place.file("access.log"));
    // On a machine that does much else a download takes longer than a usual grace.
    let log = format!("{bin} write --grace 40s --wait-lock 50s {}", log.display());
    let httpd = Httpd::start(&place, program, &log);
    // What was answered, by how often: each line has to be in the log.
    let answered = Mutex::new(BTreeMap::<String, usize>::new());
    let (is_over, restarts) = (AtomicBool::new(false), AtomicU64::new(0));
    let fetch = |page: String, pause: &dyn Fn()| {
        if httpd.get(&page, pause).is_ok() {
            let line = page.replacen('?', "??", 1);
            *answered.lock().expect("unpoisoned").entry(format!("/{line}")).or_default() += 1;
        }
    };
    let count = || answered.lock().expect("unpoisoned").len();
    thread::scope(|scope| {
        let _end = End(&is_over);
        for client in 0..3 {
            let (fetch, is_over) = (&fetch, &is_over);
            scope.spawn(move || {
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    fetch(format!("page?{client}-{number}"), &|| ());
                }
            });
        }
        // Each of these begins before its restart, and is over after it.
        let begun = AtomicU64::new(0);
        let (fetch, restarts, begun, is_over) = (&fetch, &restarts, Arc::new(begun), &is_over);
        let mut slow = Vec::new();
        for client in 0..RESTARTS {
            let begins = begun.clone();
            slow.push(scope.spawn(move || {
                let pause = || {
                    begins.fetch_add(1, Ordering::Relaxed);
                    wait_until("a restart", || {
                        restarts.load(Ordering::Relaxed) > client || is_over.load(Ordering::Relaxed)
                    });
                    // The next logger is there by now, and waits.
                    thread::sleep(HOLD);
                };
                fetch(format!("slow?{client}"), &pause);
            }));
        }
        wait_until("downloads", || begun.load(Ordering::Relaxed) == RESTARTS);
        let mut loggers = loggers_of(&place);
        for number in 0..RESTARTS {
            // Every second one comes as soon as httpd takes it: then three loggers or more are there at once.
            let before = count();
            if number % 2 == 0 {
                wait_until("requests", || count() >= before + 200);
            }
            httpd.restart();
            // A logger is ended by a signal like any process until it catches it, a millisecond after its start.
            wait_until("the next logger", || {
                let now = loggers_of(&place);
                let is_new = now.difference(&loggers).next().is_some();
                loggers.extend(now);
                is_new
            });
            restarts.fetch_add(1, Ordering::Relaxed);
        }
        wait_until("the downloads", || slow.iter().all(|thread| thread.is_finished()));
    });
    drop(httpd);
    // One logger for each start, and each has ended well when it has said what it did. There can be one more, without a
    // line: httpd reads its settings twice at first.
    let said = || fs::read_to_string(place.file("error.log")).expect("text");
    let summaries = || said().matches("records, ").count() as u64;
    let _said = OnPanic(&said);
    wait_until("the loggers", || summaries() > RESTARTS && loggers_of(&place).is_empty());
    let mut logged = BTreeMap::<String, usize>::new();
    for line in place.run("cat --all access.log", "").ends_with(0).text().lines() {
        *logged.entry(line.to_owned()).or_default() += 1;
    }
    let answered = answered.into_inner().expect("unpoisoned");
    let missing: Vec<_> =
        answered.iter().filter(|(line, n)| logged.get(*line) != Some(n)).collect();
    assert!(missing.is_empty(), "{} of {}: {missing:?}", missing.len(), answered.len());
    assert_eq!(answered.keys().filter(|line| line.starts_with("/slow")).count() as u64, RESTARTS);
    // No complaint of httpd's about its logger, and none of the logger's.
    let said = said();
    assert!(said.matches("SIGUSR1").count() > 0, "{said}");
    for line in said.lines() {
        let is_summary = line.contains("records, ") && line.contains("dropped 0 ");
        assert!(!line.contains("piped log"), "{line}");
        assert!(
            !line.contains("asynclogger:") || is_summary || line.contains("dropped 0;"),
            "{line}"
        );
    }
}
