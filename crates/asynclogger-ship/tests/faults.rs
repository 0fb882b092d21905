//! A server that fails every tenth request, in front of moto: everything arrives once. Needs `moto_server` in the path, or
//! its name in `ASYNCLOGGER_MOTO`; without it the tests say so and pass.

mod common;

use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use asynclogger_store::{Location, Store};
use object_store::aws::AmazonS3Builder;

use common::{
    Segments, check_all,
    child::{self, Shipping, shown},
    proxy::Proxy,
    until, write_log,
};

#[test]
fn child_process() {
    child::main();
}

struct Moto {
    process: Child,
    address: SocketAddr,
}

impl Moto {
    fn start() -> Option<Moto> {
        let program = env::var("ASYNCLOGGER_MOTO").unwrap_or_else(|_| "moto_server".to_owned());
        // The port is free a moment before the server takes it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(&program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(process) => {
                let moto = Moto { process, address };
                until("moto answers", || TcpStream::connect(address).is_ok());
                moto.make_bucket();
                Some(moto)
            }
            Err(error) => {
                eprintln!("skipped: {program} cannot be started: {error}");
                None
            }
        }
    }

    fn make_bucket(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = "PUT /bucket HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
    }

    /// The bucket, without a proxy.
    fn store(&self, prefix: &str) -> Store {
        let client = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_region("us-east-1")
            .with_endpoint(format!("http://{}", self.address))
            .with_allow_http(true)
            .with_access_key_id("any")
            .with_secret_access_key("any");
        // The first store of a process chooses the cryptography.
        let _ = Store::open("memory://any").unwrap();
        let location = Location::parse(&format!("s3://bucket/{prefix}")).unwrap();
        Store::over(Arc::new(client.build().unwrap()), location).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn everything_arrives_once_although_every_tenth_request_fails_and_shippers_die() {
    let Some(moto) = Moto::start() else { return };
    let proxy = Proxy::before(moto.address);
    let endpoint = format!("http://{}", proxy.address);
    for delete in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        write_log(dir.path(), "small", 20, 100);
        write_log(dir.path(), "large", 2, 200_000);
        let before = Segments::of(dir.path());
        let url = format!("s3://bucket/{delete}");
        let endpoint = Some(&*endpoint);
        let shipping = Shipping { dir: dir.path(), url: &url, delete, endpoint };
        for kill in ["after-upload:3", "in-upload:9", "before-manifest:1", "after-manifest:1"] {
            shipping.run(kill);
        }
        let output = shipping.run("");
        assert!(output.status.success(), "{}", shown(&output));
        check_all(&moto.store(&delete.to_string()), &before);
        let left = if delete { 0 } else { before.len() };
        assert_eq!(Segments::of(dir.path()).len(), left);
    }
    assert!(proxy.requests() > 100, "{}", proxy.requests());
}
