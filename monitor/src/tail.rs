//! The end of an engine's log file, which lies beside the cluster's connection file.

use crate::Cluster;
use chorus_history::Tails;
use chorus_protocol::EngineId;
use std::path::Path;

/// The last lines of an engine's log, or why they can't be read.
pub fn log_of(cluster: Option<&Cluster>, engine: EngineId) -> Result<Vec<String>, String> {
    let cluster = cluster.ok_or("The cluster isn't running now, and its logs went with it.")?;
    let folder = cluster.connection_file.parent().unwrap_or(Path::new("."));
    let lines = Tails::new(folder, Some([engine].into())).last(usize::MAX);
    let failed = |what: String| format!("{what}. An engine that was added by hand writes to its own terminal.");
    match lines {
        Err(error) => Err(failed(format!("The logs in {} can't be read: {error}", folder.display()))),
        Ok(lines) if lines.is_empty() && !folder.join(format!("engine-{engine}.log")).exists() => {
            Err(failed(format!("There is no engine-{engine}.log in {}", folder.display())))
        }
        Ok(lines) => Ok(lines.into_iter().map(|(_, line)| line).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_log_is_read_by_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let connection_file = folder.path().join("connection.json");
        let cluster = Cluster { name: "lab".into(), connection_file };
        let text: String = (0..40_000).map(|line| format!("line {line}\n")).collect();
        std::fs::write(folder.path().join("engine-3.log"), text).unwrap();
        let lines = log_of(Some(&cluster), EngineId(3)).unwrap();
        assert_eq!(lines.last().unwrap(), "line 39999");
        assert!(lines[0].starts_with("line ") && lines.len() < 40_000, "{}", lines[0]);
        let error = log_of(Some(&cluster), EngineId(4)).unwrap_err();
        assert!(error.contains("engine-4.log"), "{error}");
        assert!(log_of(None, EngineId(3)).is_err());
    }
}
