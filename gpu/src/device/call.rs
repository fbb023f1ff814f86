
/// What the crate is asked for: one item's result, or how large and how aligned items and results are. It is one
/// function for both, so that the user's closure stands in the text once.
pub struct Call(Asked);

enum Asked {
    Item(u64, *const Args),
    Layout(*mut u64),
}

impl Call {
    /// For one item.
    ///
    /// # Safety
    /// `args` are those of the function that it is given to, and have this item and room for its result.
    #[inline(always)]
    pub unsafe fn item(index: u64, args: *const Args) -> Call {
        Call(Asked::Item(index, args))
    }

    /// For the layout.
    ///
    /// # Safety
    /// There is room for four numbers.
    #[inline(always)]
    pub unsafe fn layout(out: *mut u64) -> Call {
        Call(Asked::Layout(out))
    }

    /// Does it. `source` never runs.
    #[inline(always)]
    pub fn run<V, T: Plain, C: Values, R: Plain>(
        self,
        source: impl FnOnce(V) -> Kind<T>,
        body: impl FnOnce(C, Items<T>) -> R,
    ) {
        let _ = source;
        match self.0 {
            Asked::Layout(out) => {
                let numbers = [size_of::<T>(), align_of::<T>(), size_of::<R>(), align_of::<R>()];
                // SAFETY: who has made the call says that there is room for them.
                unsafe { out.cast::<[u64; 4]>().write(numbers.map(|number| number as u64)) }
            }
            Asked::Item(index, args) => {
                // SAFETY: who has made the call says that these are here.
                let (args, constants, item) = unsafe {
                    let args = args.read();
                    (args, C::read(args.constants), args.items.cast::<T>().add(index as usize).read())
                };
                let result = body(constants, Items(item));
                // SAFETY: who has made the call says that there is room for it.
                unsafe { args.results.cast::<R>().add(index as usize).write(result) }
            }
        }
    }
}

/// The two functions that the host calls, around the one that has the user's closure.
macro_rules! functions {
    ($both:path) => {
        /// # Safety
        /// See `Call::item`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn px_item(index: u64, args: *const $crate::chorus_gpu::Args) {
            // SAFETY: the host gives this function's arguments.
            $both(unsafe { $crate::chorus_gpu::Call::item(index, args) })
        }

        /// # Safety
        /// See `Call::layout`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn px_layout(out: *mut u64) {
            // SAFETY: the host has room for the numbers.
            $both(unsafe { $crate::chorus_gpu::Call::layout(out) })
        }
    };
}
#[allow(unused_imports)]
pub(crate) use functions;

/// One item, with the methods of `px::map`'s items, which here give its result.
pub struct Items<T>(T);

impl<T> Items<T> {
    #[inline(always)]
    pub fn map<R>(self, function: impl Fn(T) -> R) -> R {
        function(self.0)
    }

    #[inline(always)]
    pub fn map_ref<R>(self, function: impl Fn(&T) -> R) -> R {
        function(&self.0)
    }

    #[inline(always)]
    pub fn call<How, F: Function<T, How>>(self, function: F) -> F::Output {
        function.call(self.0)
    }
}

macro_rules! of_zipped {
    ($map:ident $map_ref:ident $call:ident $trait:ident: $($item:ident $index:tt),*) => {
        impl<$($item),*> Items<($($item,)*)> {
            #[inline(always)]
            pub fn $map<R>(self, function: impl Fn($($item),*) -> R) -> R {
                function($(self.0.$index),*)
            }

            #[inline(always)]
            pub fn $map_ref<R>(self, function: impl Fn($(&$item),*) -> R) -> R {
                function($(&self.0.$index),*)
            }

            #[inline(always)]
            pub fn $call<How, F: $trait<$($item,)* How>>(self, function: F) -> F::Output {
                function.call($(self.0.$index),*)
            }
        }
    };
}

of_zipped!(map2 map2_ref call2 Function2: A 0, B 1);
of_zipped!(map3 map3_ref call3 Function3: A 0, B 1, C 2);
of_zipped!(map4 map4_ref call4 Function4: A 0, B 1, C 2, D 3);

/// A parameter by value.
pub struct ByValue;
/// A parameter by reference.
pub struct ByRef;

/// A function of one parameter, by value or by reference, as `px::map` takes it.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Function<A, How> {
    type Output;
    fn call(&self, a: A) -> Self::Output;
}

/// A function of two parameters.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}` and `{B}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Function2<A, B, How> {
    type Output;
    fn call(&self, a: A, b: B) -> Self::Output;
}

/// A function of three parameters.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}`, `{B}` and `{C}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Function3<A, B, C, How> {
    type Output;
    fn call(&self, a: A, b: B, c: C) -> Self::Output;
}

/// A function of four parameters.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}`, `{B}`, `{C}` and `{D}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Function4<A, B, C, D, How> {
    type Output;
    fn call(&self, a: A, b: B, c: C, d: D) -> Self::Output;
}

macro_rules! takes {
    (@ $trait:ident [$($generic:ident)*] [$($name:ident $type:ident $how:ident $given:ty, $value:expr;)*]) => {
        impl<F, R, $($generic),*> $trait<$($type,)* ($($how,)*)> for F
        where
            F: Fn($($given),*) -> R,
        {
            type Output = R;

            #[inline(always)]
            fn call(&self, $($name: $type),*) -> R {
                self($($value),*)
            }
        }
    };
    // Takes one parameter after the other in both ways.
    ($trait:ident $generics:tt [$($done:tt)*]) => {
        takes!(@ $trait $generics [$($done)*]);
    };
    ($trait:ident $generics:tt [$($done:tt)*] $name:ident $type:ident $($rest:ident)*) => {
        takes!($trait $generics [$($done)* $name $type ByValue $type, $name;] $($rest)*);
        takes!($trait $generics [$($done)* $name $type ByRef &$type, &$name;] $($rest)*);
    };
}

takes!(Function [A] [] a A);
takes!(Function2 [A B] [] a A b B);
takes!(Function3 [A B C] [] a A b B c C);
takes!(Function4 [A B C D] [] a A b B c C d D);
