//! What stands behind the name of an instruction.

use super::code::{Kind, Type, low};
use super::fault::Fault;
use super::text::{Token, Tokens, whole};

#[derive(Debug, Clone)]
pub(super) enum Operand<'a> {
    /// A register, a variable, a function or a label, and what is added to its address.
    Name(&'a str, u64),
    Number {
        text: &'a str,
        negative: bool,
    },
    /// In `[` and `]`.
    Address(Box<Self>),
    /// In `{` and `}`, or in `(` and `)`.
    Group(Vec<Self>),
    /// A name with `!` before it.
    Not(&'a str),
}

/// The operands of an instruction, up to its `;`.
pub(super) fn all<'a>(tokens: &mut Tokens<'a>) -> Result<Vec<Operand<'a>>, Fault> {
    let mut operands = Vec::new();
    if tokens.sign(b';') {
        return Ok(operands);
    }
    loop {
        operands.push(operand(tokens)?);
        if tokens.sign(b';') {
            return Ok(operands);
        }
        tokens.expect(b',')?;
    }
}

fn operand<'a>(tokens: &mut Tokens<'a>) -> Result<Operand<'a>, Fault> {
    match tokens.peek() {
        Some(Token::Sign(b'[')) => {
            tokens.expect(b'[')?;
            let inner = simple(tokens)?;
            tokens.expect(b']')?;
            Ok(Operand::Address(Box::new(inner)))
        }
        Some(Token::Sign(open @ (b'{' | b'('))) => {
            tokens.expect(open)?;
            let close = if open == b'{' { b'}' } else { b')' };
            let mut inner = Vec::new();
            while !tokens.sign(close) {
                if !inner.is_empty() {
                    tokens.expect(b',')?;
                }
                inner.push(simple(tokens)?);
            }
            Ok(Operand::Group(inner))
        }
        _ => simple(tokens),
    }
}

fn simple<'a>(tokens: &mut Tokens<'a>) -> Result<Operand<'a>, Fault> {
    if tokens.sign(b'!') {
        return Ok(Operand::Not(tokens.word()?));
    }
    let negative = tokens.sign(b'-');
    match tokens.peek() {
        Some(Token::Number(text)) => {
            tokens.take()?;
            Ok(Operand::Number { text, negative })
        }
        _ if negative => Err(tokens.syntax("a number is missing")),
        _ => {
            let name = tokens.word()?;
            Ok(Operand::Name(name, offset(tokens)?))
        }
    }
}

/// What is added to a name: `+8`, `+-8`, `-8` or nothing.
pub(super) fn offset(tokens: &mut Tokens<'_>) -> Result<u64, Fault> {
    let adds = tokens.sign(b'+');
    let negative = tokens.sign(b'-');
    if !adds && !negative {
        return Ok(0);
    }
    let count = tokens.count()?;
    Ok(if negative { count.wrapping_neg() } else { count })
}

/// The bits of a number that is written for a type. `None` if it isn't one of that type.
pub(super) fn literal(text: &str, negative: bool, ty: Type) -> Option<u64> {
    let hexadecimal = |prefix: [&str; 2], digits: usize| {
        let rest = text.strip_prefix(prefix[0]).or(text.strip_prefix(prefix[1]))?;
        (rest.len() == digits).then(|| u64::from_str_radix(rest, 16).ok())?
    };
    if let Some(bits) = hexadecimal(["0f", "0F"], 8) {
        return (ty.bits == 32 && !negative).then_some(bits);
    }
    if let Some(bits) = hexadecimal(["0d", "0D"], 16) {
        return (ty.bits == 64 && !negative).then_some(bits);
    }
    if ty.kind == Kind::Float {
        // Whether a whole number is converted or taken as bits isn't said anywhere, so it isn't guessed here.
        let number: f64 = text.contains('.').then(|| text.parse().ok())??;
        let number = if negative { -number } else { number };
        return Some(if ty.bits == 32 { u64::from((number as f32).to_bits()) } else { number.to_bits() });
    }
    let number = whole(text)?;
    let number = if negative { number.wrapping_neg() } else { number };
    match ty.kind {
        Kind::Predicate => Some(u64::from(number != 0)),
        _ => Some(low(number, ty.bits)),
    }
}
