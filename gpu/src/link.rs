//! Makes a module for a driver of the PTX that rustc writes for a device crate. What the crate takes from elsewhere
//! gets a body here, and the kernel around the function for one item is added. What isn't reached from there is left
//! out: public definitions of a notebook are in rustc's text whether they are called or not.

/// A thread's number among those of its launch, in `%rd3`: the entry begins at this item, and a failing one is told by it.
macro_rules! thread {
    () => {
        "	mov.u32 	%r1, %ctaid.x;
	mov.u32 	%r2, %ntid.x;
	mov.u32 	%r3, %tid.x;
	mul.wide.u32 	%rd1, %r1, %r2;
	cvt.u64.u32 	%rd2, %r3;
	add.s64 	%rd3, %rd1, %rd2;
"
    };
}

mod mangled;
mod pieces;
mod remainder;
mod stubs;

use pieces::{Form, Piece};
use std::collections::{BTreeMap, BTreeSet};

/// The functions that the host needs.
const ROOTS: [&str; 2] = ["px_item", "px_layout"];

/// Where the lowest failing item of a launch is written.
const FAILED: &str = ".visible .global .align 8 .u64 px_failed = 18446744073709551615;\n";

const ENTRY: &str = concat!(
    "
.visible .entry px_map(
	.param .u64 px_args,
	.param .u64 px_first,
	.param .u64 px_count
)
{
	.reg .pred 	%p<2>;
	.reg .b32 	%r<4>;
	.reg .b64 	%rd<8>;

",
    thread!(),
    "	ld.param.u64 	%rd4, [px_count];
	setp.ge.u64 	%p1, %rd3, %rd4;
	@%p1 bra 	$L__px_end;
	ld.param.u64 	%rd5, [px_first];
	add.s64 	%rd6, %rd5, %rd3;
	ld.param.u64 	%rd7, [px_args];
	{
	.param .b64 	param0;
	.param .b64 	param1;
	st.param.b64 	[param0], %rd6;
	st.param.b64 	[param1], %rd7;
	call.uni px_item, (param0, param1);
	}
$L__px_end:
	ret;
}
"
);

/// Why there is no module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It isn't PTX as rustc writes it.
    #[error("rustc's code for the GPU can't be read: {0}")]
    Unreadable(String),
    /// The crate has no such function.
    #[error("rustc's code for the GPU has no function `{0}`")]
    NoFunction(&'static str),
    /// A function doesn't have the parameters that it should.
    #[error("the function `{0}` in rustc's code for the GPU has other parameters than it should have")]
    Parameters(String),
    /// There is no code for functions or data that the user's function needs.
    #[error("there is no code for GPUs of `{}`, which the function needs", .0.join("`, `"))]
    Missing(Vec<String>),
    /// The remainder of floats in a form that isn't known.
    #[error("rustc's code for the remainder of floats isn't as expected, and as it is, it isn't exact")]
    Remainder,
}

/// Makes a module of rustc's PTX.
pub fn link(ptx: &str) -> Result<String, LinkError> {
    let module = pieces::split(ptx).map_err(LinkError::Unreadable)?;
    let mut pieces = module.pieces;
    for piece in pieces.iter_mut().filter(|piece| piece.form == Form::Function) {
        if let Some(text) = remainder::exact(&piece.text)? {
            *piece = piece.with_text(text);
        }
    }
    for (root, parameters) in [("px_item", &[64, 64][..]), ("px_layout", &[64])] {
        let function = pieces.iter().find(|piece| piece.name == root && piece.form == Form::Function);
        let function = function.ok_or(LinkError::NoFunction(root))?;
        if function.parameters() != parameters || function.returns().is_some() {
            return Err(LinkError::Parameters(root.to_owned()));
        }
    }
    let mut names: BTreeMap<&str, Vec<&Piece>> = BTreeMap::new();
    for piece in &pieces {
        names.entry(&piece.name).or_default().push(piece);
    }
    let used = reached(&names, |piece| &piece.names);
    let called = reached(&names, |piece| &piece.calls);

    let mut missing = BTreeSet::new();
    let (mut declared, mut first, mut rest) = (String::new(), [String::new(), String::new()], String::new());
    for piece in pieces.iter().filter(|piece| used.contains(&*piece.name)) {
        let to = match (piece.form, &*piece.name) {
            (Form::External, name) => {
                match stubs::body(piece, called.contains(name))? {
                    Some(text) => declared += &text,
                    None => _ = missing.insert(mangled::readable(name)),
                }
                continue;
            }
            // A call of these may have been put into any function.
            (Form::Function, "px_rem_f64") => &mut first[0],
            (Form::Function, "px_rem_f32") => &mut first[1],
            (Form::Function, _) => &mut rest,
            (Form::Other, _) => &mut declared,
        };
        to.push_str(&piece.text);
        to.push('\n');
    }
    if !missing.is_empty() {
        return Err(LinkError::Missing(missing.into_iter().collect()));
    }
    let [rem_f64, rem_f32] = first;
    Ok([&*module.header, "\n", FAILED, &*declared, &*rem_f64, &*rem_f32, &*rest, ENTRY].concat())
}

/// What is reached from the functions that the host needs.
fn reached<'a>(
    names: &BTreeMap<&'a str, Vec<&'a Piece>>,
    next: impl Fn(&'a Piece) -> &'a [String],
) -> BTreeSet<&'a str> {
    let (mut reached, mut waiting) = (BTreeSet::new(), ROOTS.to_vec());
    while let Some((name, pieces)) = waiting.pop().and_then(|name| names.get_key_value(name)) {
        if reached.insert(*name) {
            waiting.extend(
                pieces.iter().flat_map(|piece| next(piece)).map(String::as_str).filter(|it| names.contains_key(it)),
            );
        }
    }
    reached
}

#[cfg(test)]
mod tests;
