//! What tokio-rustls reaches between two hosts, with nothing of Chorus in it: the bytes of a stream, and a byte that goes
//! and comes back. `bench/hosts/run.py` runs one of these on each host.

use clap::{Parser, Subcommand};
use rcgen::{CertificateParams, KeyPair};
use std::error::Error;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto, version};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name on the certificate.
const NAME: &str = "bench.chorus.internal";
/// The buffers are as large as the gateway's.
const BUFFER: usize = 256 << 10;
/// How often a byte goes and comes back.
const ROUNDS: usize = 300;

/// Measures tokio-rustls between two hosts.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Waits for the other one, until standard input ends; says its port and its certificate on one line
    Listen,
    /// Measures the way to the other one, and back
    Connect {
        /// Its address and port
        address: String,
        /// Its certificate, as it has said it
        certificate: String,
        /// How many bytes to send
        #[arg(long, default_value_t = 1_000_000_000)]
        bytes: u64,
        /// Over how many connections at once
        #[arg(long, default_value_t = 1)]
        streams: u64,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Args::parse().what {
        What::Listen => listen().await,
        What::Connect { address, certificate, bytes, streams } => {
            let connector = connector(&certificate)?;
            let seconds = send(&connector, &address, bytes, streams).await?;
            let mut stream = connect(&connector, &address).await?;
            stream.write_u64(0).await?;
            let mut microseconds = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                let begin = Instant::now();
                stream.write_u8(1).await?;
                stream.flush().await?;
                stream.read_u8().await?;
                microseconds.push(begin.elapsed().as_secs_f64() * 1e6);
            }
            let bytes_a_second = bytes as f64 / seconds;
            println!("{}", serde_json::json!({ "bytes_a_second": bytes_a_second, "round_trips": microseconds }));
            Ok(())
        }
    }
}

async fn listen() -> Result<(), Box<dyn Error>> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&key)?;
    let own = PrivateKeyDer::try_from(key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], own)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let hex: String = certificate.der().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{}", serde_json::json!({ "port": listener.local_addr()?.port(), "certificate": hex }));
    std::thread::spawn(|| {
        _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &acceptor).await {
                eprintln!("a connection has ended: {error}");
            }
        });
    }
}

/// Takes as many bytes as are announced and says that they have come; if there are none, sends back each byte that comes.
async fn answer(stream: TcpStream, acceptor: &TlsAcceptor) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut left = stream.read_u64().await?;
    if left == 0 {
        while let Ok(byte) = stream.read_u8().await {
            stream.write_u8(byte).await?;
            stream.flush().await?;
        }
        return Ok(());
    }
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let some = stream.read(&mut buffer).await?;
        if some == 0 {
            return Err("it ended before all had come".into());
        }
        left = left.saturating_sub(some as u64);
    }
    stream.write_u8(1).await?;
    stream.flush().await?;
    stream.shutdown().await?;
    Ok(())
}

fn connector(certificate: &str) -> Result<TlsConnector, Box<dyn Error>> {
    let digits: Vec<char> = certificate.chars().collect();
    let bytes: Result<Vec<u8>, _> =
        digits.chunks(2).map(|two| u8::from_str_radix(&String::from_iter(two), 16)).collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(bytes?))?;
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

async fn connect(connector: &TlsConnector, address: &str) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(connector.connect(ServerName::try_from(NAME)?, stream).await?)
}

/// The seconds until all bytes have come.
async fn send(connector: &TlsConnector, address: &str, bytes: u64, streams: u64) -> Result<f64, Box<dyn Error>> {
    let mut open = Vec::new();
    for _ in 0..streams {
        open.push(connect(connector, address).await?);
    }
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut stream in open {
        tasks.spawn(async move {
            let buffer = vec![1; BUFFER];
            let mut left = bytes / streams;
            stream.write_u64(left).await?;
            while left > 0 {
                let some = left.min(BUFFER as u64);
                stream.write_all(&buffer[..some as usize]).await?;
                left -= some;
            }
            stream.flush().await?;
            stream.read_u8().await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begin.elapsed().as_secs_f64())
}
