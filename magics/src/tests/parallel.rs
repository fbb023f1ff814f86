//! `%px`, `%pxconfig` and their kin.

use super::*;
use chorus_protocol::Adapt;

#[test]
fn flags_mean_what_ipyparallels_do() {
    let config = |flags: &str| px(&format!("%px {flags} f()")).0.config;
    let default = PxConfig::default();
    assert_eq!(config(""), default);
    assert!(!config("-a").block);
    assert!(!config("--noblock").block);
    assert!(config("-a -b").block);
    assert!(!config("-b -a").block);
    assert!(!config("--no-stream").stream);
    assert_eq!((config("-r").grouping, config("-r").stream), (Grouping::Order, false));
    assert_eq!(config("-e").grouping, Grouping::Engine);
    assert_eq!(config("-e -g type").grouping, Grouping::Type);
    assert_eq!(config("--group-outputs=engine -r").grouping, Grouping::Order);
    assert!(config("--stream -e").stream);
    assert!(config("--verbose").verbose);
    assert!(config("--each").each);
    assert_eq!(config("--progress-after 0.5").progress_after, Some(std::time::Duration::from_millis(500)));
    assert_eq!(config("--progress-after -1").progress_after, None);
    assert_eq!(config("--progress-after=-1").progress_after, None);
    for (text, number) in [("SIGKILL", 9), ("9", 9), ("int", 2), ("0", 0), ("SIGterm", 15)] {
        assert_eq!(config(&format!("--signal-on-interrupt {text}")).signal_on_interrupt, Signal(number));
    }
    for (flags, targets) in [
        ("-t -1", "-1"),
        ("-t0", "0"),
        ("-bt 0", "0"),
        ("-t '0, 2'", "0,2"),
        ("--targets=-2:", "-2:"),
        ("-t 0 -t 1", "1"),
    ] {
        assert_eq!(config(flags).targets.to_string(), targets, "{flags}");
    }
}

#[test]
fn code_begins_where_flags_end() {
    for (line, text, column) in [
        ("%px f(-1, \"a  b\")  ", "f(-1, \"a  b\")  ", 5),
        ("%px -t 0 -1", "-1", 10),
        ("%px -(a + b)", "-(a + b)", 5),
        ("%px -b --  -a", "-a", 12),
        ("%px 'ü' as u32 % n", "'ü' as u32 % n", 5),
        ("%px -t \"0\" x --each", "x --each", 12),
        ("\t%px\tx", "x", 6),
        ("%px let s = r\"\\\"; // {", "let s = r\"\\\"; // {", 5),
    ] {
        let code = px(line).1;
        assert_eq!((code.text, code.column), (text, column), "{line}");
    }
}

#[test]
fn pxconfig_changes_what_stands_below_it() {
    let parts = ok("%pxconfig -t 0 -a\n%px f()\n%pxconfig");
    let [_, Part::Magic { command: Command::Px(Px { options, .. }), .. }, Part::Magic { command: shown, .. }] =
        parts.as_slice()
    else {
        panic!("{parts:?}")
    };
    assert_eq!((options.config.targets.to_string().as_str(), options.config.block), ("0", false));
    assert_eq!(*shown, Command::PxConfig(PxDefaults { config: options.config.clone(), changed: false, targets: None }));
}

#[test]
fn the_config_is_shown_as_flags() {
    insta::assert_snapshot!(PxConfig::default(), @"%pxconfig --targets all --block --stream --group-outputs=type --no-each --no-verbose --progress-after 2 --signal-on-interrupt SIGINT");
    let other = PxConfig {
        targets: "0,-2:".parse().unwrap(),
        block: false,
        stream: false,
        grouping: Grouping::Order,
        each: true,
        verbose: true,
        progress_after: None,
        signal_on_interrupt: Signal(0),
    };
    for config in [PxConfig::default(), other] {
        let cell = config.to_string();
        let targets = Some(config.targets.clone());
        assert_eq!(only(&cell), Command::PxConfig(PxDefaults { config, changed: true, targets }));
    }
}

