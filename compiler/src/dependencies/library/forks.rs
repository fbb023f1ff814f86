
mod chorus_forks {
    use std::ffi::{c_int, c_void};
    use std::sync::Mutex;

    type Handler = Option<extern "C" fn()>;

    /// What a process that a fork makes is to call, where nothing has to be done before the fork.
    static CHILDREN: Mutex<Vec<extern "C" fn()>> = Mutex::new(Vec::new());

    unsafe extern "C" {
        fn __register_atfork(prepare: Handler, parent: Handler, child: Handler, object: *mut c_void) -> c_int;
    }

    /// The one that C programs link: a snapshot of a worker isn't made by the C library's fork, which alone knows of these.
    #[unsafe(no_mangle)]
    extern "C" fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int {
        if let (None, None, Some(child)) = (prepare, parent, child)
            && let Ok(mut children) = CHILDREN.lock()
        {
            children.push(child);
        }
        // SAFETY: as the C library's own; this library is never unloaded, so it needn't be told which object it is.
        unsafe { __register_atfork(prepare, parent, child, std::ptr::null_mut()) }
    }

    /// A worker calls it that was restored from a snapshot.
    #[unsafe(no_mangle)]
    extern "C" fn chorus_restored() {
        // A thread that is in the middle of it has the lock.
        let children = CHILDREN.try_lock().map(|children| children.clone()).unwrap_or_default();
        children.iter().for_each(|child| child());
        super::RESTORED.iter().for_each(|restored| restored());
    }
}
