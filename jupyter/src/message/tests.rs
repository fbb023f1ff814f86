use super::*;
use proptest::prelude::*;

fn request() -> Message {
    let mut message = Message::new("execute_request", "s1", json!({"code": "1 + 1", "silent": false}));
    message.identities = vec![Bytes::from_static(b"front"), Bytes::from_static(b"end")];
    message.header.0.insert("subshell_id".into(), json!("sub"));
    message.buffers = vec![Bytes::from_static(&[0, 255, 1])];
    message
}

#[test]
fn a_message_comes_back_whole() {
    for key in ["secret", ""] {
        let signer = Signer::new(key);
        let message = request();
        let back = Message::decode(&message.encode(&signer), &signer).unwrap();
        assert_eq!(back, message);
        assert_eq!(back.subshell_id(), Some("sub"));
    }
}

#[test]
fn a_reply_goes_back_to_its_sender() {
    let request = request();
    let reply = Message::reply_to(&request, "execute_reply", json!({"status": "ok"}));
    assert_eq!(reply.identities, request.identities);
    assert_eq!(reply.parent_id(), Some(request.msg_id()));
    assert_eq!(reply.session(), "s1");
    assert_ne!(reply.msg_id(), request.msg_id());
    let date = reply.header.0["date"].as_str().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(date).is_ok() && date.ends_with('Z'), "{date}");
}

#[test]
fn the_signature_is_the_one_that_jupyter_makes() {
    // Python: hmac.new(b"k", b'{"msg_id":"1"}{}{}{"a":1}', "sha256").hexdigest()
    let parts = [&b"{\"msg_id\":\"1\"}"[..], b"{}", b"{}", b"{\"a\":1}"].map(Bytes::from_static);
    assert_eq!(Signer::new("k").sign(&parts), "3bce5ad2230bf67aaaf2e1bd7757d0b84bc3ba4332f6cfcfc57134d4faea5543");
    assert_eq!(Signer::new("").sign(&parts), "");
}

#[test]
fn another_key_is_refused() {
    let frames = request().encode(&Signer::new("a"));
    assert!(matches!(Message::decode(&frames, &Signer::new("b")), Err(MessageError::Signature)));
    let unsigned = request().encode(&Signer::new(""));
    assert!(matches!(Message::decode(&unsigned, &Signer::new("b")), Err(MessageError::Signature)));
}

/// Frames with these parts, rightly signed.
fn signed(parts: [&str; 4], signer: &Signer) -> Vec<Bytes> {
    let parts = parts.map(|part| Bytes::copy_from_slice(part.as_bytes()));
    let signature = Bytes::from(signer.sign(&parts));
    [Bytes::from_static(DELIMITER), signature].into_iter().chain(parts).collect()
}

#[test]
fn errors_say_what_is_wrong() {
    let signer = Signer::new("k");
    let error = |parts| Message::decode(&signed(parts, &signer), &signer).unwrap_err().to_string();
    assert!(error(["[]", "{}", "{}", "{}"]).contains("header isn't a JSON object"));
    assert!(error([r#"{"msg_type":"a"}"#, "{}", "{}", "{}"]).contains("no msg_id"));
    assert!(error([r#"{"msg_id":"1","msg_type":7}"#, "{}", "{}", "{}"]).contains("no msg_type"));
    assert!(error([r#"{"msg_id":"1","msg_type":"a"}"#, "", "{}", "{}"]).contains("parent_header"));
    assert!(Message::decode(&[], &signer).unwrap_err().to_string().contains("delimiter"));
    let short = [Bytes::from_static(DELIMITER), Bytes::new()];
    assert!(Message::decode(&short, &signer).unwrap_err().to_string().contains("1 frames follow"));
}

#[test]
fn a_request_with_broken_content_can_be_answered() {
    let signer = Signer::new("k");
    let frames =
        signed([r#"{"msg_id":"1","msg_type":"complete_request"}"#, "null", "{}", r#"{"code":"\ud83d"}"#], &signer);
    let Err(MessageError::Content { message, .. }) = Message::decode(&frames, &signer) else {
        panic!("a lone surrogate is no JSON");
    };
    assert_eq!((message.msg_id(), &message.content), ("1", &Value::Null));
}

proptest! {
    #[test]
    fn any_frames_are_an_error_and_no_panic(
        frames in proptest::collection::vec(
            prop_oneof![Just(DELIMITER.to_vec()), Just(b"{}".to_vec()), proptest::collection::vec(any::<u8>(), 0..40)],
            0..9,
        )
    ) {
        let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
        prop_assert!(Message::decode(&frames, &Signer::new("k")).is_err());
        // Unsigned, nearly anything may get further in, but an object without a msg_id is never a message.
        prop_assert!(Message::decode(&frames, &Signer::new("")).is_err());
    }

    #[test]
    fn any_changed_byte_of_a_signed_part_is_refused(part in 0..5usize, at in any::<usize>(), bit in 0..8u32) {
        let signer = Signer::new("k");
        let mut frames = request().encode(&signer);
        let index = 3 + part;
        let mut bytes = frames[index].to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // Hex digits may change case without changing the signature.
        prop_assume!(!(part == 0 && bytes.eq_ignore_ascii_case(&frames[index])));
        frames[index] = bytes.into();
        prop_assert!(matches!(Message::decode(&frames, &signer), Err(MessageError::Signature)));
    }

    #[test]
    fn mutated_unsigned_messages_never_panic(part in 0..8usize, at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        let signer = Signer::new("");
        let mut frames = request().encode(&signer);
        let part = part % frames.len();
        let mut bytes = frames[part].to_vec();
        if cut {
            bytes.truncate(at % (bytes.len() + 1));
        } else if !bytes.is_empty() {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        frames[part] = bytes.into();
        if let Ok(message) = Message::decode(&frames, &signer) {
            prop_assert!(message.content.is_object() && message.metadata.is_object());
        }
    }
}
