#[test]
fn a_call_that_panics_counts_as_failed() {
    let mut cluster = Cluster::ready(1);
    let run = spec(0);
    let task_spec = TaskSpec { run, args: vec![], after: vec![], on: None, gpu: false, retries: 0, timeout_ms: 0 };
    for (number, returns) in [(0, true), (1, false)] {
        let (session, task) = (SESSION, TaskId(number));
        cluster.client("c", FromClient::SubmitTask { session, task, spec: task_spec.clone() });
        let run = RunId::of_task(task, 0);
        if returns {
            cluster.engine("e0", FromEngine::Result { session, run, value: Default::default() });
        }
        // What panics is caught, so the run itself ends well.
        cluster.event("e0", run.0, done(Outcome::Ok, 0));
    }
    let engine = &cluster.core.engines[&EngineId(0)];
    assert_eq!((engine.runs_done, engine.runs_failed, engine.restarts), (2, 1, 0));
}
