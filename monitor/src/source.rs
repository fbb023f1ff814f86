//! The live cluster: connects, follows its log, has it do what is ordered, and connects again when it was lost.

use crate::Cluster;
use crate::app::Input;
use chorus_client::Client;
use chorus_protocol::{Connection, Order};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long to wait until the next try.
const AGAIN: Duration = Duration::from_secs(1);
/// What waits to be taken by the monitor. When it is full, the cluster's log waits, and nothing is lost.
const WAITING: usize = 64;

/// A cluster that is followed. Dropping it ends that.
pub struct Source {
    orders: mpsc::Sender<Order>,
    inputs: mpsc::Receiver<Input>,
    task: tokio::task::JoinHandle<()>,
}

impl Source {
    /// Follows the cluster of this name, wherever `clusters` has it.
    pub fn follow(name: &str, clusters: fn() -> Vec<Cluster>) -> Source {
        let (orders, inbox) = mpsc::channel(WAITING);
        let (tell, inputs) = mpsc::channel(WAITING);
        let task = tokio::spawn(work(name.to_owned(), clusters, inbox, tell));
        Source { orders, inputs, task }
    }

    /// What happens next; it never ends by itself. Nothing is lost when the future is dropped before.
    pub async fn next(&mut self) -> Input {
        match self.inputs.recv().await {
            Some(input) => input,
            None => std::future::pending().await,
        }
    }

    /// Has the cluster do something. The answer is an input.
    pub fn order(&self, order: Order) -> Result<(), String> {
        self.orders.try_send(order).map_err(|_| "earlier orders haven't been answered yet".to_owned())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn work(
    name: String,
    clusters: fn() -> Vec<Cluster>,
    mut orders: mpsc::Receiver<Order>,
    tell: mpsc::Sender<Input>,
) {
    loop {
        let why = match connect(&name, clusters).await {
            Ok(client) => {
                if tell.send(Input::Linked(name.clone())).await.is_err() {
                    return;
                }
                pass_on(&name, &client, &mut orders, &tell).await;
                format!("the cluster `{name}` is gone or can't be reached")
            }
            Err(why) => why,
        };
        if tell.send(Input::Lost(why)).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
        while let Ok(order) = orders.try_recv() {
            _ = tell
                .send(Input::Done(Err(format!("the cluster wasn't connected, so it wasn't told to {order}"))))
                .await;
        }
    }
}

/// Where it is may have changed since the last time: a controller that comes back has another key.
pub async fn connect(name: &str, clusters: fn() -> Vec<Cluster>) -> Result<Client, String> {
    let file = find(name, clusters).ok_or_else(|| format!("no cluster `{name}` is running now"))?;
    let connection = Connection::read(&file).map_err(|error| error.to_string())?;
    let (client, _) = Client::connect(&connection, "`chorus top`").await.map_err(|error| error.to_string())?;
    Ok(client)
}

fn find(name: &str, clusters: fn() -> Vec<Cluster>) -> Option<PathBuf> {
    clusters().into_iter().find(|it| it.name == name).map(|it| it.connection_file)
}

/// Until the log ends, which it does when the cluster is lost.
async fn pass_on(name: &str, client: &Client, orders: &mut mpsc::Receiver<Order>, tell: &mpsc::Sender<Input>) {
    let mut log = client.follow_log(1);
    let mut away = client.away();
    loop {
        tokio::select! {
            entries = log.recv() => match entries {
                Some(entries) => if tell.send(Input::Entries(entries)).await.is_err() { return },
                None => return,
            },
            // When nothing changes any more, the log ends, too.
            Ok(()) = away.changed() => {
                let input = match &*away.borrow_and_update() {
                    Some(why) => Input::Lost(why.to_string()),
                    None => Input::Linked(name.to_owned()),
                };
                if tell.send(input).await.is_err() { return }
            },
            Some(order) = orders.recv() => {
                // Beside the log, which goes on meanwhile. The client has a deadline of its own.
                let (client, tell) = (client.clone(), tell.clone());
                tokio::spawn(async move {
                    let input = match client.steer(order).await {
                        Ok(done) => Input::Done(done),
                        // Which doesn't always mean that nothing was done.
                        Err(error) => Input::Trouble(error.to_string()),
                    };
                    _ = tell.send(input).await;
                });
            }
        }
    }
}
