//! A service as the world sees it: a process that is told what to do, stopped, and killed.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    ops::Range,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use crate::{
    model::{Fate, Model},
    plan::{Places, Plan},
    record::Key,
    service::ROLE,
};

/// No machine needs that long for one command.
const TOO_LONG: Duration = Duration::from_secs(60);
pub const LANES: [u32; 2] = [0, 8];

#[derive(Debug)]
pub struct Service {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    lanes: Range<u32>,
    /// Where the numbers of each lane began in this life.
    first: BTreeMap<u32, u32>,
    /// Records that no event took, since it could not be opened: they were not offered.
    unopened: u64,
    /// What `on_error` was told.
    pub told: Vec<String>,
    /// The number of the command that is under way.
    pub busy: Option<u64>,
    pub is_open: bool,
}

/// A command's answer, without the word `done`.
pub type Answer = String;

impl Service {
    /// Starts a service; its answer is `opened`, or why it could not open the log.
    pub fn start(
        plan: &Plan,
        places: &Places,
        model: &mut Model,
        lane: u32,
        clock: i64,
    ) -> (Service, Answer) {
        let (vault, top) = (places.vault.display(), places.top.display());
        let who = if plan.nobody { "nobody" } else { "root" };
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["the_service_if_this_is_one", "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{} {lane} {who} {vault} {top}", plan.seed))
            .env("HOSTILE_CLOCK", clock.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a service");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // What the harness prints stands before the first word of the service.
                let Some(at) = line.find("@ ") else { continue };
                let _ = sender.send(line[at + 2..].to_owned());
            }
        });
        let lanes = lane..lane + plan.threads;
        let first = lanes.clone().map(|lane| (lane, model.next(lane))).collect();
        let (told, unopened) = (Vec::new(), 0);
        model.commands += 1;
        let busy = Some(model.commands);
        let mut service =
            Service { child, input, lines, lanes, first, unopened, told, busy, is_open: false };
        let answer = service.finish(model);
        service.is_open = answer == "opened";
        (service, answer)
    }

    /// Gives a command; [`finish`](Service::finish) waits for its end.
    pub fn send(&mut self, model: &mut Model, command: &str) {
        assert!(self.busy.is_none(), "one command after the other");
        model.commands += 1;
        self.busy = Some(model.commands);
        let input = self.input.as_mut().expect("a service that lives");
        writeln!(input, "{command}").expect("the service takes commands");
    }

    /// Has every thread log `count` records; flushes, rotates and waits as [`crate::service`] says.
    pub fn burst(&mut self, model: &mut Model, count: u32, every: u32, rotates: u32, waits: bool) {
        let from = model.next(self.lanes.start);
        self.send(model, &format!("burst {from} {count} {every} {rotates} {}", u32::from(waits)));
        self.lanes.clone().for_each(|lane| model.offer(lane, count));
    }

    /// Waits for the end of the command that is under way.
    pub fn finish(&mut self, model: &mut Model) -> Answer {
        loop {
            match self.lines.recv_timeout(TOO_LONG) {
                Ok(line) => {
                    if let Some(answer) = self.hear(model, &line) {
                        self.busy = None;
                        return answer.to_owned();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the service (process {}) does not answer", self.child.id())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the service has died: {:?}", self.child.wait())
                }
            }
        }
    }

    /// Gives a command and waits for its end.
    pub fn call(&mut self, model: &mut Model, command: &str) -> Answer {
        self.send(model, command);
        let answer = self.finish(model);
        let is_ok = answer.starts_with("ok");
        if is_ok && (command == "flush" || command == "close") {
            for (lane, first) in &self.first {
                model.durable_before(*lane, *first, model.next(*lane));
            }
        }
        answer
    }

    fn hear<'l>(&mut self, model: &mut Model, line: &'l str) -> Option<&'l str> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut numbers = rest.split(' ').map(|word| word.parse::<u32>().expect("a number"));
        let mut number = || numbers.next().expect("a number");
        match word {
            "done" => return Some(rest),
            "told" => {
                if std::env::var_os("HOSTILE_TRACE").is_some() {
                    eprintln!("    told: {rest}");
                }
                self.told.push(rest.to_owned());
            }
            "refused" | "unopened" => {
                let key = Key { lane: number(), number: number() };
                model.set(key, Fate::Refused);
                self.unopened += u64::from(word == "unopened");
            }
            "durable" => {
                let (lane, last) = (number(), number());
                model.durable_before(lane, self.first[&lane], last + 1);
            }
            "kept" => model.set(Key { lane: number(), number: number() }, Fate::Durable),
            "logged" => model.accepted(number(), number(), number()),
            _ => panic!("{line}"),
        }
        None
    }

    /// The counts in an answer of `stats` or `close` are those of what was offered in this life.
    pub fn check_stats(&self, model: &Model, answer: &str) {
        let mut words = answer.split(' ').skip(1);
        let mut number = || words.next().expect("a word").parse::<u64>().expect("a number");
        let (total, accepted) = (number(), number());
        assert_eq!(words.next(), Some("true"), "the statistics add up: {answer}");
        let counts = self.first.iter().map(|(lane, first)| model.counts(*lane, *first));
        let sum = counts.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        assert_eq!((total + self.unopened, accepted), sum, "offered and accepted: {answer}");
    }

    /// Ends the service at this moment, whatever it does.
    pub fn kill(&mut self, model: &mut Model) {
        self.child.kill().expect("killed");
        self.child.wait().expect("it ends");
        // What it said before is still in the pipe.
        while let Ok(line) = self.lines.recv_timeout(TOO_LONG) {
            self.hear(model, &line);
        }
        (self.busy, self.is_open, self.input) = (None, false, None);
    }

    /// Ends a service that has nothing more to do.
    pub fn leave(&mut self) {
        self.input = None;
        let begun = Instant::now();
        while self.child.try_wait().expect("a child").is_none() {
            assert!(begun.elapsed() < TOO_LONG, "the service does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.is_open = false;
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: a child that was not waited for has its number for itself.
        assert_eq!(unsafe { libc::kill(self.child.id() as libc::pid_t, signal) }, 0);
    }

    /// Holds all threads of the service; no write of its is on its way when this returns.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let begun = Instant::now();
        let mut still = 0;
        while still < 2 {
            still = if self.is_still() { still + 1 } else { 0 };
            assert!(begun.elapsed() < TOO_LONG, "the service does not stop");
            std::thread::yield_now();
        }
    }

    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Whether every thread is stopped. Threads of the kernel for its operations wait instead.
    fn is_still(&self) -> bool {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else {
            return true;
        };
        tasks.filter_map(Result::ok).all(|task| {
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { return true };
            let (name, rest) = stat.rsplit_once(") ").expect("a name in parentheses");
            match rest.as_bytes().first() {
                Some(b'T' | b't' | b'Z' | b'X') => true,
                Some(b'S') => name.contains("(iou-"),
                _ => false,
            }
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
