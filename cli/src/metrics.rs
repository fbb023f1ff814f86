//! `chorus start --metrics`: serves figures of the cluster over HTTP, for Prometheus.

mod figures;

use chorus_client::Client;
use chorus_history::Figures;
use chorus_protocol::Connection;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// How long a client may take to send its request.
const REQUEST: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted, as when the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(200);
/// For how long a port is tried again that a controller had before.
const AGAIN: Duration = Duration::from_millis(500);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads an address, or a port of 127.0.0.1. Others are refused: what notebooks run is nobody else's business, and there is
/// no password.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse::<u16>().ok().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let address = port.or_else(|| text.parse().ok()).ok_or("write a port, or an address such as 127.0.0.1:9400")?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("it has to be an address of this host's loopback, such as 127.0.0.1:9400".to_owned()),
    }
}

/// Opens the port.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Box<dyn Error>> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("metrics can't be served at {address}: {error}").into())
}

/// Opens the port that a controller had which was killed, and may have for another moment. If somebody else has it, there
/// are no figures: the engines are worth more.
pub async fn listen_again(address: SocketAddr) -> Option<TcpListener> {
    let deadline = Instant::now() + AGAIN;
    loop {
        match listen(address).await {
            Ok(listener) => return Some(listener),
            Err(why) if Instant::now() >= deadline => {
                tracing::warn!("{why}");
                return None;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Serves a cluster's figures until the cluster stops.
pub async fn serve(listener: TcpListener, connection: Connection) -> Result<(), Box<dyn Error>> {
    loop {
        let (client, _) = Client::connect(&connection, "`chorus start --metrics`").await?;
        let seen = Arc::new(Mutex::new(Figures::default()));
        let mut entries = client.follow_log(1);
        loop {
            tokio::select! {
                new = entries.recv() => {
                    // Where the cluster has stopped, it can't be connected to again.
                    let Some(new) = new else { break };
                    let mut seen = seen.lock();
                    new.iter().for_each(|entry| seen.apply(entry));
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => answer(stream, Arc::clone(&seen)),
                    Err(error) => {
                        tracing::warn!(%error, "a connection for metrics can't be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
    }
}

fn answer(stream: TcpStream, seen: Arc<Mutex<Figures>>) {
    let answer = service_fn(move |request| std::future::ready(Ok::<_, Infallible>(reply(&request, &seen))));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST);
    tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
}

fn reply(request: &Request<Incoming>, seen: &Mutex<Figures>) -> Response<Full<Bytes>> {
    let plain = |status, text: &'static str| {
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "the figures are at /metrics\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let text = figures::text(&seen.lock());
    let Ok(text) = text else { return plain(StatusCode::INTERNAL_SERVER_ERROR, "the figures can't be written\n") };
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(OPEN_METRICS));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served() {
        assert_eq!(address("9400"), Ok(SocketAddr::from(([127, 0, 0, 1], 9400))));
        assert!(address("[::1]:80").is_ok() && address("127.0.0.2:1").is_ok());
        for text in ["", "0.0.0.0:80", "x", "127.0.0.1", "70000", "192.168.0.1:80"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
