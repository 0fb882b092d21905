//! A shipper in a process of its own, which can be killed: the test binary again.

use std::{
    env,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use asynclogger_ship::Shipper;

const DIR: &str = "ASYNCLOGGER_SHIP_TEST_DIR";
const URL: &str = "ASYNCLOGGER_SHIP_TEST_URL";
const DELETE: &str = "ASYNCLOGGER_SHIP_TEST_DELETE";
const KILL: &str = "ASYNCLOGGER_SHIP_KILL";

/// What no output may show.
pub(crate) const SECRETS: [&str; 3] =
    ["AKIDSECRETKEYID", "VERYSECRETACCESSKEY", "SECRETSESSIONTOKEN"];

/// The whole of the child: each test binary that starts children has a test of this name, which calls this.
pub(crate) const TEST: &str = "child_process";

pub(crate) fn main() {
    let (Ok(dir), Ok(url)) = (env::var(DIR), env::var(URL)) else { return };
    let shipper = Shipper::to(&url).unwrap().host("child").part_bytes(5 << 20);
    let shipper = shipper
        .delete_after_verify(env::var_os(DELETE).is_some())
        .patience(Duration::from_secs(60))
        .on_event(|event| eprintln!("{event:?}"));
    eprintln!("{shipper:?}");
    let summary = shipper.run(dir);
    eprintln!("{summary:?} {:?}", shipper.handle().health());
    assert_eq!(summary.unwrap().left_alone, 0);
}

pub(crate) struct Shipping<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) url: &'a str,
    pub(crate) delete: bool,
    pub(crate) endpoint: Option<&'a str>,
}

impl Shipping<'_> {
    fn command(&self, kill: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", TEST, "--nocapture"]).env(DIR, self.dir).env(URL, self.url);
        command.env(KILL, kill).env_remove(DELETE);
        if self.delete {
            command.env(DELETE, "1");
        }
        if let Some(endpoint) = self.endpoint {
            command.env("AWS_ENDPOINT", endpoint).env("AWS_ALLOW_HTTP", "true");
            command.env("AWS_REGION", "us-east-1");
            let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
            command.envs(names.into_iter().zip(SECRETS));
        }
        command
    }

    /// Runs to the end, or to the place where the process is killed: `NAME:N`.
    pub(crate) fn run(&self, kill: &str) -> Output {
        let output = self.command(kill).output().unwrap();
        check_output(&output);
        output
    }

    pub(crate) fn start(&self) -> Child {
        self.command("").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

pub(crate) fn shown(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn check_output(output: &Output) {
    let shown = shown(output);
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{shown}");
    }
}
