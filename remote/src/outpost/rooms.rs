//! Answers this host's workers.

use super::replicas::{Missing, Replicas};
use crate::rooms::{next_ask, tell};
use px::link::{RoomAnswer, RoomAsk};
use std::io;
use std::sync::Arc;
use tokio::net::{UnixListener, UnixStream};

pub async fn listen(listener: UnixListener, replicas: Arc<Replicas>) {
    while let Ok((worker, _)) = listener.accept().await {
        let replicas = Arc::clone(&replicas);
        tokio::spawn(async move {
            if let Err(error) = serve(worker, &replicas).await {
                tracing::debug!(%error, "a worker's question isn't answered");
            }
        });
    }
}

async fn serve(mut worker: UnixStream, replicas: &Arc<Replicas>) -> io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(ask) = next_ask(&mut worker).await? {
        bytes.clear();
        let answer = match &ask {
            RoomAsk::Write(..) | RoomAsk::Append(..) => replicas.relay(&ask, &mut worker, &mut bytes).await?,
            RoomAsk::Bring(room, at, length) => {
                replicas.bring(room, *at, *length).await.map(|name| (RoomAnswer::Here(name), Vec::new()))
            }
            RoomAsk::Watch => Err(Missing::Failed("only an outpost watches rooms".to_owned())),
            ask => replicas.ask(ask, &[], None).await,
        };
        let (answer, found) = answer.unwrap_or_else(|missing| match missing {
            Missing::Gone => (RoomAnswer::Gone, Vec::new()),
            Missing::Failed(why) => (RoomAnswer::Failed(why), Vec::new()),
        });
        tell(&mut worker, &answer, &found).await?;
    }
    Ok(())
}
