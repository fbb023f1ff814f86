use super::*;
use proptest::prelude::*;

/// Parses the pieces; adjacent texts become one.
fn parse(pieces: &[&[u8]], content_max: usize) -> Vec<Item> {
    let mut parser = Parser { content_max, ..Parser::default() };
    let mut items = Vec::new();
    for piece in pieces {
        parser.push(piece, &mut items);
    }
    parser.finish(&mut items);
    let mut joined: Vec<Item> = Vec::new();
    for item in items {
        match (joined.last_mut(), item) {
            (Some(Item::Text(before)), Item::Text(text)) => before.extend(text),
            (_, item) => joined.push(item),
        }
    }
    joined
}

fn whole(text: &str) -> Vec<Item> {
    parse(&[text.as_bytes()], CONTENT_MAX)
}

fn text(text: &str) -> Item {
    Item::Text(text.into())
}

fn display(contents: &[(&str, &str)]) -> Item {
    let content = |(mime, content): &(&str, &str)| MimeContent { mime: mime.to_string(), content: content.to_string() };
    Item::Display(DisplayKind::Value, contents.iter().map(content).collect())
}

#[test]
fn text_goes_through() {
    assert_eq!(whole("hello\nEVE EVCXR_ E"), [text("hello\nEVE EVCXR_ E")]);
}

#[test]
fn text_is_given_out_at_once_up_to_what_may_be_a_marker() {
    let mut parser = Parser::default();
    let mut items = Vec::new();
    parser.push(b"50 % EVCX", &mut items);
    assert_eq!(items, [text("50 % ")]);
    parser.push(b"!", &mut items);
    assert_eq!(items[1..], [text("EVCX!")]);
}

#[test]
fn markers_are_found() {
    assert_eq!(
        whole(
            "a\nEVCXR_PANIC_NOTIFICATION\nEVCXR_ERROR_OCCURRED\nbEVCXR_VARIABLE_CHANGED_TYPE:x\n\
             EVCXR_INPUT_REQUEST:Name?\nEVCXR_INPUT_REQUEST_PASSWORD:Key: \n"
        ),
        [
            text("a\n"),
            Item::Panicked,
            Item::ReturnedError,
            text("b"),
            Item::TypeChanged("x".into()),
            Item::Input { prompt: "Name?".into(), password: false },
            Item::Input { prompt: "Key: ".into(), password: true },
        ]
    );
}

#[test]
fn a_content_is_displayed_also_after_a_partial_line() {
    assert_eq!(
        whole("x = EVCXR_BEGIN_CONTENT text/plain\n1\n2\nEVCXR_END_CONTENT\ny\n"),
        [text("x = "), display(&[("text/plain", "1\n2")]), text("y\n")]
    );
    assert_eq!(whole("EVCXR_BEGIN_CONTENT a/b\nEVCXR_END_CONTENT\n"), [display(&[("a/b", "")])]);
    assert_eq!(whole("EVCXR_BEGIN_CONTENT a/b\n\nEVCXR_END_CONTENT\n"), [display(&[("a/b", "")])]);
}

#[test]
fn adjacent_types_are_one_value_and_a_repeated_type_is_the_next() {
    let content = |mime, content| format!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT\n");
    let all = [content("a/a", 1), content("b/b", 2), content("a/a", 3), "-".into(), content("b/b", 4)].concat();
    assert_eq!(
        whole(&all),
        [display(&[("a/a", "1"), ("b/b", "2")]), display(&[("a/a", "3")]), text("-"), display(&[("b/b", "4")])]
    );
}

#[test]
fn a_value_waits_for_its_other_types_until_it_is_told_not_to() {
    let mut parser = Parser::default();
    let mut items = Vec::new();
    parser.push(b"EVCXR_BEGIN_CONTENT a/a\n1\nEVCXR_END_CONTENT\n", &mut items);
    assert!(items.is_empty() && parser.has_display());
    parser.end_display(&mut items);
    assert_eq!(items, [display(&[("a/a", "1")])]);
    assert!(!parser.has_display());
}

#[test]
fn px_says_what_a_display_is_and_where_it_ends() {
    let content = |mime, content| format!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT\n");
    let all = [
        "PX_DISPLAY_NEW 7\n",
        &content("a/a", 1),
        "printed meanwhile\n",
        &content("b/b", 2),
        "PX_DISPLAY_END\nPX_DISPLAY_UPDATE 7\n",
        &content("a/a", 3),
        "PX_DISPLAY_END\nPX_DISPLAY_ONCE\n",
        &content("a/a", 4),
        "PX_DISPLAY_END\n",
        &content("b/b", 5),
        "PX_CLEAR_OUTPUT\nPX_CLEAR_OUTPUT_WAIT\n",
    ];
    let display_as = |kind, contents: &[(&str, &str)]| match display(contents) {
        Item::Display(_, contents) => Item::Display(kind, contents),
        other => other,
    };
    assert_eq!(
        whole(&all.concat()),
        [
            text("printed meanwhile\n"),
            display_as(DisplayKind::New("7".into()), &[("a/a", "1"), ("b/b", "2")]),
            display_as(DisplayKind::Update("7".into()), &[("a/a", "3")]),
            display_as(DisplayKind::Once, &[("a/a", "4")]),
            display(&[("b/b", "5")]),
            Item::ClearOutput { wait: false },
            Item::ClearOutput { wait: true },
        ]
    );
}

