//! A program that gives the counters of its logger to Prometheus: `GET /metrics` on a port.
//!
//! ```text
//! cargo run --example prometheus -- DIRECTORY 127.0.0.1:9090
//! ```
//! Without an address the program prints the counters and ends.

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
};

use asynclogger::{Config, Logger};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let logger = Logger::new(Config::new(directory.join("app.log")))?;
    logger.close_at_exit()?;
    (0..1000).for_each(|number| logger.log(&format!("request {number}")));
    logger.flush()?;
    let Some(address) = arguments.next() else {
        print!("{}", logger.render_prometheus());
        return Ok(());
    };
    let address = address.into_string().map_err(|_| "the address is not text")?;
    for stream in TcpListener::bind(address)?.incoming() {
        // A scraper that goes away is no reason to end.
        let _ = stream.and_then(|stream| answer(stream, &logger));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, logger: &Logger) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    let text = logger.render_prometheus();
    let len = text.len();
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {len}\r\n\r\n{text}")
}
