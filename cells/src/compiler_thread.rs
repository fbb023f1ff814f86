//! The thread on which the compiler lives, which waits for its process.

use crate::interrupt::Interrupted;
use chorus_compiler::{Assistant, Compiler, Config, Context, Diagnostic, Interrupter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use tokio::sync::{oneshot, watch};

type Job = Box<dyn FnOnce(Result<&mut Compiler, &Diagnostic>) + Send>;

/// Large expressions are read by recursion.
const STACK: usize = 64 << 20;

/// Sends work to the compiler's thread. Cloned freely; work is done in the order in which it was sent.
#[derive(Clone)]
pub struct CompilerThread {
    jobs: Sender<Job>,
    interrupter: Interrupter,
    context: watch::Sender<Arc<Context>>,
    assistant: Assistant,
    prepares: Arc<AtomicBool>,
}

impl CompilerThread {
    /// Starts the compiler in the background. If it can't be started, each piece of work hears why.
    pub fn start(config: Config) -> std::io::Result<CompilerThread> {
        let (jobs, work) = channel::<Job>();
        let (interrupter, assistant) = (config.interrupter.clone(), config.assistant.clone());
        std::thread::Builder::new().name("compiler".into()).stack_size(STACK).spawn(move || {
            let mut compiler = Compiler::start(&config);
            loop {
                match work.recv_timeout(Compiler::rests_after()) {
                    Ok(job) => job(compiler.as_mut().map_err(|error| &*error)),
                    Err(RecvTimeoutError::Timeout) => compiler.iter_mut().for_each(Compiler::rest),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        })?;
        Ok(CompilerThread { jobs, interrupter, context: watch::Sender::default(), assistant, prepares: Arc::default() })
    }

    /// Has the compiler do something, and waits for the result.
    pub async fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Compiler) -> R + Send + 'static,
    ) -> Result<R, Diagnostic> {
        let (reply, answer) = oneshot::channel();
        let work = self.publishing(work);
        let job: Job = Box::new(move |compiler| {
            let result = compiler.map(work).map_err(Clone::clone);
            let _ = reply.send(result);
        });
        let gone = || Diagnostic::error("the compiler's thread is gone: restart the kernel");
        self.jobs.send(job).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// As [`CompilerThread::with`]; `None` if the user interrupts while the compiler is still busy with something else,
    /// such as starting. Then the work isn't done.
    pub async fn with_unless_interrupted<R: Send + 'static>(
        &self,
        interrupted: &mut Interrupted,
        work: impl FnOnce(&mut Compiler) -> R + Send + 'static,
    ) -> Result<Option<R>, Diagnostic> {
        // Whoever takes it first decides: the compiler begins, or the user gives up.
        let decided = Arc::new(AtomicBool::new(false));
        let taken = Arc::clone(&decided);
        let result = self.with(move |compiler| (!taken.swap(true, Ordering::SeqCst)).then(|| work(compiler)));
        tokio::pin!(result);
        tokio::select! {
            result = &mut result => return result,
            () = interrupted.next() => {}
        }
        if decided.swap(true, Ordering::SeqCst) {
            // It runs, and has heard of the interrupt as well.
            return result.await;
        }
        Ok(None)
    }

    /// Has the compiler do something later; nobody waits for it.
    pub fn send(&self, work: impl FnOnce(&mut Compiler) + Send + 'static) {
        let work = self.publishing(work);
        let job: Job = Box::new(move |compiler| {
            if let Ok(compiler) = compiler {
                work(compiler);
            }
        });
        let _ = self.jobs.send(job);
    }

    /// What the next cell will be compiled with, as far as is known: the compiler isn't asked, which may be busy.
    pub fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context.borrow())
    }

    /// Who completes and explains, whatever the compiler is busy with. It is prepared for that when it isn't.
    pub fn assistant(&self) -> &Assistant {
        let is_prepared = self.assistant.is_there() && self.context.borrow().is_prepared;
        if !is_prepared && !self.prepares.swap(true, Ordering::SeqCst) {
            let prepares = Arc::clone(&self.prepares);
            self.send(move |compiler| {
                if let Err(error) = compiler.prepare_to_assist() {
                    tracing::warn!("completion lacks the dependencies: {error:?}");
                }
                prepares.store(false, Ordering::SeqCst);
            });
        }
        &self.assistant
    }

    /// The same work, whose effects are known to [`CompilerThread::context`] before anybody hears that it is done.
    fn publishing<R, W>(&self, work: W) -> impl FnOnce(&mut Compiler) -> R + use<R, W>
    where
        W: FnOnce(&mut Compiler) -> R,
    {
        let context = self.context.clone();
        move |compiler| {
            let result = work(compiler);
            context.send_replace(Arc::new(compiler.context()));
            result
        }
    }

    /// A new cell begins: interrupts that came before don't count.
    pub fn begin_cell(&self) {
        self.interrupter.reset();
    }

    /// What is being compiled has failed. It takes no time; [`CompilerThread::end_builds`] is to follow.
    pub fn interrupt(&self) {
        self.interrupter.ask();
    }

    /// Ends what was being compiled when it was interrupted, unless the next cell has begun. It may wait.
    pub fn end_builds(&self) {
        self.interrupter.tell();
    }
}
