//! Bodies for what rustc leaves open.

use super::LinkError;
use super::mangled::is_of_core;
use super::pieces::Piece;

/// Notes the item that fails, and ends its thread.
const FAIL: &str = concat!(
    "{
	.reg .b32 	%r<4>;
	.reg .b64 	%rd<5>;

",
    thread!(),
    "	atom.global.min.u64 	%rd4, [px_failed], %rd3;
	exit;
}
"
);

/// Functions of one instruction, in single and double precision, and how many parameters they have.
const MATH: [(&str, &str, usize); 6] = [
    ("px_sqrt", "sqrt.rn.F", 1),
    ("px_fma", "fma.rn.F", 3),
    ("px_floor", "cvt.rmi.F.F", 1),
    ("px_ceil", "cvt.rpi.F.F", 1),
    ("px_trunc", "cvt.rzi.F.F", 1),
    ("px_rint", "cvt.rni.F.F", 1),
];

/// The declared function with a body, if there is one for it. Where it isn't `called` by its name on the way from the
/// user's function, only its address is taken there.
pub(super) fn body(piece: &Piece, called: bool) -> Result<Option<String>, LinkError> {
    let name = &*piece.name;
    let (parameters, returns, body) = match name {
        "px_fail" => (vec![], None, FAIL.to_owned()),
        "memcpy" | "memmove" => (vec![64, 64, 64], Some(64), memory(MOVE, name)),
        "memset" => (vec![64, 32, 64], Some(64), memory(SET, name)),
        "memcmp" | "bcmp" => (vec![64, 64, 64], Some(32), memory(COMPARE, name)),
        _ => match math(name) {
            Some((bits, count, body)) => (vec![bits; count], Some(bits), body),
            None => return Ok(fails(piece, called).then(|| format!("{}\n{FAIL}", declared(piece)))),
        },
    };
    if piece.parameters() != parameters || piece.returns() != returns {
        return Err(LinkError::Parameters(name.to_owned()));
    }
    Ok(Some(format!("{}\n{body}", declared(piece))))
}

/// Core's panics come to nothing but a failing item, so their messages are never made. Functions that make texts of
/// values are here for that only if their addresses are taken, for a panic's arguments, and they aren't called by name.
fn fails(piece: &Piece, called: bool) -> bool {
    is_of_core(&piece.name) && piece.head().contains(".func") && (piece.never_returns() || !called)
}

/// With a body, it may not be said that it doesn't return.
fn declared(piece: &Piece) -> String {
    piece.head().replacen(".extern ", "", 1).replace(".noreturn", "").trim_end().to_owned()
}

fn math(name: &str) -> Option<(u32, usize, String)> {
    let (start, bits) = name.rsplit_once("_f")?;
    let bits: u32 = bits.parse().ok().filter(|bits| [32, 64].contains(bits))?;
    let (_, instruction, count) = MATH.into_iter().find(|(known, ..)| *known == start)?;
    let register = if bits == 32 { "%r" } else { "%rd" };
    let mut body = format!("{{\n\t.reg .b{bits} \t{register}<5>;\n\n");
    for at in 0..count {
        body += &format!("\tld.param.b{bits} \t{register}{}, [{name}_param_{at}];\n", at + 1);
    }
    let operands: String = (1..=count).map(|at| format!(", {register}{at}")).collect();
    body += &format!("\t{} \t{register}4{operands};\n", instruction.replace('F', &format!("f{bits}")));
    body += &format!("\tst.param.b{bits} \t[func_retval0], {register}4;\n\tret;\n}}\n");
    Some((bits, count, body))
}

fn memory(text: &str, name: &str) -> String {
    text.replace("NAME", name)
}

/// What lies further up is copied from its end, so that nothing is written over before it is read.
const MOVE: &str = "{
	.reg .pred 	%p<4>;
	.reg .b16 	%rs<3>;
	.reg .b64 	%rd<9>;

	ld.param.b64 	%rd1, [NAME_param_0];
	ld.param.b64 	%rd2, [NAME_param_1];
	ld.param.b64 	%rd3, [NAME_param_2];
	setp.gt.u64 	%p1, %rd1, %rd2;
	@%p1 bra 	$L__NAME_down;
	mov.b64 	%rd4, 0;
$L__NAME_up:
	setp.ge.u64 	%p2, %rd4, %rd3;
	@%p2 bra 	$L__NAME_end;
	add.s64 	%rd5, %rd2, %rd4;
	ld.b8 	%rs1, [%rd5];
	add.s64 	%rd6, %rd1, %rd4;
	st.b8 	[%rd6], %rs1;
	add.s64 	%rd4, %rd4, 1;
	bra.uni 	$L__NAME_up;
$L__NAME_down:
	setp.eq.b64 	%p3, %rd3, 0;
	@%p3 bra 	$L__NAME_end;
	add.s64 	%rd3, %rd3, -1;
	add.s64 	%rd7, %rd2, %rd3;
	ld.b8 	%rs2, [%rd7];
	add.s64 	%rd8, %rd1, %rd3;
	st.b8 	[%rd8], %rs2;
	bra.uni 	$L__NAME_down;
$L__NAME_end:
	st.param.b64 	[func_retval0], %rd1;
	ret;
}
";

const SET: &str = "{
	.reg .pred 	%p<2>;
	.reg .b32 	%r<2>;
	.reg .b64 	%rd<5>;

	ld.param.b64 	%rd1, [NAME_param_0];
	ld.param.b32 	%r1, [NAME_param_1];
	ld.param.b64 	%rd2, [NAME_param_2];
	mov.b64 	%rd3, 0;
$L__NAME_up:
	setp.ge.u64 	%p1, %rd3, %rd2;
	@%p1 bra 	$L__NAME_end;
	add.s64 	%rd4, %rd1, %rd3;
	st.b8 	[%rd4], %r1;
	add.s64 	%rd3, %rd3, 1;
	bra.uni 	$L__NAME_up;
$L__NAME_end:
	st.param.b64 	[func_retval0], %rd1;
	ret;
}
";

const COMPARE: &str = "{
	.reg .pred 	%p<3>;
	.reg .b32 	%r<4>;
	.reg .b64 	%rd<7>;

	ld.param.b64 	%rd1, [NAME_param_0];
	ld.param.b64 	%rd2, [NAME_param_1];
	ld.param.b64 	%rd3, [NAME_param_2];
	mov.b64 	%rd4, 0;
	mov.b32 	%r3, 0;
$L__NAME_up:
	setp.ge.u64 	%p1, %rd4, %rd3;
	@%p1 bra 	$L__NAME_end;
	add.s64 	%rd5, %rd1, %rd4;
	ld.u8 	%r1, [%rd5];
	add.s64 	%rd6, %rd2, %rd4;
	ld.u8 	%r2, [%rd6];
	sub.s32 	%r3, %r1, %r2;
	add.s64 	%rd4, %rd4, 1;
	setp.eq.b32 	%p2, %r3, 0;
	@%p2 bra 	$L__NAME_up;
$L__NAME_end:
	st.param.b32 	[func_retval0], %r3;
	ret;
}
";
