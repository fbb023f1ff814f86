//! The progress bars that a worker has drawn and not ended, so that they can be ended when it dies.

use chorus_protocol::{Death, DisplayKind, MimeContent, Outcome, RunEvent, SIGINT};
use px::progress::{BAR, Status};
use std::collections::BTreeMap;

/// So many bars of one worker are known at a time: one that is kept in a variable never ends.
const MOST: usize = 256;

/// The bars of one worker, by the names of their displays. Give it every event of the worker's runs.
#[derive(Clone, Debug, Default)]
pub struct Bars(BTreeMap<String, Status>);

impl Bars {
    /// Takes an event. What is returned is to be taken for events before it: if the worker has died, the last updates of
    /// its bars.
    pub fn see(&mut self, event: &RunEvent) -> Vec<RunEvent> {
        match event {
            RunEvent::Display { kind: DisplayKind::New(id) | DisplayKind::Update(id), contents } => {
                let bar = contents.iter().find(|content| content.mime == BAR);
                match bar.and_then(|bar| Status::read(&bar.content)).filter(Status::is_running) {
                    Some(status) if self.0.len() < MOST || self.0.contains_key(id) => {
                        self.0.insert(id.clone(), status);
                    }
                    _ => _ = self.0.remove(id),
                }
                Vec::new()
            }
            RunEvent::Done { outcome: Outcome::Died(death, _), .. } => self.end(*death),
            _ => Vec::new(),
        }
    }

    /// The worker has died: the last updates of its bars.
    pub fn end(&mut self, death: Death) -> Vec<RunEvent> {
        let interrupted = matches!(death, Death::Stopped | Death::Signal(SIGINT));
        let last = |(id, status): (String, Status)| {
            let status = status.died(interrupted);
            let content = |mime: &str, content| MimeContent { mime: mime.to_owned(), content };
            let (text, html) = (content("text/plain", status.text()), content("text/html", status.html()));
            let contents = vec![text, html, content(BAR, status.encode())];
            RunEvent::Display { kind: DisplayKind::Update(id), contents }
        };
        std::mem::take(&mut self.0).into_iter().map(last).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(kind: DisplayKind, encoded: &str) -> RunEvent {
        RunEvent::Display { kind, contents: vec![MimeContent { mime: BAR.into(), content: encoded.into() }] }
    }

    #[test]
    fn bars_that_are_open_when_their_worker_dies_are_ended() {
        let mut bars = Bars::default();
        assert_eq!(bars.see(&bar(DisplayKind::New("a".into()), "1 0 10 0 files")), []);
        assert_eq!(bars.see(&bar(DisplayKind::New("b".into()), "1 0 10 0 files")), []);
        assert_eq!(bars.see(&bar(DisplayKind::Update("a".into()), "1 5 10 2000000 files")), []);
        assert_eq!(bars.see(&bar(DisplayKind::Update("b".into()), "0 10 10 2000000 files")), []);
        let done = |outcome| RunEvent::Done { outcome, generation: 0, took: Default::default() };
        assert_eq!(bars.see(&done(Outcome::Ok)), []);
        let last = bars.see(&done(Outcome::died(Death::Signal(9))));
        let [RunEvent::Display { kind: DisplayKind::Update(id), contents }] = last.as_slice() else {
            panic!("{last:?}")
        };
        assert_eq!(id, "a");
        assert_eq!(
            contents[0].content,
            "files  50% [████████████············] 5/10, 2.5/s, its worker died after 2.0 s"
        );
        assert!(contents[1].content.contains("accent-color: #c33"));
        assert_eq!(bars.end(Death::Stopped), [], "once");
    }
}
