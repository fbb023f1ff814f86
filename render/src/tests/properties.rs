//! What is so of any outputs, however they are cut.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What engines print, in pieces that arrive in any order across engines and streams.
fn pieces() -> impl Strategy<Value = Vec<(u32, Stream, Vec<u8>)>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let text = prop_oneof!["[abc\n]{0,8}", "[äß€\n]{0,3}", Just("\n".to_owned())];
    let bytes = prop_oneof![3 => text.prop_map(String::into_bytes), 1 => proptest::collection::vec(any::<u8>(), 0..3)];
    proptest::collection::vec((0..3u32, stream, bytes), 0..40)
}

/// The texts of each source, from what was shown. Every line must have a prefix.
fn unprefixed(outputs: &[Output]) -> BTreeMap<(u32, Stream), String> {
    let mut texts: BTreeMap<_, String> = BTreeMap::new();
    for stream in [Stream::Stdout, Stream::Stderr] {
        let shown: String = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Stream { stream: of, text } if *of == stream => Some(text.as_str()),
                _ => None,
            })
            .collect();
        for line in shown.split_inclusive('\n') {
            let (prefix, text) = line.split_once("] ").unwrap_or_else(|| panic!("{line:?} in {shown:?}"));
            let (name, engines) = prefix.strip_prefix('[').and_then(|prefix| prefix.split_once(':')).unwrap();
            assert_eq!(name, stream_name(stream));
            for engine in parse_ids(engines).unwrap() {
                *texts.entry((engine.0, stream)).or_default() += text;
            }
        }
    }
    texts
}

/// What the engines printed, as text. A line is always ended.
fn printed(pieces: &[(u32, Stream, Vec<u8>)]) -> BTreeMap<(u32, Stream), String> {
    let mut bytes: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    for (engine, stream, piece) in pieces {
        bytes.entry((*engine, *stream)).or_default().extend(piece);
    }
    let text = |bytes: Vec<u8>| {
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text
    };
    bytes.into_iter().map(|(source, bytes)| (source, text(bytes))).filter(|(_, text)| !text.is_empty()).collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_and_every_line_has_its_prefix(pieces in pieces(), grouping in 0..4u8) {
        // `\r` rewrites lines on purpose; the tests of lines show how.
        prop_assume!(pieces.iter().all(|(_, _, bytes)| !bytes.contains(&b'\r')));
        let grouping = match grouping { 0 => None, 1 => Some(Grouping::Type), 2 => Some(Grouping::Order), _ => Some(Grouping::Engine) };
        let options = ViewOptions { stream: grouping.is_none(), grouping: grouping.unwrap_or_default(), ..OPTIONS };
        let mut view = PxView::new(&ids(3), options);
        let mut outputs = Vec::new();
        for (engine, stream, bytes) in &pieces {
            let event = RunEvent::Output { stream: *stream, bytes: bytes.clone().into() };
            outputs.extend(view.event(EngineId(*engine), &event, None));
        }
        for engine in ids(3) {
            outputs.extend(view.event(engine, &done(Outcome::Ok), None));
        }
        outputs.extend(view.finish().0);
        prop_assert_eq!(unprefixed(&outputs), printed(&pieces));
    }

    #[test]
    fn flushing_at_any_time_loses_and_mixes_nothing(pieces in pieces(), flushes in proptest::collection::vec(any::<bool>(), 40)) {
        prop_assume!(pieces.iter().all(|(_, _, bytes)| !bytes.contains(&b'\r')));
        let mut view = PxView::new(&ids(3), OPTIONS);
        let mut outputs = Vec::new();
        for ((engine, stream, bytes), flush) in pieces.iter().zip(flushes) {
            let event = RunEvent::Output { stream: *stream, bytes: bytes.clone().into() };
            outputs.extend(view.event(EngineId(*engine), &event, None));
            if flush {
                outputs.extend(view.flush_partial());
                prop_assert!(!view.has_partial());
            }
        }
        outputs.extend(ids(3).into_iter().flat_map(|engine| view.event(engine, &done(Outcome::Ok), None)));
        outputs.extend(view.finish().0);
        // A line that another engine interrupted is shown in pieces, so line ends aren't compared.
        let letters = |texts: BTreeMap<(u32, Stream), String>| -> BTreeMap<(u32, Stream), String> {
            let texts = texts.into_iter().map(|(source, text)| (source, text.replace('\n', "")));
            texts.filter(|(_, text)| !text.is_empty()).collect()
        };
        prop_assert_eq!(letters(unprefixed(&outputs)), letters(printed(&pieces)));
    }

    #[test]
    fn any_sequence_of_events_is_shown(events in proptest::collection::vec((0..3u32, 0..8u8, "[a\r\n]{0,4}"), 0..30), stream: bool) {
        let mut view = PxView::new(&ids(3), ViewOptions { stream, has_result: true, ..OPTIONS });
        for (engine, kind, text) in events {
            let event = match kind {
                0 => RunEvent::Started(Err(NoSnapshot::Off)),
                1 => out(&text),
                2 => err(&text),
                3 => value(&text),
                4 => panic(&text, None),
                5 => panic(&text, Some("t")),
                6 => done(Outcome::Ok),
                _ => done(Outcome::Panicked),
            };
            let _ = view.event(EngineId(engine), &event, place());
            let _ = view.flush_partial();
        }
        let _ = view.finish();
    }
}
