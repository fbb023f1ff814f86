//! Where a cluster's engines are to be started, as a user says it.

use chorus_controller::{Place, Slurm, Ssh, parse_hosts};
use chorus_magics::On;

/// Where, and how many; `engines` are those that were asked for, `here` as many as this host gets without. An error is a
/// sentence.
pub fn whereabouts(on: &On, engines: Option<u32>, here: impl FnOnce() -> u32) -> Result<(Place, u32), String> {
    let for_ssh = [("--hosts", on.hosts.is_some()), ("--ssh", on.ssh.is_some())];
    let for_slurm = [
        ("--partition", on.partition.is_some()),
        ("--time", on.time.is_some()),
        ("--cores", on.cores.is_some()),
        ("--memory", on.memory.is_some()),
        ("--srun", on.srun.is_some()),
    ];
    let place = match on.on.as_deref() {
        None => Place::Here,
        Some("ssh") => {
            refuse(&for_slurm, "slurm")?;
            let hosts = on.hosts.as_deref().ok_or("ssh needs hosts: `--on ssh --hosts node1,node2*4`")?;
            Place::Ssh(Ssh { hosts: parse_hosts(hosts)?, command: words("ssh", on.ssh.as_deref())? })
        }
        Some(_) => {
            refuse(&for_ssh, "ssh")?;
            Place::Slurm(Slurm {
                command: words("srun", on.srun.as_deref())?,
                partition: on.partition.clone(),
                time: on.time.clone(),
                cores: on.cores,
                memory: on.memory.clone(),
            })
        }
    };
    let engines = match (engines, &place) {
        (Some(engines), _) => engines,
        (None, Place::Here) => here(),
        (None, Place::Ssh(ssh)) => ssh.engines(),
        (None, Place::Slurm(_)) => return Err("Slurm needs a number of engines: `--on slurm -n 8`".to_owned()),
    };
    match on.min {
        Some(min) if min > engines => Err(format!("`--min {min}` is more than the {engines} engines that are started")),
        _ => Ok((place, engines)),
    }
}

fn refuse(flags: &[(&str, bool)], on: &str) -> Result<(), String> {
    match flags.iter().find(|(_, is_there)| *is_there) {
        Some((flag, _)) => Err(format!("`{flag}` is for `--on {on}`")),
        None => Ok(()),
    }
}

/// The words of a command, `usual` if it wasn't said.
fn words(usual: &str, command: Option<&str>) -> Result<Vec<String>, String> {
    let words = shlex::split(command.unwrap_or(usual)).filter(|words| !words.is_empty());
    words.ok_or_else(|| format!("the {usual} command has an open quote, or nothing in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn engines_are_where_and_as_many_as_is_said() {
        let place = |on: &On, engines| whereabouts(on, engines, || 7);
        assert_eq!(place(&On::default(), None), Ok((Place::Here, 7)));
        assert_eq!(place(&On::default(), Some(2)), Ok((Place::Here, 2)));
        let ssh = On { on: some("ssh"), hosts: some("a,b*4"), ssh: some("ssh -F 'a b'"), ..On::default() };
        let Ok((Place::Ssh(found), 5)) = place(&ssh, None) else { panic!("ssh") };
        assert_eq!(found.command, ["ssh", "-F", "a b"]);
        let slurm = On { on: some("slurm"), cores: Some(2), min: Some(3), ..On::default() };
        let Ok((Place::Slurm(found), 3)) = place(&slurm, Some(3)) else { panic!("slurm") };
        assert_eq!((found.command, found.cores), (vec!["srun".to_owned()], Some(2)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        let refused = |on: On, engines| whereabouts(&on, engines, || 7).expect_err("refused");
        let on = |on: &str| On { on: some(on), ..On::default() };
        assert_eq!(refused(on("ssh"), None), "ssh needs hosts: `--on ssh --hosts node1,node2*4`");
        assert_eq!(refused(on("slurm"), None), "Slurm needs a number of engines: `--on slurm -n 8`");
        let mixed = On { hosts: some("a"), ..on("slurm") };
        assert_eq!(refused(mixed, Some(1)), "`--hosts` is for `--on ssh`");
        let mixed = On { time: some("1"), hosts: some("a"), ..on("ssh") };
        assert_eq!(refused(mixed, None), "`--time` is for `--on slurm`");
        let quote = On { srun: some("srun 'x"), ..on("slurm") };
        assert_eq!(refused(quote, Some(1)), "the srun command has an open quote, or nothing in it");
        let min = On { min: Some(9), ..On::default() };
        assert_eq!(refused(min, None), "`--min 9` is more than the 7 engines that are started");
    }
}
