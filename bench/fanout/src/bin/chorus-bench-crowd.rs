//! Many engines that only speak the protocol, in one process: they register, as an engine that was started by hand does, and
//! then give signs of life. `bench/hosts/run.py` runs it beside an outpost, which carries each one's connection as it
//! does a real engine's.

use chorus_protocol::{Connection, EngineInfo, Frame, FromEngine, SessionId, Standing, ToEngine, VERSION};
use chorus_transport::{Outgoing, Transport as _, ZeroMq};
use clap::Parser;
use std::error::Error;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

type Failure = Box<dyn Error + Send + Sync>;

/// How long to wait for all.
const LIMIT: Duration = Duration::from_secs(120);
const BEAT: Duration = Duration::from_secs(1);

/// Joins a cluster with many engines that only speak the protocol.
#[derive(Debug, Parser)]
struct Args {
    /// The connection file, of a cluster or of an outpost
    #[arg(long, value_name = "FILE")]
    connect: PathBuf,
    /// How many engines
    #[arg(long, value_name = "N", default_value_t = 1000)]
    engines: usize,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let connection = Arc::new(Connection::read(&args.connect)?);
    let (joined, mut joins) = mpsc::unbounded_channel();
    let begin = Instant::now();
    for _ in 0..args.engines {
        let (connection, joined) = (Arc::clone(&connection), joined.clone());
        tokio::spawn(async move {
            let ended = engine(&connection, &joined).await;
            _ = joined.send(ended);
        });
    }
    let all = async {
        for count in 0..args.engines {
            let ended = joins.recv().await.unwrap_or(Ok(()));
            ended.map_err(|error| format!("{count} have joined, and then one couldn't: {error}"))?;
        }
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(LIMIT, all).await.map_err(|_| "waited two minutes for all to join")??;
    println!("{}", serde_json::json!({ "seconds": begin.elapsed().as_secs_f64() }));
    // They stay until whoever started this has looked.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    std::process::exit(0);
}

/// Says that it has joined, and goes on until the connection ends.
async fn engine(connection: &Connection, joined: &mpsc::UnboundedSender<Result<(), Failure>>) -> Result<(), Failure> {
    let mut link = ZeroMq::Ipc.connect(&connection.engines, LIMIT).await?;
    let (host, lease) = ("crowd".to_owned(), Some(u32::try_from(LIMIT.as_secs())?));
    let info = EngineInfo { pid: std::process::id(), host, cores: 1, lease, ..EngineInfo::default() };
    let standing = Standing { life: SessionId::random().0, ..Standing::default() };
    let register = FromEngine::Register { version: VERSION, id: None, info, shares_files: false, standing };
    send(&mut *link.outgoing, &register, connection).await?;
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            message = link.incoming.next() => {
                if let ToEngine::Registered { .. } = Frame::decode(&message?, &connection.key)? {
                    _ = joined.send(Ok(()));
                }
            }
            _ = beat.tick() => send(&mut *link.outgoing, &FromEngine::Heartbeat, connection).await?,
        }
    }
}

async fn send(to: &mut dyn Outgoing, message: &FromEngine, connection: &Connection) -> Result<(), Failure> {
    let frame = Frame::encode(message, &connection.key)?;
    Ok(to.send(vec![frame.mac, frame.body]).await?)
}
