//! Engines as Kubernetes' jobs, one each. `kubectl` makes the job, waits for its pod, and carries the standard input and output
//! of the shell there, as ssh does. It isn't needed any more when the outpost has joined, but stays to remove the job.

use super::attached::Parent;
use super::bringing::{Errand, Program, Stays};
use super::distant::{Provider, Site};
use super::{Launch, Resources, in_queue};
use chorus_protocol::SessionId;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io;
use std::process::Stdio;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// What pods are as a user is told.
pub(super) const A_POD: &str = "a pod of Kubernetes";

/// Stands for a job's name.
const NAME: &str = "@NAME@";
/// Stands for the label by which a cluster's pods are found.
const CLUSTER: &str = "@CLUSTER@";

/// Makes the job `$1` by the manifest `$2`, leads standard input to its pod when that is ready, and removes the job when it has
/// ended or this is asked to. The words behind are `kubectl`. What may take long is waited for so that a signal isn't, and never in
/// a function: a trap that is run there would find the function's words in `$@`.
const SCRIPT: &str = r#"n=$1 m=$2; shift 2; c=; exec 3<&0 < /dev/null
remove() { for _ in 1 2 3 4 5; do "$@" delete job "$n" --ignore-not-found --wait=false > /dev/null 2>&1 && return; sleep 1; done; }
state() { "$@" get job "$n" --ignore-not-found -o 'jsonpath={.metadata.name}/{.status.failed}{.status.succeeded}' 2> /dev/null; }
trap 'trap "" TERM; [ -z "$c" ] || kill $c 2> /dev/null; remove "$@"; exit 1' TERM
printf '%s\n' "$m" | "$@" create -f - > /dev/null || exit 1
until "$@" wait pod -l "job-name=$n" --for=condition=Ready --timeout=60s > /dev/null 2>&1 & c=$!; wait $c; do
  case $(state "$@") in
    "$n/"?*) echo "the pod has ended at once: does the image have sh?" >&2; remove "$@"; exit 1 ;;
  esac
  sleep 1 & c=$!; wait $c
done
"$@" attach -i "job/$n" <&3 3<&- & c=$!; exec 3<&-
wait $c
while s=$(state "$@"); [ "$s" = "$n/" ] || { [ -z "$s" ] && ! "$@" get job "$n" --ignore-not-found > /dev/null 2>&1; }; do sleep 5 & c=$!; wait $c; done
remove "$@""#;

/// What Kubernetes is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// `kubectl` and more options of it.
    pub command: Vec<String>,
    /// What a job is.
    pub manifest: Manifest,
}

/// The manifest of a job, with marks for what each has of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest(String);

impl Manifest {
    /// One whose pods run this image; an error is a sentence. Resources are as Kubernetes writes them, but for the time, which may be
    /// hours, minutes and seconds with colons in between.
    pub fn new(image: &str, resources: &Resources) -> Result<Manifest, String> {
        let time = resources.time.as_deref().map(seconds).transpose()?;
        let mut limits = String::new();
        let cores = resources.cores.map(|cores| cores.to_string());
        for (what, amount) in [("cpu", &cores), ("memory", &resources.memory)] {
            if let Some(amount) = amount {
                // Writing to a `String` can't fail.
                _ = write!(limits, "{}{what}: {}", if limits.is_empty() { "" } else { ", " }, yaml(amount));
            }
        }
        let (mut deadline, mut ends) = (String::new(), String::new());
        if let Some(time) = time {
            deadline = format!("      activeDeadlineSeconds: {time}\n");
            ends = format!("export CHORUS_ENDS_AT=$(($(date +%s) + {time})); ");
        }
        let resources = match limits.as_str() {
            "" => String::new(),
            limits => format!("        resources:\n          requests: {{{limits}}}\n          limits: {{{limits}}}\n"),
        };
        Ok(Manifest(format!(
            "apiVersion: batch/v1\n\
             kind: Job\n\
             metadata:\n\
             \x20 name: {NAME}\n\
             \x20 labels: {{chorus-cluster: {CLUSTER}}}\n\
             spec:\n\
             \x20 backoffLimit: 0\n\
             \x20 ttlSecondsAfterFinished: 60\n\
             \x20 template:\n\
             \x20   metadata:\n\
             \x20     labels: {{chorus-cluster: {CLUSTER}}}\n\
             \x20   spec:\n\
             \x20     restartPolicy: Never\n\
             {deadline}\
             \x20     containers:\n\
             \x20     - name: engine\n\
             \x20       image: {}\n\
             \x20       command: [sh, -c, {}]\n\
             \x20       stdin: true\n\
             \x20       stdinOnce: true\n\
             \x20       env:\n\
             \x20       - {{name: XDG_CACHE_HOME, value: /tmp/.cache}}\n\
             {resources}",
            yaml(image),
            yaml(&format!("{ends}exec sh")),
        )))
    }

