use super::*;

fn text(data: &Bundle, mime: &str) -> String {
    data[mime].as_str().unwrap().to_owned()
}

fn halfway(total: Option<u64>) -> MapView {
    let mut view = MapView::new(total);
    for id in [0, 1, 10, 2] {
        view.engine(EngineId(id), EngineState::Busy);
    }
    view.done(EngineId(0), 3_000, 1_500_000, &[90, 4], 2);
    view.done(EngineId(0), 500, 1_500_000, &[], 0);
    view.done(EngineId(1), 700, 2_000_000, &[17], 1);
    view.engine(EngineId(1), EngineState::Lost);
    view.engine(EngineId(10), EngineState::Idle);
    view
}

#[test]
fn a_map_under_way_is_bars() {
    let data = halfway(Some(10_000)).bundle(Duration::from_secs(3));
    insta::assert_snapshot!(text(&data, "text/plain"), @r"
    map  42% [██████████··············] 4,200/10,000 items, 1.4 k/s, 5 s left, 3 failed
      engine  0 [████········] 3,500 items, 1.2 k/s, busy, 2 failed
      engine  1 [············] 700 items, 350/s, died: others do its items, 1 failed
      engine  2 [············] 0 items, busy
      engine 10 [············] 0 items, idle
    ");
    insta::assert_snapshot!(text(&data, "text/html").replace("<tr>", "\n<tr>"), @r#"
    <table>
    <tr><td style="text-align: left"><b>42%</b></td><td><progress value="0.42" max="1" style="width: 16em; vertical-align: middle; accent-color: #c33"></progress></td><td style="text-align: left">4,200/10,000 items, 1.4 k/s, 5 s left, 3 failed</td></tr>
    <tr><td style="text-align: left">engine 0</td><td><progress value="0.35" max="1" style="width: 16em; vertical-align: middle; accent-color: #c33"></progress></td><td style="text-align: left">3,500 items, 1.2 k/s, busy, 2 failed</td></tr>
    <tr><td style="text-align: left">engine 1</td><td><progress value="0.07" max="1" style="width: 16em; vertical-align: middle; accent-color: #c33"></progress></td><td style="text-align: left">700 items, 350/s, died: others do its items, 1 failed</td></tr>
    <tr><td style="text-align: left">engine 2</td><td><progress value="0" max="1" style="width: 16em; vertical-align: middle"></progress></td><td style="text-align: left">0 items, busy</td></tr>
    <tr><td style="text-align: left">engine 10</td><td><progress value="0" max="1" style="width: 16em; vertical-align: middle"></progress></td><td style="text-align: left">0 items, idle</td></tr></table>
    "#);
}

#[test]
fn the_figures_are_those_of_each_engine() {
    insta::assert_snapshot!(text(&halfway(Some(10_000)).figures(), "text/plain"), @r"
    engine  items  busy    rate     failed  deaths
    0       3,500  3.00 s  1.2 k/s  2       0
    1       700    2.00 s  350/s    1       1
    2       0      0 s              0       0
    10      0      0 s              0       0
    ");
}

#[test]
fn without_a_total_there_are_no_bars() {
    let data = halfway(None).bundle(Duration::from_secs(3));
    insta::assert_snapshot!(text(&data, "text/plain"), @r"
    map 4,200 items, 1.4 k/s, 3 s, 3 failed
      engine  0 3,500 items, 1.2 k/s, busy, 2 failed
      engine  1 700 items, 350/s, died: others do its items, 1 failed
      engine  2 0 items, busy
      engine 10 0 items, idle
    ");
    assert!(!text(&data, "text/html").contains("<progress"));
    let end = halfway(None).summary(Duration::from_secs(3), MapEnd::Interrupted(""));
    assert!(end.starts_with("interrupted: 4,200 items on 2 engines in 3.00 s"), "{end}");
}

#[test]
fn of_many_engines_the_middle_is_one_row() {
    let mut view = MapView::new(Some(1_000));
    for id in 0..40 {
        view.engine(EngineId(id), if id == 20 { EngineState::Lost } else { EngineState::Busy });
        view.done(EngineId(id), 10, 1_000_000, &[], 0);
    }
    let data = view.bundle(Duration::from_secs(1));
    let lines = text(&data, "text/plain").lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines.len(), 17);
    assert_eq!(lines[8], "  engine  7 [············] 10 items, 10.0/s, busy");
    assert_eq!(lines[9], "    25 more [███·········] 250 items, 250/s, 24 busy, 1 died");
    assert_eq!(lines[10], "  engine 33 [············] 10 items, 10.0/s, busy");
    assert_eq!(text(&data, "text/html").matches("<tr>").count(), 17);
}

#[test]
fn nothing_done_yet_has_no_rate() {
    let mut view = MapView::new(Some(1));
    view.engine(EngineId(0), EngineState::Busy);
    insta::assert_snapshot!(text(&view.bundle(Duration::from_secs(75)), "text/plain"), @r"
    map   0% [························] 0/1 item, 1 min 15 s
      engine 0 [············] 0 items, busy
    ");
}

#[test]
fn the_last_line_says_what_was_done() {
    let mut view = MapView::new(Some(10_000_000));
    for id in 0..4 {
        view.done(EngineId(id), 2_500_000, 500_000, &[], 0);
    }
    let all = |view: &MapView, millis, end| view.summary(Duration::from_millis(millis), end);
    assert_eq!(all(&view, 520, MapEnd::Done), "10,000,000 items on 4 engines in 520 ms (19.2 M/s)");
    let told = all(&view.clone().compiled_in(Duration::from_millis(310)), 520, MapEnd::Done);
    assert_eq!(told, "10,000,000 items on 4 engines in 520 ms (19.2 M/s); compiled in 310 ms");
    let mut by_gpus = view.clone().compiled_in(Duration::from_millis(310));
    by_gpus.gpu(2_000, 40_000);
    by_gpus.gpu(1_000, 40_000);
    let told = all(&by_gpus, 520, MapEnd::Done);
    assert!(told.ends_with("; compiled in 310 ms; GPU: 3.00 ms copying, 80.0 ms computing"), "{told}");
    view.done(EngineId(0), 0, 0, &[90, 17, 4], 3);
    insta::assert_snapshot!(all(&view, 520, MapEnd::Done), @"10,000,000 items on 4 engines in 520 ms (19.2 M/s); 3 failed: items 4, 17, 90");
    let half = halfway(Some(10_000));
    insta::assert_snapshot!(all(&half, 61_000, MapEnd::Interrupted("")), @"interrupted: 4,197 of 10,000 items on 2 engines in 1 min 1 s (68.9/s); 3 failed: items 4, 17, 90; workers died on engine 1");
    let last = half.end_bundle(Duration::from_secs(61), MapEnd::Interrupted("the map was interrupted"), true);
    assert!(text(&last, "text/plain").ends_with("on engine 1; the map was interrupted"), "{last:?}");
    assert!(
        text(&last, "text/html").starts_with("<div><progress value=\"0.42\"")
            && text(&last, "text/html").contains("#c33")
    );
    let last = view.end_bundle(Duration::from_secs(1), MapEnd::Done, false);
    assert!(text(&last, "text/html").contains("#c33"), "items failed");
    let mut one = MapView::new(Some(1));
    assert_eq!(all(&one, 0, MapEnd::Failed("")), "failed: 0 of 1 item on 0 engines in 0 s");
    one.done(EngineId(3), 1, 10, &[0], 1);
    insta::assert_snapshot!(all(&one, 25, MapEnd::Failed("")), @"failed: 0 of 1 item on 1 engine in 25.0 ms (40.0/s); 1 failed: item 0");
    let mut many = MapView::new(Some(100));
    many.done(EngineId(0), 100, 10, &(0..100).rev().collect::<Vec<_>>(), 100);
    assert!(all(&many, 1000, MapEnd::Done).ends_with("100 failed: items 0, 1, 2, 3, 4, 5, 6, 7, ..."));
}

#[test]
fn odd_numbers_are_no_panic() {
    let mut view = MapView::new(Some(0));
    assert!(text(&view.bundle(Duration::ZERO), "text/plain").starts_with("map 100% "));
    view.done(EngineId(u32::MAX), u64::MAX, u64::MAX, &[u64::MAX], 1);
    view.done(EngineId(u32::MAX), u64::MAX, 1, &[0; 20], 20);
    let _ = (view.bundle(Duration::MAX), view.end_bundle(Duration::from_nanos(1), MapEnd::Done, true));
    let mut slow = MapView::new(Some(u64::MAX));
    slow.done(EngineId(0), 1, 1, &[], 0);
    let _ = slow.bundle(Duration::MAX);
}

#[test]
fn numbers_are_short() {
    let rates = [(0.0123, "0.01/s"), (7.0, "7.0/s"), (999.4, "999/s"), (1_000.0, "1.0 k/s"), (2.5e9, "2.5 G/s")];
    for (rate, expected) in rates {
        assert_eq!(per_second(rate), expected);
    }
    for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
        assert_eq!(thousands(number), expected);
    }
}
