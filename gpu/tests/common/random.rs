//! Random functions of three numbers, as text: whatever is written is Rust that compiles, and may panic.

use std::fmt::Write as _;

/// The definitions that the functions use.
pub const DEFINITIONS: &str = "\
#[derive(Clone, Copy, PartialEq)]
pub struct Pair { a: i32, b: f64 }
impl Pair {
    fn swapped(self) -> Pair { Pair { a: self.b as i32, b: self.a as f64 } }
}
#[derive(Clone, Copy)]
pub enum Choice { One(i64), Two { x: f32, y: u16 }, None }
impl Choice {
    fn value(self) -> i64 {
        match self { Choice::One(n) => n, Choice::Two { x, y } => x as i64 ^ y as i64, Choice::None => -1 }
    }
}
trait Bits { fn bits(self) -> u64; }
macro_rules! bits {
    ($($type:ident)*) => {$(impl Bits for $type { fn bits(self) -> u64 { self as u64 } })*};
}
bits!(i8 i16 i32 i64 u8 u16 u32 u64 bool);
impl Bits for f32 { fn bits(self) -> u64 { if self.is_nan() { 1 << 40 } else { self.to_bits() as u64 } } }
impl Bits for f64 { fn bits(self) -> u64 { if self.is_nan() { 0x7ff8_0000_0000_0000 } else { self.to_bits() } } }
";

const INTEGERS: [&str; 8] = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"];
const FLOATS: [&str; 2] = ["f32", "f64"];

/// Writes functions. The same seed gives the same.
pub struct Writer {
    state: u64,
    /// How many names were given in the function that is being written.
    names: usize,
}

impl Writer {
    pub fn new(seed: u64) -> Writer {
        Writer { state: seed, names: 0 }
    }

