//! Values that many calls need: [`put`] writes one to a room once, and calls get a [`Ref`] to it.

use super::values::read_room;
use crate::map::Error;
use crate::map::rooms::Room;
use crate::wire::Wire;
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A value that lies in memory that the notebook shares with its engines, see [`put`]. It is read like a `&T`; a worker
/// decodes it once for each cell that sends it, when it is first used there.
pub struct Ref<T>(Arc<Shared<T>>);

struct Shared<T> {
    path: String,
    length: u64,
    /// Unlike the path, never that of another one.
    id: u64,
    /// In the process that made it.
    _room: Option<Room>,
    value: OnceLock<T>,
}

/// Writes a value to memory that the engines of this host see, for functions that take a `px::Ref`:
///
/// ```no_run
/// fn score(table: px::Ref<Vec<f64>>, n: usize) -> f64 { table[n] }
/// let table = px::put(&vec![0.5; 1_000_000]);
/// let tasks: Vec<px::Task<f64>> = (0..100).map(|n| px::call!(score, &table, n)).collect();
/// ```
///
/// The memory is freed when the last `Ref` is dropped and no call needs it any more.
#[track_caller]
pub fn put<T: Wire>(value: &T) -> Ref<T> {
    try_put(value).unwrap_or_else(|error| panic!("px::put: {error}"))
}

fn try_put<T: Wire>(value: &T) -> Result<Ref<T>, Error> {
    if std::env::var_os("CHORUS_ENGINE_ID").is_some() {
        let why = "it is for the notebook's own cells; a function on an engine returns its value instead";
        return Err(Error::Failed(why.to_owned()));
    }
    let mut bytes = Vec::new();
    value.put(&mut bytes);
    // A room can't be mapped when it is empty.
    let room = Room::new(bytes.len().max(1) as u64)?;
    room.write(&bytes, 0)?;
    let id = RandomState::new().hash_one(room.path());
    let (path, length) = (room.path().to_owned(), bytes.len() as u64);
    Ok(Ref(Arc::new(Shared { path, length, id, _room: Some(room), value: OnceLock::new() })))
}

impl<T: Wire> Ref<T> {
    /// The value.
    #[track_caller]
    pub fn get(&self) -> &T {
        let Shared { path, length, value, .. } = &*self.0;
        value.get_or_init(|| {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            read_room(path, length).unwrap_or_else(|error| {
                panic!("this px::Ref can't be read: {error}. Is the notebook's value still there?")
            })
        })
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

/// What travels: path, length and number.
type Address = (String, u64, u64);

impl<T> Ref<T> {
    /// Notes that it travels.
    fn address(&self) -> Address {
        let Shared { path, length, id, .. } = &*self.0;
        PASSED.with_borrow_mut(|passed| passed.push(path.clone()));
        (path.clone(), *length, *id)
    }
}

impl<T: Wire + Send + Sync> From<Address> for Ref<T> {
    fn from((path, length, id): Address) -> Ref<T> {
        known(id, || Shared { path, length, id, _room: None, value: OnceLock::new() })
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
        Address::deserialize(deserializer).map(Ref::from)
    }
}

thread_local! {
    /// The rooms of references that were encoded.
    static PASSED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Adds to `rooms` those of the references that `work` encodes.
pub(super) fn collect<R>(rooms: &mut Vec<String>, work: impl FnOnce() -> R) -> R {
    PASSED.with_borrow_mut(Vec::clear);
    let done = work();
    rooms.append(&mut PASSED.take());
    done
}

/// A value that this object has decoded, and the file that it came from.
struct Known {
    id: u64,
    of: TypeId,
    path: String,
    inode: Option<u64>,
    shared: Arc<dyn Any + Send + Sync>,
}

static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// The reference that was decoded before, or a new one.
fn known<T: Wire + Send + Sync>(id: u64, make: impl FnOnce() -> Shared<T>) -> Ref<T> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known.iter().find(|it| it.id == id && it.of == TypeId::of::<T>());
    if let Some(shared) = found.and_then(|it| Arc::clone(&it.shared).downcast::<Shared<T>>().ok()) {
        return Ref(shared);
    }
    // What the notebook has dropped is freed here, too.
    known.retain(|it| it.inode.is_some() && it.inode == inode(&it.path));
    let shared = Arc::new(make());
    let (path, inode) = (shared.path.clone(), inode(&shared.path));
    known.push(Known { id, of: TypeId::of::<T>(), path, inode, shared: shared.clone() });
    Ref(shared)
}

fn inode(path: &str) -> Option<u64> {
    std::fs::metadata(path).ok().map(|file| file.ino())
}
