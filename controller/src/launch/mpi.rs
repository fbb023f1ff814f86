//! Engines as processes of one MPI program, as `mpirun` starts them: those that are wanted at the same time together. Ranks
//! find their invitations in a folder that all hosts see ([`Shared`]): standard input goes to the first of them only.

use super::Launch;
use super::attached::{Attached, Parent};
use super::distant::{Provider, Site};
use super::shared::{Shared, write};
use chorus_remote::outpost::{FAILED, OUTPOST};
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::time::timeout;

/// What its hosts are as a user is told.
pub(super) const A_RANK: &str = "a host of MPI's";

/// Engines that are wanted within this time are started together.
const TOGETHER: Duration = Duration::from_millis(50);

/// How long after the first one the others may take to join.
const JOIN: Duration = Duration::from_secs(60);

/// So many lines of what `mpirun` says are told: the first, behind which it explains at length.
const LINES: usize = 4;

/// What a rank does, whose number each MPI tells in its own variable. It ends well in any case: MPI ends all ranks when one
/// fails.
const RANK: &str = "dir=$1; shift; r=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-${SLURM_PROCID:-0}}}}; \
                    exec < \"$dir/$r\"; rm -f \"$dir/$r\"; \
                    rmdir \"$dir\" \"${dir%/*}\" \"${dir%/*/*}\" 2> /dev/null; ";

/// What MPI is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mpi {
    /// `mpirun` and more options of it.
    pub command: Vec<String>,
    /// A folder that all hosts see; the user's cache folder when left out.
    pub shared: Option<PathBuf>,
}

impl Mpi {
    pub(super) fn into_provider(self, launch: Launch, cluster: &str, ends_with_us: bool) -> io::Result<MpiProvider> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let parent = Arc::new(Parent::start(ends_with_us)?);
        let (command, launch) = (Arc::new(self.command), Arc::new(launch));
        let starter = Starter { command, launch: Arc::clone(&launch), parent };
        tokio::spawn(collect(inbox, starter));
        Ok(MpiProvider {
            launch,
            cluster: cluster.to_owned(),
            folder: self.shared,
            shared: OnceCell::new(),
            ranks: sender,
        })
    }
}

#[derive(Debug)]
pub(super) struct MpiProvider {
    launch: Arc<Launch>,
    cluster: String,
    folder: Option<PathBuf>,
    shared: OnceCell<Arc<Shared>>,
    ranks: mpsc::UnboundedSender<Rank>,
}

/// One that is to be started.
struct Rank {
    shared: Arc<Shared>,
    invitation: String,
    /// It has joined; or nobody waits for it any more.
    joined: oneshot::Receiver<()>,
    /// Why it hasn't.
    failed: oneshot::Sender<String>,
}

impl Provider for MpiProvider {
    fn bring<'a>(&'a self, site: Site<'a>) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let shared = self.shared.get_or_try_init(|| async {
                Shared::prepare(self.folder.clone(), &self.cluster, &self.launch).await.map(Arc::new)
            });
            let shared = Arc::clone(shared.await?);
            let invitation = self.launch.invitation(site.gateway, site.place, &shared.hash, None)?;
            let ((has_joined, joined), (failed, fails)) = (oneshot::channel(), oneshot::channel());
            _ = self.ranks.send(Rank { shared, invitation, joined, failed });
            tokio::select! {
                _ = site.arrived => {
                    // If `mpirun` has ended by now, that is told of the engine.
                    _ = has_joined.send(());
                    Ok(())
                }
                why = fails => Err(why.unwrap_or_else(|_| "it hasn't joined".to_owned())),
            }
        }
        .boxed()
    }
}

/// Starts what is wanted at the same time together.
async fn collect(mut inbox: mpsc::UnboundedReceiver<Rank>, starter: Starter) {
    while let Some(first) = inbox.recv().await {
        let mut ranks = vec![first];
        let deadline = tokio::time::Instant::now() + TOGETHER;
        while let Ok(Some(rank)) = tokio::time::timeout_at(deadline, inbox.recv()).await {
            ranks.push(rank);
        }
        tokio::spawn(starter.clone().run(ranks));
    }
}

#[derive(Clone)]
struct Starter {
    command: Arc<Vec<String>>,
    launch: Arc<Launch>,
    parent: Arc<Parent>,
}