    /// One that a user has written. An error is a sentence.
    pub fn written(text: String) -> Result<Manifest, String> {
        match [NAME, CLUSTER].into_iter().find(|mark| !text.contains(mark)) {
            Some(mark) => Err(format!("it lacks `{mark}`: `--dry-run` prints a manifest that has it")),
            None => Ok(Manifest(text)),
        }
    }

    /// With its marks.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    fn fill(&self, name: &str, cluster: &str) -> String {
        self.0.replace(NAME, name).replace(CLUSTER, cluster)
    }
}

/// A scalar. What JSON writes is YAML, too.
fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `2:00:00`, or a number of seconds.
fn seconds(time: &str) -> Result<u64, String> {
    let parts = time.split(':').map(|part| part.parse::<u64>().ok().filter(|part| *part < 1 << 30));
    let seconds = parts.map(|part| part.ok_or(())).try_fold(0_u64, |sum, part| part.map(|part| sum * 60 + part));
    match seconds {
        Ok(seconds) if seconds > 0 && time.split(':').count() <= 3 => Ok(seconds),
        _ => Err(format!("`--time {time}` is no time: write seconds, or hours, minutes and seconds as in 2:00:00")),
    }
}

impl Kubernetes {
    pub(super) fn into_provider(
        self,
        launch: Launch,
        cluster: &str,
        ends_with_us: bool,
    ) -> io::Result<KubernetesProvider> {
        let parent = Parent::start(ends_with_us)?;
        // Somebody else's cluster may have the same name.
        let number = SessionId::random().0 as u32;
        let cluster = format!("{}-{number:08x}", label(cluster));
        Ok(KubernetesProvider { kubernetes: self, launch, cluster, program: OnceCell::new(), parent })
    }

    /// A command that runs a shell in a pod.
    fn words(&self, name: &str, cluster: &str) -> Vec<String> {
        let ours = ["sh", "-c", SCRIPT, "sh", name].map(str::to_owned);
        ours.into_iter().chain([self.manifest.fill(name, cluster)]).chain(self.command.iter().cloned()).collect()
    }
}

/// As much of a name as may be one in Kubernetes.
fn label(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept = lower.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' });
    let kept: String = kept.take(30).collect();
    format!("chorus-{}", kept.trim_matches('-'))
}

#[derive(Debug)]
pub(super) struct KubernetesProvider {
    kubernetes: Kubernetes,
    launch: Launch,
    /// What its jobs' names begin with, and its pods' label.
    cluster: String,
    program: OnceCell<Program>,
    parent: Parent,
}

impl Provider for KubernetesProvider {
    fn bring<'a>(&'a self, Site { place, gateway, .. }: Site<'a>) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let program = self.program.get_or_try_init(|| Program::read(&self.launch)).await?;
            let name = format!("{}-{:08x}", self.cluster, SessionId::random().0 as u32);
            let mut job = self.parent.run(self.kubernetes.words(&name, &self.cluster)).await?;
            let errand = Errand { launch: &self.launch, program, place, gateway, stays: Stays::Yes, tunnel: None };
            // However long the pod has to wait.
            let talk = errand.run(&mut job.0, "kubectl", None).await.map_err(|failed| failed.why)?;
            tokio::spawn(job.stay(talk));
            Ok(())
        }
        .boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Option<String>> {
        async move {
            let (kubectl, more) = self.kubernetes.command.split_first()?;
            let asked = Command::new(kubectl)
                .args(more)
                .args(["get", "pods", "-l", &format!("chorus-cluster={}", self.cluster), "-o", PENDING])
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .output();
            let answer = asked.await.ok().filter(|answer| answer.status.success())?;
            in_queue("Kubernetes' queue", waiting(&String::from_utf8_lossy(&answer.stdout)))
        }
        .boxed()
    }
}

/// Of each pod that waits: why its containers do, and why it isn't placed.
const PENDING: &str = "jsonpath={range .items[?(@.status.phase==\"Pending\")]}{.status.containerStatuses[*].state.waiting.reason}\
                       |{.status.conditions[?(@.type==\"PodScheduled\")].reason}{\"\\n\"}{end}";

