//! Where a cluster's engines are to be started, as a user says it.

use crate::profile::Profile;
use chorus_controller::{
    Batch, Guide, GuideKind, Kubernetes, Manifest, Mpi, Pool, Ports, Resources, Script, Slurm, Ssh, System, Way, Where,
    bytes, parse_hosts,
};
use chorus_magics::On;
use chorus_protocol::Adapt;
use std::path::Path;

/// Where engines are to be started, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// Where; without a label.
    pub pool: Pool,
    /// How many.
    pub engines: u32,
    /// How many are enough to begin with, if not all.
    pub min: Option<u32>,
    /// Between which limits their number follows the work, if it does.
    pub adapt: Option<Adapt>,
}

/// Reads the flags, and the profile that they may name; `engines` are those that were asked for, `here` as many as this host
/// gets without. An error is a sentence.
pub fn whereabouts(on: &On, engines: Option<u32>, here: impl FnOnce() -> u32) -> Result<Whereabouts, String> {
    match &on.profile {
        None => placed(on, engines, Vec::new(), here),
        Some(name) => {
            let file = crate::profile::file().ok_or("there is no home folder, so there are no profiles")?;
            let profile = Profile::read(name, &file)?;
            let (on, engines) = profile.beneath(on, engines);
            placed(&on, engines, profile.setup, here).map_err(|why| format!("{why} (with the profile `{name}`)"))
        }
    }
}

fn placed(
    on: &On,
    engines: Option<u32>,
    setup: Vec<String>,
    here: impl FnOnce() -> u32,
) -> Result<Whereabouts, String> {
    let place = match on.on.as_deref() {
        Some(what) => Where::There(way(what, on)?),
        None => {
            fits("", on)?;
            Where::Here
        }
    };
    if !setup.is_empty()
        && matches!(&place, Where::Here | Where::There(Way::Batch(Batch { system: System::HtCondor, .. })))
    {
        return Err("setup lines are for engines of other hosts, and not for HTCondor's".to_owned());
    }
    let ports = on.ports.as_deref().map(str::parse::<Ports>).transpose();
    let ports = ports.map_err(|why| format!("`--ports`: {why}"))?;
    // It begins with as few as it may have, but for one that can tell how long work takes.
    let engines = engines.or(on.adapt.map(|adapt| adapt.least.max(1)));
    let engines = match (engines, &place) {
        (Some(engines), _) => engines,
        (None, Where::Here) => here(),
        (None, Where::There(Way::Ssh(ssh))) => ssh.engines(),
        (None, Where::There(way)) => {
            let (name, on) = (way.title(), on.on.as_deref().unwrap_or_default());
            return Err(format!("{name} needs a number of engines: `--on {on} -n 8`"));
        }
    };
    match on.min {
        Some(min) if min > engines => Err(format!("`--min {min}` is more than the {engines} engines that are started")),
        min => match on.adapt {
            Some(Adapt { least, most, .. }) if engines < least || engines > most => {
                Err(format!("{engines} engines to begin with aren't within `--adapt {least}:{most}`"))
            }
            adapt => Ok(Whereabouts { pool: Pool { place, label: None, setup, ports }, engines, min, adapt }),
        },
    }
}

/// Refuses flags that mean nothing for what starts engines.
fn fits(what: &str, on: &On) -> Result<(), String> {
    let (is_ssh, is_job) = (what == "ssh", what == "slurm" || System::named(what).is_some());
    let is_pod = what == "kubernetes";
    let (is_batch, is_sized) = (is_job && what != "slurm", is_job || is_pod || GuideKind::named(what).is_some());
    let of_jobs = "batch systems, such as `--on slurm`";
    let of_sized = "batch systems, such as `--on slurm`, and for Kubernetes, Dask and Ray";
    let flags = [
        ("--hosts", on.hosts.is_some(), is_ssh, "`--on ssh`"),
        ("--partition", on.partition.is_some(), is_job, of_jobs),
        ("--time", on.time.is_some(), is_job || is_pod, "batch systems, such as `--on slurm`, and for Kubernetes"),
        ("--image", on.image.is_some(), is_pod, "`--on kubernetes`"),
        ("--cores", on.cores.is_some(), is_sized, of_sized),
        ("--memory", on.memory.is_some(), is_sized, of_sized),
        (
            "--script",
            on.script.is_some(),
            is_batch || is_pod,
            "Kubernetes, and batch systems other than Slurm, which has none",
        ),
        ("--tunnel", on.tunnel, is_ssh, "`--on ssh`"),
        ("--ports", on.ports.is_some(), !what.is_empty(), "engines of other hosts"),
        ("--command", on.command.is_some(), !what.is_empty(), "what `--on` names"),
        ("--shared", on.shared.is_some(), is_batch || what == "mpi", "`--on mpi`, and batch systems other than Slurm"),
    ];
    match flags.into_iter().find(|(_, is_there, fits, _)| *is_there && !fits) {
        Some((flag, _, _, whose)) => Err(format!("`{flag}` is for {whose}")),
        None => Ok(()),
    }
}

