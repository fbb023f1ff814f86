
/// For what stands behind `over`: it never runs on a GPU, only its type counts. So it may allocate.
pub mod only_types {
    use super::{Deref, PhantomData, Plain, Source};

    /// Stands for std's.
    pub struct Vec<T>(PhantomData<T>);

    impl<T> FromIterator<T> for Vec<T> {
        fn from_iter<I: IntoIterator<Item = T>>(_: I) -> Vec<T> {
            Vec(PhantomData)
        }
    }

    impl<T> Deref for Vec<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &[]
        }
    }

    impl<T: Plain> Source for Vec<T> {
        type Item = T;
    }

    /// A `Vec` of such values.
    pub fn of<T>(_: impl IntoIterator<Item = T>) -> Vec<T> {
        Vec(PhantomData)
    }

    macro_rules! vec {
        ($value:expr; $count:expr) => {{
            let _: usize = $count;
            $crate::chorus_gpu::only_types::of([$value])
        }};
        ($($value:expr),* $(,)?) => { $crate::chorus_gpu::only_types::of([$($value),*]) };
    }
    #[allow(unused_imports)]
    pub(crate) use vec;
}
