//! A cluster's controller that is gone, and may be started again: since when, and which cells were told.

use chorus_render::measured;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// See the module. Whoever waits for engines listens to it.
#[derive(Debug)]
pub struct Away {
    name: String,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since when it is gone, and how long another one is waited for.
    gone: Option<(Instant, Duration)>,
    /// How long it was gone the last time.
    lasted: Duration,
    /// The cells that were told so, by their counts, and haven't been told that it is back.
    told: BTreeSet<u32>,
    /// Whether no cell was told that it was gone, nor that it is back.
    untold: bool,
}

impl Away {
    /// Of a cluster whose controller is there.
    pub fn new(name: &str) -> Away {
        Away { name: name.to_owned(), state: watch::Sender::default() }
    }

    /// It is gone; another one is waited for.
    pub fn begin(&self, limit: Duration) {
        let gone = Some((Instant::now(), limit));
        self.state.send_modify(|state| *state = State { gone, ..State::default() });
    }

    /// It is back.
    pub fn end(&self) {
        self.state.send_modify(|state| {
            let Some((since, _)) = state.gone.take() else { return };
            (state.lasted, state.untold) = (since.elapsed(), state.told.is_empty());
        });
    }

    /// Nobody waits any more. Why is told elsewhere.
    pub fn give_up(&self) {
        self.state.send_replace(State::default());
    }

    /// What the next cell is to be told, if no cell was told that it was gone. Once it is gone again, that counts.
    pub fn untold(&self) -> Option<String> {
        let mut untold = false;
        self.state.send_if_modified(|state| {
            untold = std::mem::take(&mut state.untold);
            false
        });
        untold.then(|| self.back(self.state.borrow().lasted))
    }

    /// Whether it is gone.
    pub fn is_gone(&self) -> bool {
        self.state.borrow().gone.is_some()
    }

    /// Waits for the next thing that a cell is to be told, and returns it.
    pub async fn news(&self, cell: u32) -> String {
        let mut changes = self.state.subscribe();
        loop {
            let mut news = None;
            self.state.send_if_modified(|state| {
                news = self.tell(state, cell);
                false
            });
            match news {
                Some(news) => return news,
                // There is always a sender, which is here.
                None => _ = changes.changed().await,
            }
        }
    }

    fn tell(&self, state: &mut State, cell: u32) -> Option<String> {
        match state.gone {
            Some((since, limit)) if state.told.insert(cell) => {
                let (name, left) = (&self.name, limit.saturating_sub(since.elapsed()).as_secs());
                Some(format!(
                    "the controller of the cluster `{name}` is gone. Its engines go on, and `chorus start --name {name}` \
                     takes them back; this cell waits for that, {left} s at most."
                ))
            }
            None if state.told.remove(&cell) => Some(self.back(state.lasted)),
            _ => None,
        }
    }

    fn back(&self, lasted: Duration) -> String {
        format!("the controller of the cluster `{}` was gone for {}, and is back.", self.name, measured(lasted))
    }

    /// Why a cell isn't waited for any more that the user has interrupted meanwhile.
    pub fn left_alone(&self) -> String {
        let name = &self.name;
        format!(
            "the controller of the cluster `{name}` is gone, so engines can't be told to stop. The cell isn't waited for \
             any more and goes on there; `chorus start --name {name}` takes the engines back, and then %pxresult collects it"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn each_cell_that_waits_is_told_once() {
        let away = Away::new("lab");
        assert_eq!(away.news(1).now_or_never(), None);
        away.begin(Duration::from_secs(3600));
        let told = away.news(1).await;
        assert!(told.contains("`chorus start --name lab`") && told.contains("35"), "{told}");
        assert_eq!(away.news(1).now_or_never(), None);
        assert!(away.news(2).now_or_never().is_some() && away.is_gone());
        away.end();
        assert_eq!(away.untold(), None);
        let back = away.news(1).await;
        assert!(back.starts_with("the controller of the cluster `lab` was gone for"), "{back}");
        assert_eq!(away.news(1).now_or_never(), None);
        assert_eq!(away.news(3).now_or_never(), None, "it didn't wait");

        away.begin(Duration::from_secs(3600));
        away.end();
        assert!(away.untold().is_some(), "for the next cell");
        assert_eq!(away.untold(), None);

        away.begin(Duration::from_secs(3600));
        away.end();
        away.begin(Duration::from_secs(3600));
        assert_eq!(away.untold(), None, "it is gone again, which is told instead");
        away.give_up();
        assert!(!away.is_gone() && away.untold().is_none(), "it isn't back");
    }

    #[tokio::test]
    async fn who_waits_hears_of_it_at_once() {
        let away = Away::new("lab");
        let (news, ()) = tokio::join!(away.news(1), async { away.begin(Duration::from_secs(60)) });
        assert!(news.contains("is gone"), "{news}");
    }
}