#[test]
fn a_display_that_does_not_end_is_given_out_at_the_end_or_when_it_is_too_much() {
    let open = "PX_DISPLAY_ONCE\nEVCXR_BEGIN_CONTENT a/b\n12345\nEVCXR_END_CONTENT\n";
    let given_out = |max| {
        let mut parser = Parser { content_max: max, ..Parser::default() };
        let mut items = Vec::new();
        parser.push(open.as_bytes(), &mut items);
        assert!(!parser.has_display(), "px says when it ends");
        let before = items.len();
        parser.finish(&mut items);
        (before, items.len())
    };
    assert_eq!(given_out(100), (0, 1));
    assert_eq!(given_out(7), (1, 1));
}

#[test]
fn a_panic_inside_of_a_content_is_a_panic() {
    assert_eq!(
        whole("EVCXR_BEGIN_CONTENT a/b\n<p>\nEVCXR_PANIC_NOTIFICATION\n"),
        [text("EVCXR_BEGIN_CONTENT a/b\n<p>\n"), Item::Panicked]
    );
}

#[test]
fn what_is_unfinished_at_the_end_is_text() {
    for unfinished in ["EVCXR_PANIC_NOTIFICATION", "EVCXR_BEGIN_CONTENT a/b\n1\n", "EVCXR_INPUT_REQUEST:x", "EV"] {
        assert_eq!(whole(unfinished), [text(unfinished)]);
    }
}

#[test]
fn a_content_without_end_is_not_held_for_ever() {
    let long = format!("EVCXR_BEGIN_CONTENT a/b\n{}\nEVCXR_END_CONTENT\n", "x".repeat(101));
    assert_eq!(parse(&[long.as_bytes()], 100), [text(&long)]);
    let mut parser = Parser { content_max: 100, ..Parser::default() };
    let mut items = Vec::new();
    parser.push(b"EVCXR_BEGIN_CONTENT a/b\n", &mut items);
    for _ in 0..20 {
        parser.push(&[b'x'; 10], &mut items);
    }
    assert!(parser.held.is_empty(), "{} bytes are still held", parser.held.len());
}

#[test]
fn a_marker_without_end_is_not_held_for_ever() {
    let long = format!("EVCXR_INPUT_REQUEST:{}", "x".repeat(2 * LINE_MAX));
    let mut parser = Parser::default();
    let mut items = Vec::new();
    parser.push(long.as_bytes(), &mut items);
    assert_eq!(items, [text(&long)]);
}

/// Output made of pieces that matter to the parser, in any order, and of others.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "EVCXR_BEGIN_CONTENT text/plain\n",
            "EVCXR_BEGIN_CONTENT text/html more\n",
            "EVCXR_BEGIN_CONTENT \n",
            "EVCXR_END_CONTENT\n",
            "EVCXR_PANIC_NOTIFICATION\n",
            "EVCXR_ERROR_OCCURRED\n",
            "EVCXR_VARIABLE_CHANGED_TYPE:x\n",
            "EVCXR_INPUT_REQUEST:p\n",
            "EVCXR_INPUT_REQUEST_PASSWORD:p\n",
            "PX_DISPLAY_ONCE\n",
            "PX_DISPLAY_NEW 1\n",
            "PX_DISPLAY_UPDATE 1\n",
            "PX_DISPLAY_END\n",
            "PX_CLEAR_OUTPUT_WAIT\n",
            "EVCXR_",
            "PX_DISPLAY_",
            "E",
            "\n",
            "\u{e9}",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// The bytes that would print this item. Contents are compared after a lossy conversion to text.
fn printed(item: &Item) -> Vec<u8> {
    match item {
        Item::Text(text) => text.clone(),
        Item::Display(_, contents) => contents.iter().flat_map(|content| content.content.as_bytes().to_vec()).collect(),
        Item::TypeChanged(name) => name.as_bytes().to_vec(),
        Item::Input { prompt, .. } => prompt.as_bytes().to_vec(),
        Item::Panicked | Item::ReturnedError | Item::ClearOutput { .. } => Vec::new(),
    }
}

proptest! {
    #[test]
    fn the_cut_does_not_matter(output in output(), cuts in proptest::collection::vec(any::<u16>(), 0..20), max in 0..100usize) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut as usize % (output.len() + 1)).collect();
        cuts.extend([0, output.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|at| &output[at[0]..at[1]]).collect();
        let bytes: Vec<&[u8]> = output.chunks(1).collect();
        let expected = parse(&[&output], max);
        prop_assert_eq!(&parse(&pieces, max), &expected);
        prop_assert_eq!(&parse(&bytes, max), &expected);
    }

    #[test]
    fn what_is_no_marker_is_kept(words in proptest::collection::vec("[a-zE\n]{0,8}", 0..20)) {
        // Each word is put after a marker or a content, which must not swallow any of it.
        let between = ["EVCXR_PANIC_NOTIFICATION\n", "EVCXR_BEGIN_CONTENT a/b\nEVCXR_END_CONTENT\n", "", "EVCXR_x"];
        let mut output = Vec::new();
        let mut expected = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let marker = between[at % between.len()];
            output.extend_from_slice(marker.as_bytes());
            output.extend_from_slice(word.as_bytes());
            if marker == "EVCXR_x" {
                expected.extend_from_slice(marker.as_bytes());
            }
            expected.extend_from_slice(word.as_bytes());
        }
        let kept: Vec<u8> = parse(&[&output], CONTENT_MAX).iter().flat_map(printed).collect();
        prop_assert_eq!(kept, expected);
    }
}
