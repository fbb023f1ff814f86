//! `%push` and its kin, and `%cancel`.

use super::*;

#[test]
fn data_magics_are_read() {
    let transfer = |cell: &str| match only(cell) {
        Command::Transfer(Transfer { way, variables, targets, .. }) => {
            let names: Vec<String> = variables.iter().map(|it| format!("{}>{}", it.from, it.to)).collect();
            (way, names.join(" "), targets.to_string())
        }
        other => panic!("{cell}: {other:?}"),
    };
    let expect = |way, names: &str, targets: &str| (way, names.to_owned(), targets.to_owned());
    assert_eq!(transfer("%push x"), expect(Way::Push, "x>x", "all"));
    assert_eq!(transfer("%push x as y -t 0,1"), expect(Way::Push, "x>y", "0,1"));
    assert_eq!(transfer("%pull -t -1 a, b as c,d"), expect(Way::Pull, "a>a b>c d>d", "-1"));
    assert_eq!(transfer("%scatter xs as part"), expect(Way::Scatter { round_robin: false }, "xs>part", "all"));
    assert_eq!(transfer("%scatter --round-robin xs"), expect(Way::Scatter { round_robin: true }, "xs>xs", "all"));
    assert_eq!(transfer("%gather part as xs"), expect(Way::Gather, "part>xs", "all"));
    let Command::Transfer(Transfer { variables, line, .. }) = only("%pull -t 0 n as i,own, ß as n") else { panic!() };
    let columns: Vec<usize> = variables.iter().map(|it| it.column).collect();
    assert_eq!((line, columns), (1, vec![12, 19, 24]));
    assert_eq!(only("%tasks"), Command::Tasks(Tasks { graph: false, stream: false }));
    assert_eq!(only("%cancel"), Command::Cancel(Cancel::Last));
    assert_eq!(only("%cancel all"), Command::Cancel(Cancel::All));
    assert_eq!(only("%cancel handle"), Command::Cancel(Cancel::Named("handle".into())));
    let Command::PxResult(options) = only("%pxresult --partial -o ys") else { panic!() };
    assert_eq!((options.partial, options.out.as_deref()), (true, Some("ys")));
}
