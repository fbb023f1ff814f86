
pub mod chorus_tokio {
    use std::cell::Cell;
    use std::sync::OnceLock;
    use tokio::runtime::Runtime;

    /// One, also where several libraries have the same tokio: the name says which one it is.
    #[unsafe(export_name = "chorus_runtime_of_TOKIO")]
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();

    thread_local! {
        static IS_ENTERED: Cell<bool> = const { Cell::new(false) };
    }

    /// The runtime of all cells.
    pub fn runtime() -> &'static Runtime {
        RUNTIME.get_or_init(|| Runtime::new().expect("tokio's runtime begins"))
    }

    /// Calls what awaits nothing.
    pub fn call<R>(cell: impl FnOnce() -> R) -> R {
        enter(true);
        cell()
    }

    /// Makes it that of the thread for good, if it is there or `wanted`.
    pub fn enter(wanted: bool) {
        if (wanted || RUNTIME.get().is_some()) && !IS_ENTERED.replace(true) {
            // Guards have to go in turn, and a cell may keep one.
            std::mem::forget(runtime().enter());
        }
    }
}