#[test]
fn the_other_magics_are_read() {
    assert_eq!(
        only("%pxresult -e --each -o a"),
        Command::PxResult(PxResult { grouping: Grouping::Engine, each: true, out: Some("a".into()), partial: false })
    );
    let Command::AutoPx(AutoPx { config, .. }) = only("%autopx -t 0") else { panic!() };
    assert_eq!(config.targets.to_string(), "0");
    assert_eq!(only("%lsmagic"), Command::LsMagic(LsMagic {}));
    let cluster = |cell| match only(cell) {
        Command::Cluster(command) => command,
        other => panic!("{other:?}"),
    };
    assert_eq!(cluster("%cluster"), ClusterCommand::Status);
    assert_eq!(cluster("%cluster status"), ClusterCommand::Status);
    assert_eq!(cluster("%cluster stop"), ClusterCommand::Stop { force: false });
    assert_eq!(cluster("%cluster stop --force"), ClusterCommand::Stop { force: true });
    assert_eq!(cluster("%cluster disconnect"), ClusterCommand::Disconnect);
    assert_eq!(
        cluster("%cluster start"),
        ClusterCommand::Start { n: None, tcp: false, name: None, label: None, record: None, on: Box::default() }
    );
    assert_eq!(
        cluster("%cluster start -n 4 --tcp --name 'my lab' --label big"),
        ClusterCommand::Start {
            n: Some(4),
            tcp: true,
            name: Some("my lab".into()),
            label: Some("big".into()),
            record: None,
            on: Box::default(),
        }
    );
    let there = cluster("%cluster start --on ssh --hosts a,b*4 --ssh 'ssh -F x'");
    let on =
        On { on: Some("ssh".into()), hosts: Some("a,b*4".into()), command: Some("ssh -F x".into()), ..On::default() };
    assert!(matches!(there, ClusterCommand::Start { on: found, .. } if *found == on));
    let queued =
        cluster("%cluster start --on slurm -n 8 --partition long --time 2:00:00 --cores 2 --memory 4G --min 3");
    let on = On {
        on: Some("slurm".into()),
        partition: Some("long".into()),
        time: Some("2:00:00".into()),
        cores: Some(2),
        memory: Some("4G".into()),
        min: Some(3),
        ..On::default()
    };
    assert!(matches!(queued, ClusterCommand::Start { n: Some(8), on: found, .. } if *found == on));
    let said = |flags: Vec<std::ffi::OsString>| {
        let words = flags.iter().map(|flag| format!("'{}'", flag.to_string_lossy()));
        format!("%cluster start {}", words.collect::<Vec<_>>().join(" "))
    };
    let on = On {
        command: Some("srun -q a".into()),
        shared: Some("/a b".into()),
        hosts: Some("a".into()),
        profile: Some("b".into()),
        ..on
    };
    let again = said(on.flags());
    let again = cluster(&again);
    assert!(matches!(again, ClusterCommand::Start { on: found, .. } if *found == on));
    assert_eq!(cluster("%cluster connect /a/b.json"), ClusterCommand::Connect { to: "/a/b.json".into() });
    assert_eq!(cluster("%cluster scale 8"), ClusterCommand::Scale { n: 8 });
    let adapt = |adapt| ClusterCommand::Adapt { limits: Limits(adapt) };
    assert_eq!(cluster("%cluster adapt 0:8"), adapt(Some(Adapt { least: 0, most: 8, idle: 30 })));
    assert_eq!(cluster("%cluster adapt off"), adapt(None));
    assert_eq!(cluster("%cluster drain 1,3"), ClusterCommand::Drain { targets: "1,3".parse().unwrap() });
    assert_eq!(
        cluster("%cluster watch --for 2"),
        ClusterCommand::Watch { limit: Some(std::time::Duration::from_secs(2)) }
    );
    let logs = ClusterCommand::Logs { targets: Some("-1".parse().unwrap()), follow: true, lines: 20 };
    assert_eq!(cluster("%cluster logs -t -1 -f"), logs);
    assert_eq!(cluster("%cluster restart"), ClusterCommand::Restart { targets: None });
    assert_eq!(cluster("%cluster restart -t -1"), ClusterCommand::Restart { targets: Some("-1".parse().unwrap()) });
}

#[test]
fn targets_that_fail_say_who_made_them_the_default() {
    let error = |cell: &str| {
        let targets = match ok(cell).pop() {
            Some(Part::Magic { command: Command::Px(px), .. }) => px.options.config.targets,
            Some(Part::Magic { command: Command::Map(map), .. }) => map.options.targets,
            Some(Part::Magic { command: Command::Transfer(transfer), .. }) => transfer.targets,
            Some(Part::Magic { command: Command::AutoPx(autopx), .. }) => autopx.config.targets,
            other => panic!("{other:?}"),
        };
        let two = [0, 1].map(chorus_protocol::EngineId);
        targets.resolve(&two).unwrap_err().to_string()
    };
    let plain = "there is no engine 9: the cluster has engines 0-1";
    assert_eq!(error("%px -t 9 a"), plain);
    assert_eq!(error("%pxconfig -t 1\n%px -t 9 a"), plain);
    assert_eq!(error("%pxconfig -t 9\n%px -t 9 a"), plain);
    let set = "; `-t 9` is the default that `%pxconfig` has set, and `-t all` is every engine";
    for cell in ["%px a", "%map f over xs", "%push x", "%px --each a", "%pxconfig --each\n%px a", "%autopx"] {
        assert_eq!(error(&format!("%pxconfig -t 9\n{cell}")), format!("{plain}{set}"));
    }
    assert_eq!(error("%autopx -t 9"), format!("{plain}{}", set.replace("%pxconfig", "%autopx")));
    assert!(error("%pxconfig -t 5:\n%px a").starts_with("the targets `5:` choose none of the engines 0-1; `-t 5:`"));
}
