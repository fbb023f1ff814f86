//! rust-analyzer's database, out of evcxr's hands.
//!
//! evcxr has a rust-analyzer, and lets nobody at it. But each question to one attaches its database to the thread, for as
//! long as it takes, and tells `tracing` what it does meanwhile. So whoever listens there finds the database attached, and
//! may clone it: a clone is another handle of the same.

use crate::message::{Answer, Question};
use crate::place::Place;
use crate::source::Wrapped;
use crate::{complete, hover};
use ra_ap_hir_ty::db::HirDatabase;
use ra_ap_hir_ty::with_attached_db;
use ra_ap_ide::{AnalysisHost, Cancellable, FileId};
use ra_ap_ide_db::RootDatabase;
use salsa::{CancellationToken, Database};
use std::any::Any;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, with_default};
use tracing::{Event, Metadata, Subscriber};

/// What rust-analyzer tells in each question about a place in a file, when its database is attached.
const SPAN: &str = "SourceToDefCtx::file_to_def";

/// The file that evcxr puts its code into. It makes this one first.
const FILE: FileId = FileId::from_raw(0);

/// Does this work, in which this thread asks a rust-analyzer something; shows its database each time.
pub(crate) fn shown<R>(work: impl FnOnce() -> R, show: impl Fn(&RootDatabase) + Send + Sync + 'static) -> R {
    with_default(Listener(show), work)
}

struct Listener<F>(F);

impl<F: Fn(&RootDatabase) + Send + Sync + 'static> Subscriber for Listener<F> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name() == SPAN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        with_attached_db(|db| {
            if let Some(db) = concrete(db) {
                (self.0)(db);
            }
        });
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The database of this type; there is no other.
fn concrete(db: &dyn HirDatabase) -> Option<&RootDatabase> {
    let any: &dyn Any = db;
    any.downcast_ref()
}

/// evcxr's rust-analyzer, which reads nothing new as long as this is there: evcxr would wait for its end.
pub struct Lent {
    host: AnalysisHost,
}

/// Does this work, in which evcxr asks its rust-analyzer something; returns that.
pub fn lent(work: impl FnOnce()) -> Option<Lent> {
    let found = Arc::new(Mutex::new(None));
    let finder = Arc::clone(&found);
    shown(work, move |db| *finder.lock().unwrap_or_else(PoisonError::into_inner) = Some(db.clone()));
    let db = found.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some(Lent { host: AnalysisHost::with_database(db) })
}

impl Lent {
    /// The answer to a question about a place in evcxr's file, in which this text must stand. It is given up when it takes
    /// longer than that: a cell may wait behind it.
    pub fn answer(&self, wrapped: &Wrapped, question: Question, within: Duration) -> Answer {
        let running = Running::default();
        let (ends, ended) = channel::<()>();
        let answer = std::thread::scope(|scope| {
            let watched = running.clone();
            let watch = move || {
                if ended.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
                    watched.give_up();
                }
            };
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, watch) {
                tracing::warn!("nobody ends a question that takes too long: {error}");
            }
            let answer = shown(|| self.try_answer(wrapped, question), move |db| running.add(db.cancellation_token()));
            drop(ends);
            answer
        });
        answer.unwrap_or_else(|_cancelled| Answer::Failed("rust-analyzer took too long".into()))
    }

    fn try_answer(&self, wrapped: &Wrapped, question: Question) -> Cancellable<Answer> {
        let analysis = self.host.analysis();
        let Some(wrapped) = wrapped.within(&analysis.file_text(FILE)?) else {
            return Ok(Answer::Failed("evcxr's text isn't that of the question".into()));
        };
        let place = Place { analysis, file: FILE, wrapped };
        Ok(match question {
            Question::Complete => Answer::Completions(complete::complete(&place)?),
            Question::Hover { detailed } => Answer::Hover(hover::hover(&place, detailed)?),
        })
    }
}

/// What ends the questions that are being answered.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<Tokens>>);

#[derive(Default)]
struct Tokens {
    given_up: bool,
    all: Vec<CancellationToken>,
}

impl Running {
    fn add(&self, token: CancellationToken) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.given_up {
            token.cancel();
        }
        tokens.all.push(token);
    }

    fn give_up(&self) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.given_up = true;
        tokens.all.iter().for_each(CancellationToken::cancel);
    }
}
