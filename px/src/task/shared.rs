//! Values that many calls need: [`put`] writes one to a room once, and calls get a [`Ref`] to it.

use super::values::read_file;
use crate::map::Error;
use crate::map::rooms::{Mapped, Room, is_there};
use crate::wire::{Wire, encoded};
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// A value that lies in memory that the notebook shares with its engines, see [`put`]. It is read like a `&T`; a worker
/// decodes it once for each cell that sends it, when it is first used there.
#[must_use = "the value is freed with its last `px::Ref`: keep it in a variable"]
pub struct Ref<T>(Arc<Shared<T>>);

struct Shared<T> {
    held: Arc<Held>,
    value: OnceLock<T>,
}

/// A room that a reference is to. It is there as long as this is: the notebook has the kernel hold it, and an engine has it
/// open.
struct Held {
    room: Result<Room, Error>,
    name: String,
    length: u64,
}

/// Keeps what a reference is to. As a trait, so that cells don't have the code to drop it.
pub(crate) trait Keeps: Send + Sync {
    /// The kernel's name of the room.
    fn name(&self) -> &str;
}

impl Keeps for Held {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Held {
    /// The room that another process has named: by the kernel's name, and by one that is good as long as that process has it
    /// open.
    fn find((name, there, length): Address) -> Held {
        let room = match is_engine() {
            true => Room::of_others(&name).or_else(|_| Room::of_others(&there)),
            false => Room::hold(&name).ok_or(Error::Freed).or_else(|_| copy(&there, length)),
        };
        let name = room.as_ref().map_or(name, |room| room.path().to_owned());
        Held { room, name, length }
    }

    fn read<T: Wire>(&self) -> Result<T, Error> {
        let length = usize::try_from(self.length).map_err(|_| Error::Damaged)?;
        read_file(&self.room.as_ref().map_err(Error::clone)?.whole()?, length)
    }
}

/// A room of the notebook's own with what an engine still has.
fn copy(there: &str, length: u64) -> Result<Room, Error> {
    let length = usize::try_from(length).map_err(|_| Error::Damaged)?;
    let bytes = Mapped::read_only(there, length.max(1))?;
    let room = Room::new(length.max(1) as u64)?;
    room.write(bytes.as_slice(), 0)?;
    Ok(room)
}

fn is_engine() -> bool {
    std::env::var_os("CHORUS_ENGINE_ID").is_some()
}

/// Writes a value to memory that the engines of this host see, for functions that take a `px::Ref`:
///
/// ```no_run
/// fn score(table: px::Ref<Vec<f64>>, n: usize) -> f64 { table[n] }
/// let table = px::put(&vec![0.5; 1_000_000]);
/// let tasks: Vec<px::Task<f64>> = (0..100).map(|n| px::call!(score, &table, n)).collect();
/// ```
///
/// The memory is freed when the last `Ref` in the notebook is dropped and no call needs it any more. The handle of a call or
/// a map that was given a `Ref` counts as one until its result was fetched and has no `Ref` in it.
#[track_caller]
pub fn put<T: Wire>(value: &T) -> Ref<T> {
    try_put(value).unwrap_or_else(|error| panic!("px::put: {error}"))
}

fn try_put<T: Wire>(value: &T) -> Result<Ref<T>, Error> {
    if is_engine() {
        let why = "it is for the notebook's own cells; a function on an engine returns its value instead";
        return Err(Error::Failed(why.to_owned()));
    }
    let bytes = encoded(value);
    // A room can't be mapped when it is empty.
    let room = Room::new(bytes.len().max(1) as u64)?;
    room.write(&bytes, 0)?;
    let (name, length) = (room.path().to_owned(), bytes.len() as u64);
    let held = Arc::new(Held { room: Ok(room), name, length });
    Ok(Ref(Arc::new(Shared { held, value: OnceLock::new() })))
}

impl<T: Wire> Ref<T> {
    /// The value.
    #[track_caller]
    pub fn get(&self) -> &T {
        let Shared { held, value } = &*self.0;
        value.get_or_init(|| held.read().unwrap_or_else(|error| panic!("this px::Ref can't be read: {error}")))
    }
}

impl<T: Wire> Deref for Ref<T> {
    type Target = T;
    #[track_caller]
    fn deref(&self) -> &T {
        self.get()
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Ref<T> {
        Ref(Arc::clone(&self.0))
    }
}

/// What travels: the kernel's name of the room, the name that it has here, and the value's length.
type Address = (String, String, u64);

impl<T> Ref<T> {
    /// Notes that it travels.
    fn address(&self) -> Address {
        let held = &self.0.held;
        PASSED.with_borrow_mut(|passed| passed.iter_mut().for_each(|passed| passed.push(held.clone())));
        (held.name.clone(), held.room.as_ref().map(Room::name_here).unwrap_or_default(), held.length)
    }
}

impl<T: Wire + Send + Sync> From<Address> for Ref<T> {
    fn from(address: Address) -> Ref<T> {
        TAKEN.set(TAKEN.get() + 1);
        known(address)
    }
}

// SAFETY: not plain.
#[cfg(not(feature = "serde"))]
unsafe impl<T: Wire + Send + Sync> Wire for Ref<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.address().put(to);
    }