    /// Splitmix64, by Sebastiano Vigna.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn any_type(&mut self) -> &'static str {
        match self.below(5) {
            0 | 1 => self.of(&FLOATS),
            _ => self.of(&INTEGERS),
        }
    }

    /// A function of this name, whose parameters and result are bits.
    pub fn function(&mut self, name: &str) -> String {
        self.names = 0;
        let types = [self.any_type(), self.any_type(), self.any_type()];
        let mut text = format!(
            "#[allow(arithmetic_overflow, unconditional_panic)]\nfn {name}(a: u64, b: u64, c: u64) -> u64 {{\n"
        );
        for (name, of) in ["a", "b", "c"].into_iter().zip(types) {
            let value = match of {
                "f32" => format!("f32::from_bits({name} as u32)"),
                "f64" => format!("f64::from_bits({name})"),
                _ => format!("{name} as {of}"),
            };
            _ = writeln!(text, "    let {name}: {of} = {value};");
        }
        let result = self.any_type();
        let expression = self.expression(result, 5, types);
        _ = writeln!(text, "    let result: {result} = {expression};\n    result.bits()\n}}");
        text
    }

    fn expression(&mut self, of: &str, depth: usize, types: [&'static str; 3]) -> String {
        let e = |writer: &mut Writer, of: &str| writer.expression(of, depth - 1, types);
        if depth == 0 {
            let known: Vec<&str> =
                ["a", "b", "c"].into_iter().zip(types).filter(|(_, it)| *it == of).map(|(name, _)| name).collect();
            return match known.is_empty() || self.below(3) == 0 {
                true => self.literal(of),
                false => self.of(&known).to_owned(),
            };
        }
        if self.below(4) == 0 {
            // Forms that all types have.
            return match self.below(5) {
                0 => {
                    format!("if {} {{ {} }} else {{ {} }}", self.condition(depth - 1, types), e(self, of), e(self, of))
                }
                1 => {
                    let from = self.any_type();
                    format!("(({}) as {of})", e(self, from))
                }
                2 => {
                    // Now and then behind the end.
                    let (all, at, end) =
                        ([e(self, of), e(self, of), e(self, of)].join(", "), e(self, "u8"), self.of(&[3, 3, 3, 4]));
                    format!("[{all}][({at}) as usize % {end}]")
                }
                3 => format!(
                    "(match ({}) % 4 {{ 0 => {}, 1 | 2 => {}, _ => {} }})",
                    e(self, "u16"),
                    e(self, of),
                    e(self, of),
                    e(self, of)
                ),
                _ => {
                    self.names += 1;
                    let name = format!("v{}", self.names);
                    format!(
                        "({{ let {name}: {of} = {}; if {} {{ {name} }} else {{ {} }} }})",
                        e(self, of),
                        self.condition(depth - 1, types),
                        e(self, of)
                    )
                }
            };
        }
        match of {
            "f32" | "f64" => self.float(of, depth, types),
            _ => self.integer(of, depth, types),
        }
    }

    fn literal(&mut self, of: &str) -> String {
        match of {
            "f32" | "f64" => {
                format!("({}{of})", self.of(&["0.0", "-0.0", "1.0", "-1.5", "0.1", "1e10", "3.5e-12", "-7.25"]))
            }
            "i8" | "i16" | "i32" | "i64" => match self.below(4) {
                0 => format!("{of}::MIN"),
                _ => format!("(-{}{of})", self.below(100)),
            },
            _ => match self.below(4) {
                0 => format!("{of}::MAX"),
                _ => format!("{}{of}", self.below(120)),
            },
        }
    }

    fn condition(&mut self, depth: usize, types: [&'static str; 3]) -> String {
        let of = self.any_type();
        let sign = self.of(&["<", "<=", "==", "!=", ">", ">="]);
        let (a, b) = (self.expression(of, depth.min(2), types), self.expression(of, depth.min(2), types));
        match self.below(4) {
            0 => format!("!(({a}) {sign} ({b}))"),
            _ => format!("({a}) {sign} ({b})"),
        }
    }

    fn integer(&mut self, of: &str, depth: usize, types: [&'static str; 3]) -> String {
        let e = |writer: &mut Writer, of: &str| writer.expression(of, depth - 1, types);
        let (a, b) = (e(self, of), e(self, of));
        match self.below(14) {
            // Checked: these may overflow, and divide by zero.
            0 => format!("(({a}) {} ({b}))", self.of(&["+", "-", "*"])),
            1 => format!("(({a}) {} ({b}))", self.of(&["/", "%"])),
            2 => format!("(({a}) {} ({b}))", self.of(&["&", "|", "^"])),
            // Now and then by too much.
            3 => format!("(({a}) {} (({}) % {}))", self.of(&["<<", ">>"]), e(self, "u8"), self.of(&[8, 8, 8, 70])),
            4 => format!(
                "({a}).{}({b})",
                self.of(&["wrapping_add", "wrapping_sub", "wrapping_mul", "saturating_add", "saturating_sub"])
            ),
            5 => format!(
                "({a}).{}({b}).unwrap_or({})",
                self.of(&["checked_add", "checked_mul", "checked_rem", "checked_div"]),
                e(self, of)
            ),
            6 => format!("(({a}).{}() as {of})", self.of(&["count_ones", "leading_zeros", "trailing_zeros"])),
            7 => format!(
                "({a}).{}(({}) as u32)",
                self.of(&["rotate_left", "rotate_right", "wrapping_shl", "wrapping_shr"]),
                e(self, "u8")
            ),
            8 => format!("({a}).{}({b})", self.of(&["min", "max", "rem_euclid", "div_euclid"])),
            9 => format!("({a}).wrapping_pow({})", self.below(6)),
            10 => {
                let times = 1 + self.below(5);
                format!("(0..{times}).fold({a}, |sum, n| sum.wrapping_mul(3).wrapping_add(({b}) ^ n as {of}))")
            }
            11 => format!(
                "([{a}, {b}, {}].iter().copied().filter(|n| *n % 2 == 0).map(|n| n.wrapping_neg()).max().unwrap_or(1))",
                e(self, of)
            ),
            12 => format!("((Pair {{ a: ({a}) as i32, b: ({}) as f64 }}).swapped().a as {of})", e(self, "f32")),
            _ => {
                let choice = match self.below(3) {
                    0 => format!("Choice::One(({a}) as i64)"),
                    1 => format!("Choice::Two {{ x: ({}) as f32, y: ({b}) as u16 }}", e(self, "f64")),
                    _ => "Choice::None".to_owned(),
                };
                format!("(({choice}).value() as {of})")
            }
        }
    }

    /// No minimum and maximum: Rust leaves the sign of a zero open. No `powi`: of constants, LLVM works it out by the
    /// platform's `pow`, which isn't what a program does.
    fn float(&mut self, of: &str, depth: usize, types: [&'static str; 3]) -> String {
        let e = |writer: &mut Writer, of: &str| writer.expression(of, depth - 1, types);
        let (a, b) = (e(self, of), e(self, of));
        match self.below(6) {
            0 | 1 => format!("(({a}) {} ({b}))", self.of(&["+", "-", "*", "/"])),
            2 => format!("(({a}) % ({b}))"),
            3 => format!(
                "({a}).{}()",
                self.of(&["sqrt", "floor", "ceil", "trunc", "round", "fract", "abs", "round_ties_even", "recip"])
            ),
            4 => format!("({a}).mul_add({b}, {})", e(self, of)),
            // Of a number that can't be NaN, whose sign isn't promised.
            _ => format!("({a}).copysign(({}) as {of})", e(self, "i8")),
        }
    }
}
