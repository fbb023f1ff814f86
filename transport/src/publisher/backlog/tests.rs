use super::*;

const KIB: usize = 1 << 10;
const GO: Verdict = Verdict { dropped: 0, wait: None };

/// A backlog with subscribers of everything.
struct Fixture {
    backlog: Backlog,
    now: Instant,
    connections: Vec<oneshot::Receiver<()>>,
}

impl Fixture {
    fn new(subscribers: usize) -> Fixture {
        let mut fixture = Fixture { backlog: Backlog::default(), now: Instant::now(), connections: Vec::new() };
        for _ in 0..subscribers {
            let (open, connection) = oneshot::channel();
            let id = fixture.backlog.join(open, fixture.now);
            fixture.backlog.subscribe(id, Bytes::new()).unwrap();
            fixture.connections.push(connection);
        }
        fixture
    }

    fn offer(&mut self, bytes: usize) -> Verdict {
        let message = Message { topic: Bytes::new(), bytes: vec![0; bytes].into() };
        self.backlog.offer(&message, self.now)
    }

    /// Has a subscriber read all there is.
    fn read(&mut self, id: u64) -> usize {
        let mut total = 0;
        loop {
            let length: usize = self.backlog.take(id).iter().map(Bytes::len).sum();
            if length == 0 {
                return total;
            }
            self.backlog.wrote(id, length, self.now);
            total += length;
        }
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
    }

    /// Offers messages of 64 KiB until one isn't taken at once.
    fn fill(&mut self) -> Verdict {
        for _ in 0..4096 {
            let verdict = self.offer(64 * KIB);
            if verdict != GO {
                return verdict;
            }
        }
        panic!("256 MiB were taken");
    }

    fn waiting(&self) -> usize {
        self.backlog.messages.iter().map(|message| message.bytes.len()).sum()
    }

    fn is_open(&mut self, id: u64) -> bool {
        use oneshot::error::TryRecvError;
        self.connections[id as usize - 1].try_recv() == Err(TryRecvError::Empty)
    }
}

#[test]
fn without_subscribers_nothing_is_kept() {
    let mut fixture = Fixture::new(0);
    assert_eq!(fixture.offer(KIB), GO);
    assert_eq!(fixture.waiting(), 0);
}

#[test]
fn a_subscriber_that_reads_slowly_holds_the_publisher_near() {
    let mut fixture = Fixture::new(1);
    let verdict = fixture.fill();
    assert_eq!(verdict, Verdict { dropped: 0, wait: Some(READS) });
    assert_eq!(fixture.waiting() as u64, NEAR);
    // 1 MB/s, for as long as a lifetime: it is always waited for, and never dropped.
    for _ in 0..1000 {
        fixture.later(Duration::from_millis(300));
        let batch = fixture.backlog.take(1);
        fixture.backlog.wrote(1, batch.iter().map(Bytes::len).sum(), fixture.now);
        let verdict = fixture.fill();
        assert!(verdict.dropped == 0 && verdict.wait.is_some(), "{verdict:?}");
        assert!(fixture.waiting() as u64 <= NEAR);
    }
    assert!(fixture.is_open(1));
}

#[test]
fn one_that_does_not_read_is_left_behind_and_then_dropped() {
    let mut fixture = Fixture::new(2);
    fixture.fill();
    fixture.read(2);
    fixture.later(READS);
    let mut published = 0;
    loop {
        match fixture.offer(64 * KIB) {
            GO => published += fixture.read(2),
            verdict => {
                assert_eq!(verdict, Verdict { dropped: 0, wait: Some(PATIENCE - READS) });
                break;
            }
        }
    }
    assert_eq!(published as u64, LIMIT - NEAR);
    fixture.later(PATIENCE - READS);
    assert_eq!(fixture.offer(64 * KIB), Verdict { dropped: 1, wait: None });
    assert!(!fixture.is_open(1) && fixture.is_open(2));
    assert_eq!(fixture.waiting(), 64 * KIB, "what waited for it is gone");
    assert_eq!(fixture.read(2), 64 * KIB);
    assert_eq!(fixture.backlog.take(1), Vec::<Bytes>::new());
}

#[test]
fn one_that_reads_again_in_time_loses_nothing() {
    let mut fixture = Fixture::new(1);
    fixture.fill();
    fixture.later(READS);
    assert_eq!(fixture.fill().wait, Some(PATIENCE - READS));
    fixture.later(PATIENCE - READS - Duration::from_millis(1));
    assert_eq!(fixture.fill().dropped, 0);
    assert_eq!(fixture.read(1) as u64, LIMIT);
    assert_eq!(fixture.offer(KIB), GO);
}

#[test]
fn the_time_in_which_there_is_nothing_to_read_counts_for_nobody() {
    let mut fixture = Fixture::new(1);
    fixture.later(PATIENCE * 10);
    assert_eq!(fixture.fill(), Verdict { dropped: 0, wait: Some(READS) });
    fixture.read(1);
    fixture.later(PATIENCE * 10);
    assert_eq!(fixture.offer(LIMIT as usize), GO, "a large message is taken when nothing waits");
    assert_eq!(fixture.offer(KIB), Verdict { dropped: 0, wait: Some(PATIENCE) });
}

#[test]
fn topics_are_prefixes_and_what_is_not_wanted_is_passed_over() {
    let mut fixture = Fixture::new(1);
    fixture.backlog.unsubscribe(1, b"");
    fixture.backlog.subscribe(1, Bytes::from_static(b"st")).unwrap();
    for topic in ["status", "error", "st"] {
        let message = Message { topic: topic.into(), bytes: topic.into() };
        assert_eq!(fixture.backlog.offer(&message, fixture.now), GO);
    }
    assert_eq!(fixture.backlog.take(1), [Bytes::from("status"), Bytes::from("st")]);
    fixture.backlog.wrote(1, 8, fixture.now);
    assert_eq!(fixture.backlog.unwritten(fixture.now), None);
}

#[test]
fn a_subscriber_may_come_and_go_at_any_time() {
    let mut fixture = Fixture::new(1);
    assert_eq!(fixture.offer(KIB), GO);
    let (open, _connection) = oneshot::channel();
    let late = fixture.backlog.join(open, fixture.now);
    fixture.backlog.subscribe(late, Bytes::new()).unwrap();
    assert_eq!(fixture.read(late), 0, "what was published before isn't for it");
    assert_eq!(fixture.offer(KIB), GO);
    assert_eq!((fixture.read(late), fixture.read(1)), (KIB, 2 * KIB));
    assert_eq!(fixture.offer(KIB), GO);
    assert_eq!(fixture.backlog.unwritten(fixture.now), Some(READS));
    fixture.backlog.leave(1);
    fixture.backlog.leave(late);
    assert_eq!((fixture.waiting(), fixture.backlog.unwritten(fixture.now)), (0, None));
}