impl Starter {
    /// Starts these, and stays as long as `mpirun` does.
    async fn run(self, mut ranks: Vec<Rank>) {
        let (mut mpirun, _invitations) = match self.start(&ranks).await {
            Ok(started) => started,
            Err(why) => return fail(ranks, &why),
        };
        let (stdout, stderr) = (mpirun.0.stdout.take(), mpirun.0.stderr.take());
        let first = tokio::spawn(async move { tokio::join!(first_of(stdout), first_of(stderr)) });
        let ended = tokio::select! {
            is_wanted = joined(&mut ranks) => match is_wanted {
                true => false,
                // Dropped, it is ended.
                false => return,
            },
            _ = mpirun.0.wait() => true,
        };
        if ended {
            let said = timeout(Duration::from_secs(1), first).await;
            let (stdout, stderr) = said.ok().and_then(Result::ok).unwrap_or_default();
            let why = [stderr, stdout].into_iter().find(|it| !it.is_empty());
            return fail(ranks, &format!("mpirun has ended: {}", why.as_deref().unwrap_or("it said nothing")));
        }
        fail(ranks, &format!("it hasn't joined within {} s after others", JOIN.as_secs()));
        _ = mpirun.0.wait().await;
    }

    async fn start(&self, ranks: &[Rank]) -> Result<(Attached, Invitations), String> {
        let Some(Rank { shared, .. }) = ranks.first() else {
            return Err("there is nothing to start".to_owned());
        };
        let folder = shared.folder()?;
        let invitations = Invitations(folder.clone());
        for (at, rank) in ranks.iter().enumerate() {
            write(&folder.join(at.to_string()), &format!("{}\n", rank.invitation))?;
        }
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let args = self.launch.args.iter().map(|arg| arg.to_string_lossy().into_owned());
        // Setup lines may leave the shell, so it is one of its own.
        let script = format!("{RANK}( {}\"$@\" ); exit 0", self.launch.setup_command());
        let ours = ["-n".to_owned(), ranks.len().to_string(), "sh".to_owned(), "-c".to_owned(), script];
        // Open MPI would give its ranks a second to end, when it is ended itself.
        let time = ["env", "OMPI_MCA_odls_base_sigkill_timeout=15"].map(str::to_owned);
        let words = time.into_iter().chain(self.command.iter().cloned()).chain(ours);
        let words = words.chain(["sh".to_owned(), path(&folder), path(&shared.program)]).chain(args);
        let mpirun = self.parent.run(words.chain([OUTPOST.to_owned()]).collect()).await?;
        Ok((mpirun, invitations))
    }
}

/// The folder of invitations, from which each rank takes its own. Dropping it removes what none has taken.
struct Invitations(PathBuf);

impl Drop for Invitations {
    fn drop(&mut self) {
        // Usually the last rank has removed it.
        _ = std::fs::remove_dir_all(&self.0);
        for above in self.0.ancestors().skip(1).take(2) {
            _ = std::fs::remove_dir(above);
        }
    }
}

/// Waits until each has joined or isn't wanted any more, for a while after the first; whether any has joined.
async fn joined(ranks: &mut [Rank]) -> bool {
    let mut waiting: FuturesUnordered<_> = ranks.iter_mut().map(|rank| &mut rank.joined).collect();
    while let Some(joined) = waiting.next().await {
        if joined.is_ok() {
            _ = timeout(JOIN, async { while waiting.next().await.is_some() {} }).await;
            return true;
        }
    }
    false
}

/// Tells those that haven't joined why.
fn fail(ranks: Vec<Rank>, why: &str) {
    for rank in ranks {
        // Nobody listens for one that has.
        _ = rank.failed.send(why.to_owned());
    }
}

/// Reads all that is said, and returns how it begins.
async fn first_of(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(stream) = stream else { return String::new() };
    let mut lines = BufReader::new(stream).split(b'\n');
    let mut first = Vec::new();
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim().trim_start_matches(FAILED).trim();
        // MPI draws lines of dashes around what it says.
        if first.len() < LINES && !line.trim_matches('-').is_empty() {
            first.push(line.to_owned());
        }
    }
    first.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_mpi_says_is_told_from_its_beginning() {
        let said = b"-----\n\nnot enough slots:\n  8 asked\xff\n1\n2\n3\n-----\n".as_slice();
        assert_eq!(first_of(Some(said)).await, "not enough slots:; 8 asked\u{fffd}; 1; 2");
        assert_eq!(first_of(None::<&[u8]>).await, "");
    }

    #[tokio::test]
    async fn ranks_are_wanted_as_long_as_one_has_joined() {
        let (asked, answers): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        let shared = Arc::new(Shared::at("/nowhere".into()));
        let rank = |joined| {
            let (failed, _) = oneshot::channel();
            Rank { shared: Arc::clone(&shared), invitation: String::new(), joined, failed }
        };
        let mut ranks: Vec<Rank> = answers.into_iter().map(rank).collect();
        let (none, rest) = ranks.split_at_mut(1);
        let mut asked = asked.into_iter();
        drop(asked.next());
        assert!(!joined(none).await);
        asked.next().unwrap().send(()).unwrap();
        drop(asked);
        assert!(joined(rest).await);
    }
}