    fn get(from: &mut &[u8]) -> Result<Ref<T>, crate::link::Damaged> {
        Address::get(from).map(Ref::from)
    }
}

#[cfg(feature = "serde")]
impl<T> serde::Serialize for Ref<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.address().serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'a, T: Wire + Send + Sync> serde::Deserialize<'a> for Ref<T> {
    fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Ref<T>, D::Error> {
        let address = Address::deserialize(deserializer)?;
        if crate::wire::is_probing() {
            let held = Held { room: Err(Error::Freed), name: String::new(), length: 0 };
            return Ok(Ref(Arc::new(Shared { held: Arc::new(held), value: OnceLock::new() })));
        }
        Ok(Ref::from(address))
    }
}

thread_local! {
    /// The rooms of references that were encoded, if somebody wants to know.
    static PASSED: RefCell<Option<Vec<Arc<dyn Keeps>>>> = const { RefCell::new(None) };
    /// How many references were decoded.
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// The rooms of the references that `work` encodes.
pub(crate) fn collect<R>(work: impl FnOnce() -> R) -> (R, Vec<Arc<dyn Keeps>>) {
    let others = PASSED.replace(Some(Vec::new()));
    let done = work();
    (done, PASSED.replace(others).unwrap_or_default())
}

/// Whether `work` decodes references.
pub(super) fn takes_any<R>(work: impl FnOnce() -> R) -> (R, bool) {
    let before = TAKEN.get();
    (work(), TAKEN.get() != before)
}

/// A reference that this object has decoded.
struct Known {
    name: String,
    of: TypeId,
    shared: Weak<dyn Any + Send + Sync>,
    /// On an engine its value stays for later calls, until the notebook has dropped it.
    kept: Option<Arc<dyn Any + Send + Sync>>,
}

static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// The reference that was decoded before, or a new one.
fn known<T: Wire + Send + Sync>(address: Address) -> Ref<T> {
    let find = |known: &[Known]| {
        let found = known.iter().find(|it| it.name == address.0 && it.of == TypeId::of::<T>());
        found.and_then(|it| it.shared.upgrade()?.downcast::<Shared<T>>().ok()).map(Ref)
    };
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = find(&lock()) {
        return found;
    }
    // What is let go of may be the last reference to others: not while this is locked.
    let (gone, rest): (Vec<Known>, Vec<Known>) = std::mem::take(&mut *lock())
        .into_iter()
        .partition(|it| it.shared.strong_count() == 0 || it.kept.is_some() && !is_there(&it.name));
    lock().extend(rest);
    drop(gone);
    let name = address.0.clone();
    let shared = Arc::new(Shared { held: Arc::new(Held::find(address)), value: OnceLock::new() });
    let any: Arc<dyn Any + Send + Sync> = shared.clone();
    let (weak, kept) = (Arc::downgrade(&any), is_engine().then_some(any));
    lock().push(Known { name, of: TypeId::of::<T>(), shared: weak, kept });
    Ref(shared)
}
