//! A service on tokio and axum that answers a transfer only when the record of the transfer is durable.
//!
//! ```text
//! cargo run -- DIRECTORY 127.0.0.1:8080
//! curl -d 'from=1 to=2 amount=30' http://127.0.0.1:8080/transfer
//! ```
//! All requests that wait at the same time share one flush, so the rate of answers is not the rate of syncs of the device.
//! On Ctrl-C or SIGTERM the service answers what it has taken and closes the log.

use std::{error::Error, path::PathBuf, time::Duration};

use asynclogger::{Config, Logger};
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// A device that takes longer is not waited for: the answer is that the outcome is not known.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let address = arguments.next().and_then(|it| it.into_string().ok()).ok_or("which address?")?;
    // Opening reads and writes files; nothing else runs yet.
    let audit = Logger::new(Config::new(directory.join("audit.log")))?;
    let service = Router::new()
        .route("/transfer", post(transfer))
        .route("/metrics", get(async |State(audit): State<Logger>| audit.render_prometheus()))
        .with_state(audit.clone());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        })
        .await?;
    let stats = tokio::task::spawn_blocking(move || audit.close()).await??;
    println!("{} accepted, {} durable", stats.accepted, stats.durable);
    Ok(())
}

async fn transfer(
    State(audit): State<Logger>,
    body: String,
) -> Result<&'static str, (StatusCode, String)> {
    // Does not block: without room the record is refused, and so is the transfer.
    let logged = audit.try_log_bytes(body.as_bytes());
    let position = logged.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    match timeout(PATIENCE, audit.wait_durable_async(&position)).await {
        Ok(Ok(())) => Ok("done\n"),
        Ok(Err(error)) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))),
        Err(_) => {
            Err((StatusCode::GATEWAY_TIMEOUT, "the record is accepted, and not durable yet".into()))
        }
    }
}
