//! Answers what a cell's code asks while it runs, each question by the run that it belongs to.

use super::calls::is_call;
use super::rooms::Holder;
use super::{Cancelled, CellRun, Defined, Job, Jobs};
use crate::failure::{Failure, Kind, failure};
use chorus_protocol::EngineId;
use px::link::{Answer, Ask, CallAsk, MapAsk, Message, Taking};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

impl Jobs {
    /// Answers an encoded [`Ask`].
    pub async fn answer(&self, ask: &[u8]) -> Vec<u8> {
        let answer = match Ask::decode(ask) {
            Ok(ask) => match self.run_of(&ask) {
                Some(run) => run.tell_news_during(self.answer_to(ask, &run)).await.unwrap_or_else(|failed| {
                    let sentence = failed.sentence();
                    run.lock().failure.get_or_insert(failed);
                    Answer::Failed(sentence)
                }),
                None => Answer::Failed("no cell has run in this worker".to_owned()),
            },
            Err(damaged) => Answer::Failed(damaged.to_string()),
        };
        answer.encode()
    }

    /// The run that asks: a thread of an earlier one asks for functions of its own object. Else it is the newest.
    fn run_of(&self, ask: &Ask) -> Option<Arc<CellRun>> {
        let object = match ask {
            Ask::Map(MapAsk { object, .. }) | Ask::Call(CallAsk { object, .. }) => object.as_str(),
            Ask::CallOn(CallAsk { object, .. }, _) => object.as_str(),
            _ => "",
        };
        let state = self.lock();
        let own = state.runs.iter().rev().find(|run| run.object.path == Path::new(object));
        own.or(state.runs.back()).cloned()
    }

    async fn answer_to(&self, ask: Ask, run: &Arc<CellRun>) -> Result<Answer, Failure> {
        match &ask {
            Ask::Wait { job, .. } => self.make_way(&[*job]),
            Ask::Take { maps, .. } => self.make_way(&maps.iter().map(|map| map.job).collect::<Vec<_>>()),
            Ask::WaitAll(_) | Ask::WaitAny(_) => self.make_way(&[]),
            _ => {}
        }
        let no_room = |what: String, error| {
            let what = format!("there is no room for {what} that the engines can see: {error}");
            failure(Kind::MapError, what)
        };
        Ok(match ask {
            Ask::Room(bytes) => {
                let room = self
                    .0
                    .rooms
                    .make(bytes, Holder::Cells)
                    .map_err(|error| no_room(format!("{bytes} bytes"), error))?;
                self.keep(room.clone(), run);
                Answer::Room(room)
            }
            Ask::Passage(purpose) => {
                let room = self
                    .0
                    .rooms
                    .passage(&purpose, Holder::Cells)
                    .map_err(|error| no_room("variables".to_owned(), error))?;
                self.keep(room.clone(), run);
                Answer::Room(room)
            }
            Ask::Passed(path) => {
                run.lock().unmake(&path);
                self.0.rooms.passed(&[path], Holder::Cells);
                Answer::Ok
            }
            Ask::Free(path) => {
                // If the cell's worker dies yet, its variables come back, which may have rooms of earlier cells.
                let mut state = run.lock();
                // A thread of a cell that has ended may let go of it.
                if state.unmake(&path) || state.ended == Some(true) {
                    self.0.rooms.free(&path, Holder::Cells);
                } else {
                    state.left.push(path);
                }
                Answer::Ok
            }
            Ask::Hold(path) if self.0.rooms.hold(&path, Holder::Cells) => {
                self.keep(path, run);
                Answer::Ok
            }
            Ask::Hold(_) => Answer::Gone,
            Ask::Map(ask) => Answer::Job(self.start(ask, run).await?),
            Ask::Call(ask) => {
                self.call(ask, None, run).await;
                Answer::Ok
            }
            Ask::CallOn(ask, engines) => {
                match run.unlike(&ask.variables, &engines) {
                    Some(why) => engines.iter().for_each(|call| self.0.calls.refuse(call.job, why.clone())),
                    None => self.call(ask, Some(&engines), run).await,
                }
                Answer::Ok
            }
            Ask::Engines(label) => {
                let cluster = run.cluster().await?;
                cluster.recovered().await;
                let mut engines = cluster.engines();
                engines.retain(|engine| label.as_ref().is_none_or(|label| cluster.has_label(*engine, label)));
                Answer::Engines(engines.into_iter().map(|engine| engine.0).collect())
            }
            Ask::Take { maps, any } => self.take(&maps, any, run).await?,
            Ask::SoFar(job) => self.done(&*self.job(job)?, run)?,
            Ask::WaitAll(jobs) => self.0.calls.wait_all(&jobs).await,
            Ask::ForgetAll(jobs) => {
                jobs.iter().for_each(|job| self.0.calls.forget(*job));
                Answer::Ok
            }
            Ask::WaitAny(jobs) => self.0.calls.wait_any(&jobs).await,
            Ask::Defined { engines, name, type_name } => {
                let cluster = run.cluster().await?;
                let engines = engines.into_iter().map(EngineId);
                let engines: BTreeMap<EngineId, u32> = engines.map(|id| (id, cluster.generation(id))).collect();
                let mut state = run.lock();
                let defined = state.defined.entry(name).or_default();
                if defined.type_name != type_name {
                    *defined = Defined { type_name, engines: BTreeMap::new() };
                }
                defined.engines.extend(engines);
                Answer::Ok
            }
            Ask::Where(job) => Answer::RunsOn(self.0.calls.place(job)),
            Ask::Wait { job, millis } if is_call(job) => self.0.calls.wait(job, millis).await,
            Ask::Cancel(job) if is_call(job) => {
                self.0.calls.cancel(job);
                Answer::Ok
            }
            Ask::Forget(job) if is_call(job) => {
                self.0.calls.forget(job);
                Answer::Ok
            }
            Ask::Wait { job, millis } => self.wait(job, millis, run).await?,
            Ask::Cancel(job) => {
                self.job(job)?.cancel(Cancelled::ByUser);
                Answer::Ok
            }
            Ask::Forget(job) => {
                self.forget(job, Cancelled::Forgotten);
                Answer::Ok
            }
            Ask::Next(_) | Ask::Report(_) | Ask::Result(..) | Ask::Joined => {
                return Err(failure(Kind::MapError, "the notebook's own cells serve no map or call"));
            }
        })
    }

