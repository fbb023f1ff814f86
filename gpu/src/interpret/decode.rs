//! Reads instructions. What isn't known is refused by name.

use super::body::{Body, PREDICATE};
use super::code::{Access, Carry, Conversion, Kind, Operation, Rounding, Space, Three, Two, Type, Value};
use super::fault::Fault;
use super::operand::Operand;
use super::suffixes::Suffixes;
use super::{arithmetic, float};

const WORD: Type = Type::new(Kind::Unsigned, 32);

impl<'a> Body<'_, 'a> {
    pub(super) fn operation(&mut self, name: &'a str, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let suffixes = Suffixes::new(name);
        match suffixes.name {
            "mov" => self.mov(suffixes, operands),
            "cvta" => self.cvta(suffixes, operands),
            "ld" | "st" => self.memory(suffixes, operands),
            "cvt" => self.cvt(suffixes, operands),
            "setp" | "set" => self.compare(suffixes, operands),
            "addc" | "subc" => self.carry(suffixes, operands),
            "add" | "sub" if suffixes.rest.contains(&"cc") => self.carry(suffixes, operands),
            "szext" => self.szext(suffixes, operands),
            "atom" | "red" => self.atomic(suffixes, operands),
            "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "bar" | "barrier" | "membar" | "fence" => {
                self.flow(suffixes, operands)
            }
            _ => self.plain(name, operands),
        }
    }

    /// An instruction that is a function of its operands.
    fn plain(&mut self, name: &str, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let unknown = || Fault::Unsupported { instruction: name.to_owned() };
        let (key, ty) = name.rsplit_once('.').ok_or_else(unknown)?;
        let ty = Type::named(ty);
        let key = match (key, ty) {
            // Here they are always steps of their own.
            ("add", Some(Type { kind: Kind::Float, .. })) if self.symbols.may_fuse => "add.rn",
            ("sub", Some(Type { kind: Kind::Float, .. })) if self.symbols.may_fuse => "sub.rn",
            ("mul", Some(Type { kind: Kind::Float, .. })) if self.symbols.may_fuse => "mul.rn",
            (key, _) => key,
        };
        let ty = ty.filter(|ty| allowed(key, *ty)).ok_or_else(unknown)?;
        let double = Type::new(ty.kind, ty.bits * 2);
        let result = match key {
            "popc" | "clz" | "bfind" | "bfind.shiftamt" => WORD,
            "mul.wide" | "mad.wide" => double,
            _ if key.starts_with("testp.") => PREDICATE,
            _ => ty,
        };
        // The types of the operands from the second on that have another one.
        let (second, third, fourth) = match key {
            "shl" | "shr" => (WORD, ty, ty),
            "bfe" => (WORD, WORD, ty),
            "bfi" => (ty, WORD, WORD),
            "mad.wide" => (ty, double, ty),
            "selp" => (ty, PREDICATE, ty),
            _ => (ty, ty, ty),
        };
        let is_float = ty.kind == Kind::Float && key != "selp";
        match operands {
            [to, a] => {
                let function = if is_float { float::one(key, ty) } else { arithmetic::one(key, ty) };
                let function = function.ok_or_else(unknown)?;
                Ok(Operation::One(function, self.register(to, result)?, self.value(a, ty)?))
            }
            [to, a, b] => {
                let function = if is_float { float::two(key, ty) } else { arithmetic::two(key, ty) };
                let function = function.ok_or_else(unknown)?;
                Ok(Operation::Two(function, self.register(to, result)?, self.value(a, ty)?, self.value(b, second)?))
            }
            [to, a, b, c] => {
                let function = if is_float { float::three(key, ty) } else { arithmetic::three(key, ty) };
                let function = function.ok_or_else(unknown)?;
                let (a, b, c) = (self.value(a, ty)?, self.value(b, second)?, self.value(c, third)?);
                Ok(Operation::Three(function, self.register(to, result)?, a, b, c))
            }
            [to, a, b, c, d] => {
                let function = arithmetic::four(key, ty).ok_or_else(unknown)?;
                let (a, b) = (self.value(a, ty)?, self.value(b, second)?);
                let (c, d) = (self.value(c, third)?, self.value(d, fourth)?);
                Ok(Operation::Four(function, self.register(to, result)?, [a, b, c, d]))
            }
            _ => Err(unknown()),
        }
    }

    fn mov(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let ty = suffixes.ty()?;
        suffixes.end()?;
        match operands {
            [Operand::Group(to), from] => {
                let part = suffixes.part(ty, to.len())?;
                let from = self.value(from, ty)?;
                let to = to.iter().map(|it| match it {
                    Operand::Name("_", 0) => Ok(None),
                    _ => self.register(it, part).map(Some),
                });
                Ok(Operation::Unpack { to: to.collect::<Result<_, _>>()?, bits: part.bits, from })
            }
            [to, Operand::Group(from)] => {
                let part = suffixes.part(ty, from.len())?;
                let parts = from.iter().map(|it| self.value(it, part)).collect::<Result<_, _>>()?;
                Ok(Operation::Pack { to: self.register(to, ty)?, bits: part.bits, parts })
            }
            [to, from] if ty.bits != 8 => Ok(Operation::Move(self.register(to, ty)?, self.value(from, ty)?)),
            _ => Err(suffixes.unknown()),
        }
    }

    /// Addresses are the same in all spaces here.
    fn cvta(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let ty = suffixes.ty()?;
        suffixes.has("to");
        let spaces = ["global", "local", "const", "shared", "param"];
        suffixes.one_of(&spaces).ok_or_else(|| suffixes.unknown())?;
        suffixes.end()?;
        match operands {
            [to, from] if ty.bits == 64 => Ok(Operation::Move(self.register(to, ty)?, self.value(from, ty)?)),
            _ => Err(suffixes.unknown()),
        }
    }

    /// The suffixes of an access but for its type. What says how caches and other threads see it is left out.
    pub(super) fn access(suffixes: &mut Suffixes<'a>, ty: Type) -> Access {
        const ORDERS: [&str; 5] = ["weak", "relaxed", "acquire", "release", "acq_rel"];
        suffixes.has("volatile");
        suffixes.one_of(&ORDERS);
        suffixes.one_of(&["cta", "cluster", "gpu", "sys"]);
        let space = match suffixes.one_of(&["global", "const", "shared", "local", "param"]) {
            Some("global" | "const" | "shared") => Space::Global,
            Some(_) => Space::Local,
            None => Space::Any,
        };
        suffixes.one_of(&["ca", "cg", "cs", "lu", "cv", "wb", "wt"]);
        suffixes.has("nc");
        Access { space, bytes: ty.bytes(), signed: None, plus: 0 }
    }

    fn memory(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let ty = suffixes.ty()?;
        let mut what = Self::access(&mut suffixes, ty);
        let count = match suffixes.one_of(&["v2", "v4", "v8"]) {
            Some("v2") => Some(2),
            Some("v4") => Some(4),
            Some(_) => Some(8),
            None => None,
        };
        suffixes.end()?;
        let [first, second] = operands else { return Err(suffixes.unknown()) };
        if ty.kind == Kind::Predicate {
            return Err(suffixes.unknown());
        }
        let (address, other) = if suffixes.name == "ld" { (second, first) } else { (first, second) };
        let (address, plus) = self.address(address)?;
        what.plus = plus;
        match (suffixes.name == "ld", other, count) {
            (true, Operand::Group(to), Some(count)) if to.len() == count && ty.kind != Kind::Signed => {
                let to = to.iter().map(|it| self.sink(it, ty)).collect::<Result<_, _>>()?;
                Ok(Operation::LoadAll { to, what, from: address })
            }
            (true, to, None) => {
                let (to, bits) = self.wide_register(to, ty)?;
                what.signed = (ty.kind == Kind::Signed).then_some(bits);
                Ok(Operation::Load { to, what, from: address })
            }
            (false, Operand::Group(from), Some(count)) if from.len() == count => {
                let from = from.iter().map(|it| self.wide_value(it, ty)).collect::<Result<_, _>>()?;
                Ok(Operation::StoreAll { what, to: address, from })
            }
            (false, from, None) => Ok(Operation::Store { what, to: address, from: self.wide_value(from, ty)? }),
            _ => Err(suffixes.unknown()),
        }
    }

    fn cvt(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let (from, to) = (suffixes.ty()?, suffixes.ty()?);
        let saturates = suffixes.has("sat");
        let rounding = match suffixes.one_of(&["rni", "rzi", "rmi", "rpi"]) {
            Some("rni") => Some(Rounding::Nearest),
            Some("rzi") => Some(Rounding::Zero),
            Some("rmi") => Some(Rounding::Down),
            Some(_) => Some(Rounding::Up),
            None => None,
        };
        let nearest = suffixes.has("rn");
        suffixes.end()?;
        let is_float = |ty: Type| ty.kind == Kind::Float;
        let fits = match (is_float(from), is_float(to)) {
            (false, false) => rounding.is_none() && !nearest,
            (false, true) => rounding.is_none() && nearest,
            (true, false) => rounding.is_some() && !nearest,
            (true, true) => (rounding.is_none() || from.bits == to.bits) && nearest == (from.bits > to.bits),
        };
        let known = |ty: Type| matches!(ty.kind, Kind::Unsigned | Kind::Signed | Kind::Float);
        let [target, source] = operands else { return Err(suffixes.unknown()) };
        if !fits || !known(from) || !known(to) {
            return Err(suffixes.unknown());
        }
        let (target, register) = self.wide_register(target, to)?;
        let conversion = Conversion { to, from, rounding, saturates, register };
        Ok(Operation::Convert(conversion, target, self.wide_value(source, from)?))
    }

    /// `setp` and `set`, with or without another predicate.
    fn compare(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let ty = suffixes.ty()?;
        let result = if suffixes.name == "set" { suffixes.ty()? } else { PREDICATE };
        let also = suffixes.one_of(&["and", "or", "xor"]);
        let name = suffixes.rest.pop().ok_or_else(|| suffixes.unknown())?;
        suffixes.end()?;
        let is_result = matches!((result.kind, result.bits), (Kind::Unsigned | Kind::Signed | Kind::Float, 32));
        let function: Option<Two> = match ty.kind {
            Kind::Float => COMPARISONS.contains(&name).then(|| float::two(name, ty)).flatten(),
            Kind::Predicate => None,
            _ => COMPARISONS.contains(&name).then(|| arithmetic::two(name, ty)).flatten(),
        };
        let (Some(function), true) = (function, ty.bits >= 16 && (result == PREDICATE || is_result)) else {
            return Err(suffixes.unknown());
        };
        let (to, a, b, other) = match (operands, also) {
            ([to, a, b], None) => (to, a, b, None),
            ([to, a, b, Operand::Not(name)], Some(also)) => (to, a, b, Some((also, Operand::Name(name, 0), true))),
            ([to, a, b, other], Some(also)) => (to, a, b, Some((also, other.clone(), false))),
            _ => return Err(suffixes.unknown()),
        };
        let (to, a, b) = (self.register(to, result)?, self.value(a, ty)?, self.value(b, ty)?);
        if result == PREDICATE && other.is_none() {
            return Ok(Operation::Two(function, to, a, b));
        }
        // More than one step: what is between goes into a register that nothing else uses.
        let full = self.syntax("there are too many registers");
        let between = self.names.register().ok_or(full)?;
        self.push(Operation::Two(function, between, a, b));
        if let Some((also, other, negated)) = other {
            let other = self.value(&other, PREDICATE)?;
            let joined: Three = match (also, negated) {
                ("and", false) => |a, b, _| a & b,
                ("and", true) => |a, b, _| a & (b ^ 1),
                ("or", false) => |a, b, _| a | b,
                ("or", true) => |a, b, _| a | (b ^ 1),
                (_, false) => |a, b, _| a ^ b,
                (_, true) => |a, b, _| a ^ b ^ 1,
            };
            let joined = |to| Operation::Three(joined, to, Value::Register(between), other, Value::Bits(0));
            if result == PREDICATE {
                return Ok(joined(to));
            }
            self.push(joined(between));
        }
        let yes = if result.kind == Kind::Float { u64::from(1f32.to_bits()) } else { u64::from(u32::MAX) };
        let choose: Three = |a, b, p| if p != 0 { a } else { b };
        Ok(Operation::Three(choose, to, Value::Bits(yes), Value::Bits(0), Value::Register(between)))
    }

    fn carry(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let ty = suffixes.ty()?;
        let sets = suffixes.has("cc");
        suffixes.end()?;
        let (subtracts, reads) = (suffixes.name.starts_with("sub"), suffixes.name.ends_with('c'));
        let known = matches!(ty.kind, Kind::Unsigned | Kind::Signed) && ty.bits >= 32;
        match operands {
            [to, a, b] if known => {
                let carry = Carry { subtracts, reads, sets, bits: ty.bits };
                Ok(Operation::Carry(carry, self.register(to, ty)?, self.value(a, ty)?, self.value(b, ty)?))
            }
            _ => Err(suffixes.unknown()),
        }
    }

    fn szext(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let ty = suffixes.ty()?;
        let mode = suffixes.one_of(&["clamp", "wrap"]).ok_or_else(|| suffixes.unknown())?;
        suffixes.end()?;
        match operands {
            [to, a, b] if ty.bits == 32 && matches!(ty.kind, Kind::Unsigned | Kind::Signed) => {
                let function = arithmetic::cut(mode == "clamp", ty.kind == Kind::Signed);
                Ok(Operation::Two(function, self.register(to, ty)?, self.value(a, ty)?, self.value(b, WORD)?))
            }
            _ => Err(suffixes.unknown()),
        }
    }
}

