//! One cell's way: whether its object is there already, and, if not, how it is compiled until it fits what the notebook has.

pub(crate) mod ahead;
pub(crate) mod cache;
pub(crate) mod modules;
pub(crate) mod reuse;
pub(crate) mod trial;
pub(crate) mod type_names;
pub(crate) mod types;
pub(crate) mod unnamed;
pub(crate) mod work;