    /// Whoever waits for something of the engines has it before what other loops haven't asked for yet.
    fn make_way(&self, jobs: &[u64]) {
        let others = |number: &u64| !jobs.contains(number);
        self.lock().jobs.iter().filter(|(number, _)| others(number)).for_each(|(_, other)| other.give_way());
    }

    /// Takes results of a stream: of any of its maps, or of the first.
    async fn take(&self, maps: &[Taking], any: bool, run: &CellRun) -> Result<Answer, Failure> {
        let wanted = if any { maps } else { maps.get(..1).unwrap_or_default() };
        let jobs = wanted.iter().map(|map| self.job(map.job)).collect::<Result<Vec<_>, _>>()?;
        if jobs.is_empty() {
            return Err(failure(Kind::MapError, "a loop over no map asks for results"));
        }
        // What isn't ready first has taken nothing.
        let takes = jobs.iter().zip(wanted).map(|(job, map)| Box::pin(job.take(map.taken)));
        let (taken, at, _) = run.awaiting(&jobs, futures::future::select_all(takes)).await;
        jobs.iter().for_each(|job| job.wait_no_more());
        match taken {
            Ok(done) => Ok(Answer::Taken { map: at as u64, done }),
            Err(failed) => {
                let sentence = failed.sentence();
                run.lock().failure = Some(failed);
                Ok(Answer::Failed(sentence))
            }
        }
    }

    async fn wait(&self, number: u64, millis: u64, run: &CellRun) -> Result<Answer, Failure> {
        let job = self.job(number)?;
        match run.wait(&job, Duration::from_millis(millis.min(1 << 40))).await {
            None => {
                let (done, items) = job.progress();
                Ok(Answer::Running { done, items })
            }
            Some(Err(failed)) => {
                let sentence = failed.sentence();
                run.lock().failure = Some(failed);
                Ok(Answer::Failed(sentence))
            }
            Some(Ok(())) => self.done(&job, run),
        }
    }

    /// What is done.
    fn done(&self, job: &Job, run: &CellRun) -> Result<Answer, Failure> {
        let report = job.report();
        let path = self.0.rooms.with(&report);
        let path = path.map_err(|error| failure(Kind::MapError, format!("the results can't be kept: {error}")))?;
        // px frees it when it has read it.
        run.lock().made.push(path.clone());
        Ok(Answer::Ended { path, bytes: report.len() as u64, results: job.results_room().to_owned() })
    }
}
