//! Messages from one member to another.

use super::*;

#[test]
fn messages_keep_their_order_in_and_beside_the_ring() {
    let mut dice = Dice(4);
    let sent: Vec<Vec<u8>> = (0..200).map(|_| dice.bytes()).collect();
    parties(2, |member| match member.rank() {
        0 => sent.iter().for_each(|it| member.send(1, "u8", 0, it).unwrap()),
        _ => assert!(sent.iter().all(|it| receive(member, Some(0), "u8", 0).unwrap().1 == *it)),
    });
}

#[test]
fn what_anybody_sends_comes_in_turns() {
    let folder = Folder::new();
    let all: Vec<Member> = (0..3).map(|rank| Member::open(folder.info(rank, 3), &folder.0).unwrap()).collect();
    for (from, value) in [(1, 10), (1, 11), (1, 12), (2, 20), (2, 21), (0, 1)] {
        all[from].send(0, "u8", 0, &[value]).unwrap();
    }
    let next = || {
        let (from, bytes) = receive_near(&all[0], None).unwrap();
        (from, bytes[0])
    };
    let taken: Vec<_> = (0..6).map(|_| next()).collect();
    assert_eq!(taken, [(0, 1), (1, 10), (2, 20), (1, 11), (2, 21), (1, 12)]);
}

#[test]
fn who_waits_for_anybody_is_told_when_nobody_comes() {
    let said = parties(3, |member| match member.rank() {
        // What was sent before still comes.
        2 => {
            member.send(0, "f64", 105, &[8]).unwrap();
            String::new()
        }
        1 => String::new(),
        _ => {
            assert_eq!(receive(member, None, "f64", 105).unwrap().0.from, 2);
            text(receive(member, None, "f64", 105))
        }
    });
    assert_eq!(said[0], "recv_any(f64) can't end: no other engine of the group is in the cell any more");
    let folder = Folder::new();
    let member = Member::open(folder.info(0, 3), &folder.0).unwrap();
    leave(&folder.0, 3, 2, Some("was killed")).unwrap();
    assert_eq!(text(receive_near(&member, None)), "recv_any(u8) can't end: engine 5 was killed");
    let said = parties(2, |member| match member.rank() {
        0 => text(meet_all(member, Kind::Barrier, 102)),
        _ => text(does(member, "recv_any", |member| receive(member, None, "f64", 111).map(drop))),
    });
    let expected = "every engine of the group waits, and so nothing will come: barrier() at cell line 2 on engine 1, recv_any() \
                    at cell line 11 on engine 3";
    assert!(said.iter().any(|said| said == expected), "{said:?}");
}

#[test]
fn if_all_wait_they_are_told() {
    let begin = Instant::now();
    let said = parties(3, |member| match member.rank() {
        0 => text(meet_all(member, Kind::Barrier, 102)),
        rank => {
            text(does(member, "recv", |member| receive(member, Some(3 - rank), "f64", 110 + rank as u32).map(drop)))
        }
    });
    assert!(begin.elapsed() < Duration::from_secs(2));
    let expected = "every engine of the group waits, and so nothing will come: barrier() at cell line 2 on engine 1, recv(2) at \
                    cell line 11 on engine 3, recv(1) at cell line 12 on engine 5";
    assert!(said.iter().any(|said| said == expected), "{said:?}");
    assert!(said.iter().all(|said| !said.is_empty()), "{said:?}");
}

#[test]
fn who_has_left_is_named_where_all_others_wait() {
    let said = parties(4, |member| match member.rank() {
        rank @ 0..2 => {
            text(does(member, "recv", |member| receive(member, Some(1 - rank), "f64", 110 + rank as u32).map(drop)))
        }
        _ => String::new(),
    });
    let expected = "every engine that is still in the cell waits, and so nothing will come: recv(1) at cell line 10 on engine 1, \
                    recv(0) at cell line 11 on engine 3; engines 5 and 7 have left it";
    assert!(said.iter().any(|said| said == expected), "{said:?}");
    assert!(said[..2].iter().all(|said| !said.is_empty()), "{said:?}");
}

#[test]
fn a_message_to_who_has_ended_is_nobodys_and_one_to_who_has_failed_is_an_error() {
    let folder = Folder::new();
    let member = Member::open(folder.info(0, 3), &folder.0).unwrap();
    leave(&folder.0, 3, 1, None).unwrap();
    leave(&folder.0, 3, 2, Some("was killed")).unwrap();
    assert_eq!(member.send(1, "u8", 0, &[]), Ok(()));
    assert_eq!(text(member.send(2, "u8", 0, &[])), "send(u8) to rank 2 can't end: engine 5 was killed");
}

#[test]
fn what_was_sent_before_the_end_still_arrives() {
    members(2, |member| match member.rank() {
        0 => member.send(1, "u8", 0, &[8]).unwrap(),
        _ => {
            while member.memory.left(0).is_none() {
                std::thread::yield_now();
            }
            assert_eq!(receive_near(member, Some(0)).unwrap().1, [8]);
            assert!(text(receive_near(member, Some(0))).contains("without sending it"));
        }
    });
}

#[test]
fn a_message_of_another_type_is_taken_but_not_its_bytes() {
    parties(2, |member| match member.rank() {
        // In the ring, and beside it.
        0 => [3, 100_003, 8].iter().for_each(|length| member.send(1, "u8", 7, &vec![1; *length]).unwrap()),
        _ => {
            for _ in 0..2 {
                let mut value = vec![0.5_f64];
                let letter = member.receive(Some(0), "f64", 0, &mut value).unwrap();
                assert_eq!((&*letter.of, letter.line, value), ("u8", 7, vec![0.5]));
            }
            assert_eq!(receive(member, Some(0), "u8", 0).unwrap().1, [1; 8]);
        }
    });
}
