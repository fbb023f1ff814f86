use super::*;

fn survives<M: Message + PartialEq + std::fmt::Debug>(message: M) {
    let bytes = message.encode();
    assert_eq!(M::decode(&bytes), Ok(message));
    for length in 0..bytes.len() {
        assert_eq!(M::decode(&bytes[..length]), Err(Damaged), "cut after {length}");
    }
}

#[test]
fn messages_come_back_and_cut_ones_are_damaged() {
    let failed = vec![ItemFailure { item: 7, value: Some("-1.0".into()), message: "negative".into() }];
    let failed = Failures { first: failed, count: 1000 };
    let done = |results| Done {
        first: 1,
        count: 2,
        micros: 3,
        gpu: GpuTimes { transfer: 4, kernel: 5 },
        results,
        failed: failed.clone(),
    };
    survives(Ask::Next(vec![done(Results::InPlace), done(Results::Bytes(vec![1, 2])), done(Results::Room(3, 4))]));
    survives(Ask::Map(MapAsk {
        object: "o".into(),
        function: 1,
        items: 2,
        rooms: vec!["a".into(), "b".into()],
        input: vec![3],
        constants: vec![],
        gpu: vec![4],
        wishes: Some(MapWishes { chunk: Some(1), engines: Some(vec![2]), timeout: 3, ..MapWishes::default() }),
    }));
    let asks = [
        Ask::Room(1),
        Ask::Passage("push x".into()),
        Ask::Passed("x".into()),
        Ask::Where(2),
        Ask::Wait { job: 1, millis: 2 },
        Ask::Take { maps: vec![Taking { job: 1, taken: 2 }], any: true },
        Ask::Cancel(1),
        Ask::Forget(2),
        Ask::Free("x".into()),
        Ask::Hold("x".into()),
        Ask::Engines(Some("big".into())),
        Ask::Report(vec![]),
        Ask::SoFar(3),
        Ask::Joined,
        Ask::WaitAny(vec![1, 2]),
        Ask::WaitAll(vec![3]),
        Ask::ForgetAll(vec![4]),
        Ask::Defined { engines: vec![1], name: "a".into(), type_name: "u8".into() },
        Ask::CallOn(CallAsk::default(), vec![OnEngine { job: 1, engine: 2 }]),
    ];
    asks.into_iter().for_each(survives);
    let kept = |buffer| Kept { buffer, offset: 2, bytes: 3 };
    let run = GpuAsk::Run { count: 1, items: Some(kept(4)), results: None };
    let gpu = [run, GpuAsk::Keep(5), GpuAsk::Write(kept(6)), GpuAsk::Read(kept(7)), GpuAsk::Copy(kept(8), kept(9))];
    gpu.into_iter().for_each(survives);
    survives(GpuAsk::Launch(Launch {
        kernel: "k".into(),
        blocks: [1, 2, 3],
        threads: [4, 5, 6],
        shared: 7,
        arguments: vec![LaunchArgument::Value(8), LaunchArgument::Kept(9)],
    }));
    let times = GpuTimes { transfer: 1, kernel: 2 };
    let memory = GpuAnswer::Memory { wanted: 3, free: 2 };
    [GpuAnswer::Done { items: 7, times }, GpuAnswer::Kept(8, 9), memory, GpuAnswer::Failed("no".into())]
        .into_iter()
        .for_each(survives);
    survives(Ask::Call(CallAsk {
        job: 9,
        object: "o".into(),
        function: 1,
        label: "l".into(),
        args: vec![CallArg::Value(vec![2]), CallArg::Job(3)],
        rooms: vec!["r".into()],
        own: vec![],
        after: vec![4],
        on: Some(5),
        gpu: 1,
        retries: Some(6),
        timeout: 7,
        access: Access::Change,
        variables: vec!["part".into()],
        is_last: true,
    }));
    survives(Ask::Result(vec![1], None));
    survives(Ask::Result(vec![1], Some("p".into())));
    assert!(!expects_answer(&Ask::Result(vec![], None).encode()) && expects_answer(&Ask::Cancel(1).encode()));
    survives(Serve {
        rooms: vec![],
        input: vec![1],
        constants: vec![2],
        retries: 3,
        on_error: OnError::Keep,
        timeout: 4,
        threads: 5,
        gpu: Some(GpuServe { module: vec![5], layout: Layout { item: (1, 2), result: (3, 4) }, constants: vec![] }),
    });
    for answer in [
        Answer::Ok,
        Answer::Gone,
        Answer::RunsOn(None),
        Answer::RunsOn(Some(3)),
        Answer::Room("/x".into()),
        Answer::Job(1),
        Answer::Running { done: 1, items: 2 },
        Answer::Ended { path: "/y".into(), bytes: 3, results: "/z".into() },
        Answer::Failed("why".into()),
        Answer::Engines(vec![0, 2]),
        Answer::Taken { map: 1, done: vec![done(Results::Nothing)] },
        Answer::All(vec![Answer::Ok, Answer::Failed("no".into())]),
        Answer::Value { engine: 1, value: vec![2] },
        Answer::Work(vec![Piece { first: 1, count: 2, chunk: 3 }]),
    ] {
        survives(answer);
    }
}

#[test]
fn a_huge_length_is_damage_and_no_allocation() {
    let mut bytes = vec![6u8];
    bytes.extend(u64::MAX.to_le_bytes());
    assert_eq!(Ask::decode(&bytes), Err(Damaged));
    assert_eq!(Answer::decode(&bytes), Err(Damaged));
}