fn way(what: &str, on: &On) -> Result<Way, String> {
    let (what, address) = what.split_once('=').map_or((what, None), |(what, address)| (what, Some(address)));
    let kind = GuideKind::named(what);
    if address.is_some() && kind.is_none() {
        return Err(format!(
            "`{what}` has no address: only Dask and Ray have one, as in `--on dask=tcp://scheduler:8786`"
        ));
    }
    fits(what, on)?;
    let command = |usual: &str| words(usual, on.command.as_deref());
    if let Some(kind) = kind {
        let address = address.filter(|it| !it.is_empty()).map(str::to_owned);
        if kind == GuideKind::Dask && address.is_none() {
            return Err("Dask needs its scheduler's address: `--on dask=tcp://scheduler:8786`".to_owned());
        }
        let memory = on.memory.as_deref().map(bytes).transpose()?;
        return Ok(Way::Guide(Guide { kind, address, command: command("python3")?, cores: on.cores, memory }));
    }
    // Who starts the engines may be in another folder.
    let shared = on.shared.as_deref().map(std::path::absolute).transpose();
    let shared = shared.map_err(|error| format!("`--shared`: {error}"))?;
    let resources = || Resources {
        partition: on.partition.clone(),
        time: on.time.clone(),
        cores: on.cores,
        memory: on.memory.clone(),
    };
    Ok(match (what, System::named(what)) {
        ("ssh", _) => {
            let hosts = on.hosts.as_deref().ok_or("ssh needs hosts: `--on ssh --hosts node1,node2*4`")?;
            Way::Ssh(Ssh { hosts: parse_hosts(hosts)?, command: command("ssh")?, tunnel: on.tunnel })
        }
        ("slurm", _) => Way::Slurm(Slurm { command: command("srun")?, resources: resources() }),
        ("kubernetes", _) => {
            let manifest = match (&on.script, &on.image) {
                (Some(_), Some(_)) => {
                    return Err("the image stands in the manifest: leave `--image` or `--script` out".to_owned());
                }
                (Some(file), None) => written(file, Manifest::written)?,
                (None, Some(image)) => Manifest::new(image, &resources())?,
                (None, None) => {
                    return Err(
                        "Kubernetes needs an image that has sh: `--on kubernetes --image debian:bookworm`".to_owned()
                    );
                }
            };
            Way::Kubernetes(Kubernetes { command: command("kubectl")?, manifest })
        }
        ("mpi", _) => Way::Mpi(Mpi { command: command("mpirun")?, shared }),
        (_, Some(system)) => {
            let (command, script) =
                (command(system.program())?, on.script.as_deref().map(|file| written(file, Script::new)).transpose()?);
            Way::Batch(Batch { system, command, resources: resources(), shared, script })
        }
        _ => return Err(format!("nothing is called `{what}` that could start engines")),
    })
}