const COMPARISONS: [&str; 18] = [
    "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan",
];

/// Whether PTX has an instruction for a type.
fn allowed(name: &str, ty: Type) -> bool {
    let whole = matches!(ty.kind, Kind::Unsigned | Kind::Signed);
    let bits = ty.kind == Kind::Bits;
    let large = ty.bits >= 32;
    match name {
        "and" | "or" | "xor" | "not" => (bits && ty.bits >= 16) || ty.kind == Kind::Predicate,
        "shl" => bits && ty.bits >= 16,
        "shr" | "selp" => ty.bits >= 16,
        "popc" | "clz" | "brev" | "bfi" => bits && large,
        "prmt" | "lop3" | "shf.l.wrap" | "shf.l.clamp" | "shf.r.wrap" | "shf.r.clamp" => bits && ty.bits == 32,
        "bfind" | "bfind.shiftamt" | "bfe" => whole && large,
        "add" | "sub" | "mul.lo" | "mul.hi" | "mad.lo" | "mad.hi" | "div" | "rem" => whole && ty.bits >= 16,
        "mul.wide" | "mad.wide" => whole && matches!(ty.bits, 16 | 32),
        "min" | "max" => (whole && ty.bits >= 16) || ty.kind == Kind::Float,
        "neg" | "abs" => (ty.kind == Kind::Signed && ty.bits >= 16) || ty.kind == Kind::Float,
        // A sum without `.rn` may be joined with a product by a device's compiler. So it isn't taken.
        "add.rn" | "sub.rn" | "mul.rn" | "div.rn" | "fma.rn" | "sqrt.rn" | "rcp.rn" | "copysign" => {
            ty.kind == Kind::Float
        }
        _ => name.starts_with("testp.") && ty.kind == Kind::Float,
    }
}
