//! A server of HTTP that passes everything on to another one, but fails every tenth request in one way or the other.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// One request of that many fails.
const EVERY: usize = 10;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The connection ends before the request is passed on.
    Drop,
    /// The request is passed on, and the answer is lost.
    LoseAnswer,
    Delay,
    Status(u16),
    /// The answer ends in the middle.
    Cut,
    /// The answer comes in small pieces.
    Slow,
}

const FAULTS: [Fault; 8] = [
    Fault::Drop,
    Fault::Status(503),
    Fault::Cut,
    Fault::LoseAnswer,
    Fault::Status(500),
    Fault::Delay,
    Fault::Status(403),
    Fault::Slow,
];

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Proxy {
    /// Serves until the process ends.
    pub(crate) fn before(upstream: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let number = counted.fetch_add(1, Ordering::Relaxed);
                // What a client or a server ends is no matter of the proxy.
                thread::spawn(move || drop(serve(client, upstream, fault_of(number))));
            }
        });
        Proxy { address, requests }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn fault_of(number: usize) -> Option<Fault> {
    (number % EVERY == 3).then(|| FAULTS[number / EVERY % FAULTS.len()])
}

/// One request of one connection.
fn serve(mut client: TcpStream, upstream: SocketAddr, fault: Option<Fault>) -> io::Result<()> {
    let request = read_request(&mut client)?;
    match fault {
        Some(Fault::Drop) => return client.shutdown(Shutdown::Both),
        Some(Fault::Delay) => thread::sleep(Duration::from_millis(400)),
        Some(Fault::Status(status)) => {
            let answer = format!(
                "HTTP/1.1 {status} Fault\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            return client.write_all(answer.as_bytes());
        }
        _ => {}
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(&request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match fault {
        Some(Fault::LoseAnswer) => client.shutdown(Shutdown::Both),
        Some(Fault::Cut) => client.write_all(&answer[..answer.len() / 2]),
        Some(Fault::Slow) => answer.chunks(answer.len() / 20 + 1).try_for_each(|piece| {
            thread::sleep(Duration::from_millis(10));
            client.write_all(piece)
        }),
        _ => client.write_all(&answer),
    }
}

/// Head and body, the head changed so that the server closes the connection behind its answer.
fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut body = bytes.split_off(end + 4);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap_or(0))
    });
    while body.len() < length.unwrap_or(0) {
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => body.extend_from_slice(&buffer[..read]),
        }
    }
    let kept = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut request: Vec<u8> = Vec::new();
    for line in kept.chain(["connection: close", ""]) {
        request.extend_from_slice(line.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(&body);
    Ok(request)
}
