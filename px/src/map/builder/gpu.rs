//! Maps from Rust that GPUs run: `px::map(f, &xs).gpu()`.

use super::super::gpu::{AllFit, Value};
use super::super::items::{OnGpu, Sent};
use super::super::source::Source;
use super::{Calls, Map};
use crate::link::GpuWish;
use std::marker::PhantomData;
use std::panic::Location;

/// It is called as `H` says, by a GPU.
pub struct ByGpu<H>(PhantomData<H>);

impl<V, I, R, H: Calls<V, I, R>> Calls<V, I, R> for ByGpu<H> {
    type By = OnGpu<Sent>;

    #[inline(always)]
    unsafe fn call(function: usize, values: &V, item: I) -> R {
        // SAFETY: as the caller promises.
        unsafe { H::call(function, values, item) }
    }
}

/// Makes of the notebook's values what GPUs take.
pub(super) type ForGpu<C> = fn(&C) -> Vec<Value>;

/// A map that is written as one chain of calls, from its function to the word that has GPUs run it. No type is one: the
/// kernel sees it in the cell's text, and has rustc read another word there.
#[diagnostic::on_unimplemented(
    message = "the function of this map can't be seen from here, so it can't be compiled for a GPU",
    label = "GPUs can't run this map",
    note = "such a map is one chain, as `px::map(|x: f64| x.sqrt(), &xs).gpu().sum()?`, whose function is the path of one, or a \
            closure that says the types of all its parameters",
    note = "it can't stand within a macro's arguments, a module, what has type parameters, or a block with items of its own"
)]
pub trait Seen {}

/// What rustc reads in the place of the words `gpu` and `gpu_or_cpu` of a map that is [`Seen`].
#[allow(non_snake_case)]
#[doc(hidden)]
impl<S: Source, C, R, H, P> Map<S, C, R, H, P> {
    #[track_caller]
    pub fn gpU(self) -> Map<S, C, R, ByGpu<H>, P>
    where
        C: AllFit,
    {
        self.by_gpus(Location::caller(), false)
    }

    #[track_caller]
    pub fn gpU_or_cpu(self) -> Map<S, C, R, ByGpu<H>, P>
    where
        C: AllFit,
    {
        self.by_gpus(Location::caller(), true)
    }

    fn by_gpus(self, at: &Location<'_>, or_cpu: bool) -> Map<S, C, R, ByGpu<H>, P>
    where
        C: AllFit,
    {
        let Map { over, values, functions, kept, mut wishes, .. } = self;
        wishes.gpu = Some(GpuWish { line: at.line(), column: at.column(), or_cpu });
        Map { over, values, functions, kept, for_gpu: Some(C::values), wishes, types: PhantomData }
    }
}

impl<S: Source, C, R, H, P> Map<S, C, R, H, P> {
    /// The engines' GPUs call the function, as with `%map --gpu`; engines without one take no part. It is a function without std
    /// and allocation, of numbers and of the notebook's types that are `Copy`.
    ///
    /// It is compiled for GPUs with its cell, so it must be seen there: the map is one chain from `px::map` to here, and a
    /// closure says the types of all its parameters, as in `px::map(|x: f64| x.sqrt(), &xs).gpu().sum()?`.
    pub fn gpu(self) -> Self
    where
        Self: Seen,
    {
        self
    }

    /// As [`Map::gpu`], if an engine has a GPU, the function compiles for it, and GPUs are faster; by the processors if not. A
    /// line says which it was, and why.
    pub fn gpu_or_cpu(self) -> Self
    where
        Self: Seen,
    {
        self
    }
}
