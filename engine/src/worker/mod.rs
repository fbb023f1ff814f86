//! The processes that run cells: a worker, its frozen copy, and the keeper, which is the parent of both.
//!
//! The worker's main thread waits for an object, loads it, calls it, and says how long that took. While a cell runs, a
//! second one flushes its stdout; between cells there are no others than those that cells have left, and the worker can
//! be copied, see [`snapshot`]. It never reads the cell's output, and it never outlives its supervisor.

mod ahead;
mod flusher;
mod inbox;
mod keeper;
mod object;
mod parallel;
mod report;
mod setup;
mod snapshot;

use crate::wire::{FromWorker, ToWorker};
use chorus_protocol::{SnapshotPolicy, Variables};
use chorus_system::{group, process, threads};
use flusher::Flusher;
use object::Objects;
use setup::Ends;
use snapshot::{Renewed, Snapshots};
use std::os::unix::net::UnixStream;

/// The worker program: runs what its supervisor sends until the supervisor is gone. Its last argument is the
/// supervisor's process id. Call it before any thread is started.
pub fn worker_main() -> ! {
    match setup::set_up() {
        Ok(Ends { control, gate, keeper }) => serve(control, Snapshots::new(gate, keeper)),
        Err(error) => {
            eprintln!("this command is started by Chorus itself and not by hand: {error}");
            std::process::exit(2)
        }
    }
}

fn serve(mut channel: UnixStream, mut snapshots: Snapshots) -> ! {
    let mut objects = Objects::default();
    let (mut flusher, mut can_flush) = (Flusher::default(), true);
    let mut policy = SnapshotPolicy::Off;
    // Whether a run has changed the variables since the last snapshot.
    let mut changed = false;
    // The same since it was said last what they take, and what was said.
    let (mut unsaid, mut said) = (false, None::<Variables>);
    let mut me = begin(&channel);
    loop {
        let (preload, object, entry, given, rank, size, wanted) = match inbox::next_order() {
            Some(ToWorker::Load { preload, object, entry, argument, group, rank, size, snapshots }) => {
                (preload, object, entry, (argument, group), rank, size, snapshots)
            }
            Some(ToWorker::TellVariables) => {
                let variables = objects.variables();
                report::send(&FromWorker::Variables(variables.clone()));
                (unsaid, said) = (false, Some(variables));
                continue;
            }
            Some(_) => {
                let wanted = changed && policy != SnapshotPolicy::Off;
                can_flush &= !wanted || flusher.end();
                if wanted && is_worth_keeping(&objects) && !inbox::has_order() {
                    changed = false;
                    if snapshots.take(policy, &mut channel) {
                        objects.restored();
                        (me, changed) = (begin(&channel), true);
                        (unsaid, said) = (true, None);
                        continue;
                    }
                }
                if unsaid && !inbox::has_order() {
                    unsaid = false;
                    let variables = objects.variables();
                    if said.as_ref() != Some(&variables) {
                        report::send(&FromWorker::Variables(variables.clone()));
                        said = Some(variables);
                    }
                }
                if policy != SnapshotPolicy::Off && snapshots.are_fresh() {
                    ahead::copy(&channel).iter().for_each(report::send);
                }
                continue;
            }
            None => {
                group::end_own();
                process::leave(0)
            }
        };
        policy = wanted;
        // It leaves the variables as they are, so the snapshot of before it stays right.
        let leaves_variables = !entry.changes_variables();
        if snapshots.must_copy(policy) {
            can_flush &= flusher.end();
        }
        if snapshots.provide(policy, || is_worth_keeping(&objects), &mut channel) {
            // What was to run when this copy was made killed the original.
            objects.restored();
            (me, changed) = (begin(&channel), true);
            (unsaid, said) = (true, None);
            continue;
        }
        report::set_place(rank, size);
        report::set_given(given);
        match objects.load(&preload, &object, &entry) {
            Ok(cell) => {
                report::send(&FromWorker::Started);
                if let Some(flush) = cell.flush().filter(|_| can_flush) {
                    flusher.begin(flush);
                }
                if !leaves_variables {
                    snapshots.tell_closed();
                }
                report::turn();
                let took = objects.call(&cell);
                report::turn();
                if std::process::id() != me {
                    // A child that the cell forked has come back from it.
                    process::leave(0);
                }
                parallel::end();
                setup::need_output();
                changed |= !leaves_variables;
                unsaid |= !leaves_variables;
                let failed = report::has_failed();
                // A thread that was left here may end this process before it has been told to take a snapshot.
                let is_kept = !leaves_variables && !failed && policy != SnapshotPolicy::Off;
                let renewed = match is_kept && has_others(&flusher) {
                    true => {
                        can_flush &= flusher.end();
                        snapshots.renew(policy, &mut channel)
                    }
                    false => Renewed::No,
                };
                let snapshot = match renewed {
                    Renewed::Copied(frozen) => Some(frozen),
                    Renewed::No => None,
                    Renewed::TakesOver => {
                        objects.restored();
                        (me, changed) = (begin(&channel), true);
                        (unsaid, said) = (true, None);
                        continue;
                    }
                };
                report::send(&FromWorker::Done { took, failed, snapshot });
                if snapshot.is_some() {
                    snapshots.forget_older();
                    changed = false;
                } else if !leaves_variables {
                    snapshots.outdate();
                }
                // After the answer, which needn't wait for it.
                match leaves_variables {
                    true => flusher.pause(),
                    false => can_flush &= flusher.end(),
                }
            }
            Err(error) => report::send(&FromWorker::LoadFailed(error)),
        }
    }
}

/// Whether a fresh worker wouldn't be as good as this one.
fn is_worth_keeping(objects: &Objects) -> bool {
    objects.have_values() || threads::exist().unwrap_or(true)
}

/// Whether there are threads beside this one and the flusher's.
fn has_others(flusher: &Flusher) -> bool {
    threads::number().is_ok_and(|count| count > usize::from(flusher.is_there()))
}

/// Says that this process waits for work over this socket, and returns its id.
fn begin(channel: &UnixStream) -> u32 {
    if let (Ok(reader), Ok(writer)) = (channel.try_clone(), channel.try_clone()) {
        inbox::open(reader);
        report::open(writer);
    }
    let pid = std::process::id();
    report::send(&FromWorker::Ready { pid });
    pid
}