/// The reason of each, from what comes of [`PENDING`].
fn waiting(lines: &str) -> impl Iterator<Item = Option<&str>> {
    let reasons = lines.lines().filter_map(|line| line.split_once('|'));
    reasons.map(|(containers, pod)| [containers, pod].into_iter().find_map(|of| of.split_whitespace().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_manifest_has_what_was_asked_for() {
        let plain = Manifest::new("debian:bookworm", &Resources::default()).unwrap();
        assert!(!plain.text().contains("resources") && !plain.text().contains("Deadline"), "{}", plain.text());
        let resources = Resources { partition: None, time: some("1:00:05"), cores: Some(2), memory: some("4Gi") };
        let sized = Manifest::new("a \"b\": c", &resources).unwrap();
        for part in [
            "limits: {cpu: \"2\", memory: \"4Gi\"}",
            "activeDeadlineSeconds: 3605\n",
            "export CHORUS_ENDS_AT=$(($(date +%s) + 3605)); exec sh",
            "image: \"a \\\"b\\\": c\"\n",
        ] {
            assert!(sized.text().contains(part), "{part}: {}", sized.text());
        }
        assert!(Manifest::written(sized.text().to_owned()).is_ok(), "what is printed is taken again");
        let filled = sized.fill("chorus-lab-1", "chorus-lab");
        assert!(filled.contains("name: chorus-lab-1\n") && !filled.contains('@'), "{filled}");
        assert!(Manifest::written("name: @NAME@".into()).unwrap_err().starts_with("it lacks `@CLUSTER@`"));
    }

    #[test]
    fn times_are_read_and_others_refused() {
        let read = |text: &str| seconds(text).ok();
        assert_eq!([read("90"), read("1:30"), read("2:00:00")], [Some(90), Some(90), Some(7200)]);
        for wrong in ["", "0", "2h", "1:", "1:2:3:4", "99999999999999999999", "-1"] {
            assert!(seconds(wrong).unwrap_err().contains("is no time"), "{wrong}");
        }
    }

    /// What stands for kubectl here knows no pod that is ready, says so at once, and can't delete at the first try.
    #[tokio::test]
    async fn a_job_that_waits_is_removed_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        // It is known when the script rests.
        let sleep = folder.path().join("sleep");
        let rests = format!("#!/bin/sh\necho rest >> '{}'\nPATH=${{PATH#*:}} exec sleep \"$1\"\n", log.display());
        std::fs::write(&sleep, rests).unwrap();
        std::fs::set_permissions(&sleep, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("PATH={}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let kubectl = "case $1 in create) cat > /dev/null ;; wait) exit 1 ;; get) printf '%s/' \"$3\" ;; esac; \
                       echo \"$1\" >> \"$0\"; case $1 in delete) [ \"$(grep -c delete \"$0\")\" = 2 ] ;; esac";
        let command = ["sh", "-c", kubectl, log.to_str().unwrap()].map(str::to_owned).to_vec();
        let manifest = Manifest::written(format!("{NAME} {CLUSTER}")).unwrap();
        let words = Kubernetes { command, manifest }.words("job-1", "cluster");
        let parent = Parent::start(true).unwrap();
        let job = parent.run(["env".to_owned(), path].into_iter().chain(words).collect()).await.unwrap();
        let said = |what: &str| std::fs::read_to_string(&log).unwrap_or_default().matches(what).count();
        let until = async |what, times| {
            let waits = async {
                while said(what) < times {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            let limit = std::time::Duration::from_secs(30);
            tokio::time::timeout(limit, waits).await.unwrap_or_else(|_| panic!("no {what} after 30 s"));
        };
        until("rest", 1).await;
        drop(job);
        until("delete", 2).await;
    }

    #[test]
    fn names_are_as_kubernetes_wants_them() {
        assert_eq!(label("Lab_2 "), "chorus-lab-2");
        assert!(label(&"x".repeat(200)).len() < 40);
    }

    #[test]
    fn who_waits_is_found_with_the_reason() {
        let told = "|Unschedulable\nImagePullBackOff|\n|\nContainerCreating ContainerCreating|\ngarbage\n";
        let found: Vec<_> = waiting(told).collect();
        assert_eq!(found, [Some("Unschedulable"), Some("ImagePullBackOff"), None, Some("ContainerCreating")]);
    }
}
