//! Help, lists and completion.

use super::*;

#[test]
fn help_is_asked_for_in_many_ways() {
    for cell in ["%px?", "%px -h", "%px --help", "%%px -h", "%%px?", "%px -t 0 -h"] {
        assert_eq!(only(cell), Command::Help(name("px")), "{cell}");
    }
    for cell in ["%px??", "%%px?? "] {
        assert_eq!(only(cell), Command::Page(name("px")), "{cell}");
    }
    assert_eq!(only("%cluster?"), Command::Help(name("cluster")));
    assert_eq!(only("%cluster start -h"), Command::Help(name("cluster")));
    assert_eq!(only("%lsmagic -h"), Command::Help(name("lsmagic")));
    for name in Name::all() {
        assert!(name.help().contains(name.0.usage), "{}", name.help());
        assert!(list().contains(&name.forms()));
    }
    insta::assert_snapshot!(name("pxresult").help(), @r"
    Shows what parallel cells did that nobody waited for, or else the last one's outputs again

    Usage: %pxresult [-r | -e | -g BY] [--each] [--partial] [-o NAME]

    Options:
      -r                        The same as --group-outputs=order
      -e                        The same as --group-outputs=engine
      -g, --group-outputs <BY>  Group outputs by their type, by engine, or in order: all first displays, then all second
                                ones [possible values: type, order, engine]
          --each                Show each engine's outputs although they are identical
          --no-each             Show identical outputs once, with the engines that they are from
      -o, --out <NAME>          The outputs that `%px -o NAME` kept, and no others
          --partial             What a `%map` has done that was interrupted or failed; with -o NAME as a variable of this
                                name
      -h, --help                Print help

    Examples:
      %px -a slow()           returns at once
      %pxresult               waits for its end, and shows what came of it
      %pxresult -e            the same, engine by engine
      %pxresult --each        after a `%map`, also what each engine did for it
      %pxresult -o squares    what `%px -o squares` printed and computed
      %pxresult -o handle     what came of `%map -a -o handle`
      %pxresult --partial -o some   what an interrupted `%map` has done, as a variable
    ");
    insta::assert_snapshot!(name("cluster").help(), @r"
    Starts, shows, joins and stops clusters

    Usage: %cluster [start [-n N] [--tcp] [--name NAME] [--label LABEL] [--record FILE] [--min N] [--adapt L:M] [--on WHAT ..] | add [-n N] [--label LABEL] [--on WHAT ..] | scale N | adapt L:M | drain T | stop [--force] | status | watch [--for S] | logs [-t T] [-f] [-n N] | connect NAME|FILE | disconnect | restart [-t T]]

    Commands:
      start       Start a cluster and use it
      stop        Stop the cluster and its engines
      status      Show the cluster and its engines; also what %cluster alone does
      watch       The same, kept up to date until it is interrupted
      logs        Show what happened, and what engines wrote to their logs
      scale       Have so many engines: start more, or let the last ones leave when they have done what they have
      adapt       Have as many engines as there is work for
      add         Have more engines, from anywhere: this host, others, a batch system
      drain       Let engines leave when they have done what they have
      connect     Use a cluster that runs already
      disconnect  Leave a cluster that this notebook didn't start; it goes on
      restart     Give engines fresh, empty workers

    Examples:
      %cluster start -n 4                  4 engines on this machine
      %cluster start --on ssh --hosts a    an engine on host a; with `a,b*4` also four on b
      %cluster start --on slurm -n 64      64 engines, each a job of Slurm's
      %cluster start --on ray -n 8         8 engines, each a task of Ray's; `--on dask=tcp://h:8786` of Dask's
      %cluster start --profile lab         as ~/.config/chorus/clusters.toml says under [lab]
      %cluster start --name lab            other notebooks may connect to it
      %cluster connect lab                 the same cluster from another notebook
      %cluster restart -t 2                a fresh worker for engine 2; its variables are gone
      %cluster                             who is there, what runs, and what that takes
      %cluster watch                       the same, up to date, until it is interrupted
      %cluster logs -t 2 -f                what engine 2 writes to its log
      %cluster scale 8                     more engines, which know all definitions, or fewer
      %cluster adapt 0:64                  as many as there is work for; `off` ends it
      %cluster add --on slurm -n 8         8 more, from elsewhere; flags as of `start`
      %cluster drain 3                     engine 3 finishes what it has, and leaves
      %cluster disconnect                  leaves a cluster that somebody else started
      %cluster stop                        ends one's own cluster
    ");
    let list = list();
    assert!(list.starts_with("Parallel:\n  %px, %%px "), "{list}");
    assert_eq!(list.lines().filter(|line| line.starts_with("  ")).count(), Name::all().count() + 1, "{list}");
}

#[test]
fn the_examples_of_the_help_are_right() {
    for name in Name::all() {
        for line in name.help().lines().filter(|line| line.starts_with("  %")) {
            let example = line.split("   ").find(|part| !part.trim().is_empty()).unwrap();
            let parts = ok(example);
            assert!(matches!(parts.as_slice(), [Part::Magic { .. }]), "{line}");
        }
    }
}

#[test]
fn unfinished_magics_are_completed() {
    let all = |line| complete(line).map(|(at, words)| (at, words.join(" ")));
    assert_eq!(all("%pxr"), Some((0, "%pxresult".into())));
    assert_eq!(
        all("  %%"),
        Some((2, "%%px %%cuda %%map %%time %%timeit %%bash %%sh %%script %%html %%markdown %%latex %%svg %%javascript %%capture \
             %%writefile %%file"
                .into()))
    );
    assert_eq!(all("%wh"), Some((0, "%who %whos".into())));
    assert_eq!(all("%%writefile --a"), Some((12, "--append".into())));
    assert_eq!(all("%cluster st"), Some((9, "start stop status".into())));
    assert_eq!(all("%px -b --no-s"), Some((7, "--no-stream".into())));
    assert_eq!(all("%px f(--no-s"), None);
    assert_eq!(all("%px a - --no-s"), None);
    assert_eq!(all("let a = 1"), None);
    assert_eq!(all("%foo -"), None);
}