/// What a user has written for jobs, if it can be taken.
fn written<T>(file: &Path, take: impl FnOnce(String) -> Result<T, String>) -> Result<T, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    text.and_then(take).map_err(|why| format!("`--script {}` can't be taken: {why}", file.display()))
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
        let place = |on: &On, engines| whereabouts(on, engines, || 7).map(|found| (found.pool.place, found.engines));
        assert_eq!(place(&On::default(), None), Ok((Where::Here, 7)));
        assert_eq!(place(&On::default(), Some(2)), Ok((Where::Here, 2)));
        let ssh = On { on: some("ssh"), hosts: some("a,b*4"), command: some("ssh -F 'a b'"), ..On::default() };
        let Ok((Where::There(Way::Ssh(found)), 5)) = place(&ssh, None) else { panic!("ssh") };
        assert_eq!(found.command, ["ssh", "-F", "a b"]);
        let slurm = On { on: some("slurm"), cores: Some(2), min: Some(3), ..On::default() };
        let Ok((Where::There(Way::Slurm(found)), 3)) = place(&slurm, Some(3)) else { panic!("slurm") };
        assert_eq!((found.command, found.resources.cores), (vec!["srun".to_owned()], Some(2)));
        for (name, program) in [("sge", "qsub"), ("pbs", "qsub"), ("lsf", "bsub"), ("htcondor", "condor_submit")] {
            let on = On { on: some(name), shared: Some("/home/x".into()), memory: some("4G"), ..On::default() };
            let Ok((Where::There(Way::Batch(found)), 2)) = place(&on, Some(2)) else { panic!("{name}") };
            assert_eq!((Some(found.system), found.command), (System::named(name), vec![program.to_owned()]));
        }
    }

    #[test]
    fn dask_and_ray_have_addresses() {
        let found = |what: &str| {
            let on = On { on: some(what), cores: Some(2), memory: some("4GB"), ..On::default() };
            match whereabouts(&on, Some(3), || 7).map(|found| found.pool.place) {
                Ok(Where::There(Way::Guide(guide))) => guide,
                other => panic!("{what}: {other:?}"),
            }
        };
        let dask = found("dask=tls://a:8786");
        assert_eq!((dask.kind, dask.address.as_deref()), (GuideKind::Dask, Some("tls://a:8786")));
        assert_eq!((dask.command, dask.cores, dask.memory), (vec!["python3".to_owned()], Some(2), Some(4_000_000_000)));
        assert_eq!((found("ray").kind, found("ray").address), (GuideKind::Ray, None));
        assert_eq!(found("ray=a:6379").address.as_deref(), Some("a:6379"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        let refused = |on: On, engines| whereabouts(&on, engines, || 7).expect_err("refused");
        let on = |on: &str| On { on: some(on), ..On::default() };
        assert_eq!(refused(on("ssh"), None), "ssh needs hosts: `--on ssh --hosts node1,node2*4`");
        assert_eq!(refused(on("slurm"), None), "Slurm needs a number of engines: `--on slurm -n 8`");
        assert_eq!(refused(on("sge"), None), "Grid Engine needs a number of engines: `--on sge -n 8`");
        let mixed = On { hosts: some("a"), ..on("slurm") };
        assert_eq!(refused(mixed, Some(1)), "`--hosts` is for `--on ssh`");
        let mixed = On { time: some("1"), hosts: some("a"), ..on("ssh") };
        assert_eq!(refused(mixed, None), "`--time` is for batch systems, such as `--on slurm`, and for Kubernetes");
        let mixed = On { shared: Some("/x".into()), ..on("slurm") };
        assert_eq!(refused(mixed, Some(1)), "`--shared` is for `--on mpi`, and batch systems other than Slurm");
        let here = On { cores: Some(2), ..On::default() };
        let why = "`--cores` is for batch systems, such as `--on slurm`, and for Kubernetes, Dask and Ray";
        assert_eq!(refused(here, None), why);
        assert_eq!(
            refused(on("dask"), Some(1)),
            "Dask needs its scheduler's address: `--on dask=tcp://scheduler:8786`"
        );
        assert_eq!(refused(on("ray"), None), "Ray needs a number of engines: `--on ray -n 8`");
        let why = "`ssh` has no address: only Dask and Ray have one, as in `--on dask=tcp://scheduler:8786`";
        assert_eq!(refused(on("ssh=a"), None), why);
        let timed = On { time: some("1"), ..on("ray") };
        assert_eq!(refused(timed, Some(1)), "`--time` is for batch systems, such as `--on slurm`, and for Kubernetes");
        let large = On { memory: some("much"), ..on("ray") };
        assert_eq!(refused(large, Some(1)), "`much` is no size: write `4GB`, or `4GiB`");
        let lines = || vec!["module load x".to_owned()];
        let why = placed(&on("htcondor"), Some(1), lines(), || 7).unwrap_err();
        assert_eq!(why, "setup lines are for engines of other hosts, and not for HTCondor's");
        assert!(placed(&on("sge"), Some(1), lines(), || 7).is_ok());
        let quote = On { command: some("srun 'x"), ..on("slurm") };
        assert_eq!(refused(quote, Some(1)), "the srun command has an open quote, or nothing in it");
        let adapt = On { adapt: Some(Adapt { least: 2, most: 8, idle: 30 }), ..On::default() };
        assert_eq!(refused(adapt.clone(), Some(9)), "9 engines to begin with aren't within `--adapt 2:8`");
        assert_eq!(whereabouts(&adapt, None, || 7).map(|found| found.engines), Ok(2));
        let min = On { min: Some(9), ..On::default() };
        assert_eq!(refused(min, None), "`--min 9` is more than the 7 engines that are started");
    }
}
