//! Reads the body of a function, and makes numbers of the names in it.

use super::code::{Axis, Instruction, Kind, Operation, Special, Type, Value, Variable};
use super::fault::Fault;
use super::operand::{self, Operand, literal};
use super::parse::{self, Symbols};
use super::scope::{Named, Names};
use super::text::{Token, Tokens};
use std::collections::HashMap;

pub(super) const PREDICATE: Type = Type::new(Kind::Predicate, 1);

/// The body of a function while it is read.
pub(super) struct Body<'s, 'a> {
    pub(super) symbols: &'s mut Symbols,
    pub(super) names: Names<'a>,
    pub(super) line: usize,
    /// Labels by name. Branches have these numbers until all places are known.
    labels: HashMap<&'a str, u32>,
    places: Vec<Option<u32>>,
    code: Vec<Instruction>,
    guard: Option<(u32, bool)>,
}

impl<'s, 'a> Body<'s, 'a> {
    /// Reads what stands between `{` and `}`.
    pub(super) fn read(
        tokens: &mut Tokens<'a>,
        symbols: &'s mut Symbols,
        names: Names<'a>,
    ) -> Result<(Vec<Instruction>, Names<'a>), Fault> {
        let (labels, places, code) = (HashMap::new(), Vec::new(), Vec::new());
        let mut body = Self { symbols, names, line: tokens.line(), labels, places, code, guard: None };
        tokens.expect(b'{')?;
        body.names.enter();
        loop {
            body.line = tokens.line();
            if tokens.sign(b'{') {
                body.names.enter();
            } else if tokens.sign(b'}') {
                if !body.names.leave() {
                    break;
                }
            } else if !tokens.sign(b';') {
                body.statement(tokens)?;
            }
        }
        body.guard = None;
        body.push(Operation::Return);
        let places: Option<Vec<u32>> = body.places.iter().copied().collect();
        let places = places.ok_or_else(|| tokens.syntax("a label is missing in a function before"))?;
        let place = |label: &mut u32| *label = places.get(*label as usize).copied().unwrap_or(u32::MAX);
        for instruction in &mut body.code {
            match &mut instruction.operation {
                Operation::Branch(label) => place(label),
                Operation::BranchOneOf(_, labels) => labels.iter_mut().for_each(place),
                _ => {}
            }
        }
        Ok((body.code, body.names))
    }

    fn statement(&mut self, tokens: &mut Tokens<'a>) -> Result<(), Fault> {
        self.guard = None;
        if tokens.sign(b'@') {
            let negated = tokens.sign(b'!');
            let name = tokens.word()?;
            let register = self.register(&Operand::Name(name, 0), PREDICATE)?;
            self.guard = Some((register, !negated));
            return self.instruction(tokens);
        }
        match (tokens.peek(), tokens.ahead(1)) {
            (Some(Token::Word(name)), Some(Token::Sign(b':'))) => {
                tokens.take()?;
                tokens.take()?;
                self.named(tokens, name)
            }
            (Some(Token::Word(".reg")), _) => {
                tokens.take()?;
                self.registers(tokens)
            }
            (Some(Token::Word(".param" | ".local")), _) => {
                tokens.take()?;
                let (name, _, bytes, align, _) = parse::variable(tokens)?;
                tokens.expect(b';')?;
                let room = self.names.room(bytes, align).ok_or_else(|| tokens.syntax("a variable is too large"))?;
                self.add(name, Named::Variable(room))
            }
            (Some(Token::Word(".pragma")), _) => {
                while tokens.take()? != Token::Sign(b';') {}
                Ok(())
            }
            (Some(Token::Word(".loc" | ".file")), _) => {
                tokens.skip_line();
                Ok(())
            }
            _ => self.instruction(tokens),
        }
    }

    fn instruction(&mut self, tokens: &mut Tokens<'a>) -> Result<(), Fault> {
        let name = tokens.word()?;
        let operands = operand::all(tokens)?;
        let operation = self.operation(name, &operands)?;
        self.push(operation);
        Ok(())
    }

    pub(super) fn push(&mut self, operation: Operation) {
        self.code.push(Instruction { guard: self.guard, operation });
    }

    fn add(&mut self, name: &'a str, named: Named) -> Result<(), Fault> {
        match self.names.add(name, named) {
            true => Ok(()),
            false => Err(self.syntax(&format!("`{name}` is there twice"))),
        }
    }

    /// What stands behind a name and `:`.
    fn named(&mut self, tokens: &mut Tokens<'a>, name: &'a str) -> Result<(), Fault> {
        if tokens.is_word(".branchtargets") {
            let mut labels = Vec::new();
            for label in operand::all(tokens)? {
                let Operand::Name(label, 0) = label else { return Err(self.syntax("a label is missing")) };
                labels.push(self.label(label));
            }
            return self.add(name, Named::Targets(labels.into()));
        }
        if tokens.is_word(".callprototype") {
            let result = match tokens.peek() {
                Some(Token::Sign(b'(')) => parse::sizes(tokens)?.first().copied(),
                _ => None,
            };
            tokens.word()?;
            let arguments = match tokens.peek() {
                Some(Token::Sign(b'(')) => parse::sizes(tokens)?,
                _ => Vec::new(),
            };
            while tokens.take()? != Token::Sign(b';') {}
            return self.add(name, Named::Prototype { arguments, result });
        }
        let label = self.label(name);
        let here = self.code.len() as u32;
        match self.places.get_mut(label as usize) {
            Some(place @ None) => *place = Some(here),
            _ => return Err(self.syntax(&format!("`{name}` is there twice"))),
        }
        Ok(())
    }

    pub(super) fn label(&mut self, name: &'a str) -> u32 {
        let new = self.labels.len() as u32;
        let label = *self.labels.entry(name).or_insert(new);
        if label == new {
            self.places.push(None);
        }
        label
    }

    fn registers(&mut self, tokens: &mut Tokens<'a>) -> Result<(), Fault> {
        let ty = parse::ty(tokens)?;
        loop {
            let name = tokens.word()?;
            let full = || tokens.syntax("there are too many registers");
            if tokens.peek() == Some(Token::Sign(b'<')) {
                tokens.take()?;
                let count = tokens.count()?;
                tokens.expect(b'>')?;
                self.names.range(name, count, ty).ok_or_else(|| tokens.syntax("there are too many registers"))?;
            } else {
                let register = self.names.register().ok_or_else(full)?;
                self.add(name, Named::Register(register, ty))?;
            }
            if tokens.sign(b';') {
                return Ok(());
            }
            tokens.expect(b',')?;
        }
    }

    pub(super) fn syntax(&self, text: &str) -> Fault {
        Fault::Syntax { line: self.line, text: text.to_owned() }
    }

    fn found(&self, operand: &Operand<'a>) -> Option<(u32, Type)> {
        let Operand::Name(name, 0) = operand else { return None };
        match self.names.get(name)? {
            Named::Register(register, ty) => Some((register, ty)),
            _ => None,
        }
    }

    /// A register of just this size.
    pub(super) fn register(&self, operand: &Operand<'a>, ty: Type) -> Result<u32, Fault> {
        match self.found(operand) {
            Some((register, found)) if found.bits == ty.bits => Ok(register),
            Some((_, found)) => {
                Err(self.syntax(&format!("a register has {} bits where {} are wanted", found.bits, ty.bits)))
            }
            None => Err(self.syntax(&format!("a register of {} bits is missing", ty.bits))),
        }
    }

    /// A register of this size or a larger one, and its bits.
    pub(super) fn wide_register(&self, operand: &Operand<'a>, ty: Type) -> Result<(u32, u32), Fault> {
        match self.found(operand) {
            Some((register, found)) if found.bits >= ty.bits && found.bits > 1 => Ok((register, found.bits)),
            _ => Err(self.syntax(&format!("a register of {} bits is missing", ty.bits))),
        }
    }

    /// A register where `_` may stand for none.
    pub(super) fn sink(&self, operand: &Operand<'a>, ty: Type) -> Result<Option<u32>, Fault> {
        match operand {
            Operand::Name("_", 0) => Ok(None),
            _ => self.wide_register(operand, ty).map(|(register, _)| Some(register)),
        }
    }

    /// What an instruction reads.
    pub(super) fn value(&mut self, operand: &Operand<'a>, ty: Type) -> Result<Value, Fault> {
        let missing = |body: &Self| body.syntax(&format!("an operand of {} bits is missing", ty.bits));
        match operand {
            Operand::Number { text, negative } => {
                let bits = literal(text, *negative, ty);
                bits.map(Value::Bits).ok_or_else(|| self.syntax(&format!("{text} isn't of {} bits", ty.bits)))
            }
            Operand::Name(name, plus) => match self.names.get(name) {
                Some(Named::Register(..)) => self.register(operand, ty).map(Value::Register),
                Some(Named::Variable(variable)) if ty.bits == 64 => {
                    Ok(Value::Frame(variable.offset.wrapping_add(*plus)))
                }
                Some(_) => Err(missing(self)),
                None if name.starts_with('%') => self.special(name, ty),
                None if ty.bits != 64 => Err(missing(self)),
                None => match self.symbols.global(name) {
                    Some(global) => Ok(Value::Global(global, *plus)),
                    None if *plus == 0 => Ok(Value::Bits(function_address(self.symbols.function(name)))),
                    None => Err(missing(self)),
                },
            },
            Operand::Address(_) | Operand::Group(_) | Operand::Not(_) => Err(missing(self)),
        }
    }

    /// What an instruction reads that takes larger registers as well.
    pub(super) fn wide_value(&mut self, operand: &Operand<'a>, ty: Type) -> Result<Value, Fault> {
        match self.found(operand) {
            Some(_) => self.wide_register(operand, ty).map(|(register, _)| Value::Register(register)),
            None => self.value(operand, ty),
        }
    }

    fn special(&self, name: &str, ty: Type) -> Result<Value, Fault> {
        let Some((kind, axis)) = name.split_once('.') else {
            return Err(self.syntax(&format!("`{name}` is nowhere declared")));
        };
        let axis = match axis {
            "x" => Some(Axis::X),
            "y" => Some(Axis::Y),
            "z" => Some(Axis::Z),
            _ => None,
        };
        let value = Value::Special(match (kind, axis) {
            ("%tid", Some(axis)) => Special::Thread(axis),
            ("%ntid", Some(axis)) => Special::Threads(axis),
            ("%ctaid", Some(axis)) => Special::Block(axis),
            ("%nctaid", Some(axis)) => Special::Blocks(axis),
            _ => return Err(Fault::Unsupported { instruction: name.to_owned() }),
        });
        if ty.bits == 32 { Ok(value) } else { Err(self.syntax(&format!("`{name}` has 32 bits"))) }
    }

    /// An address in `[` and `]`, and what is added to it.
    pub(super) fn address(&mut self, operand: &Operand<'a>) -> Result<(Value, u64), Fault> {
        const ADDRESS: Type = Type::new(Kind::Unsigned, 64);
        let Operand::Address(inner) = operand else { return Err(self.syntax("an address is missing")) };
        match &**inner {
            Operand::Name(name, plus) if matches!(self.names.get(name), Some(Named::Register(..))) => {
                let register = self.register(&Operand::Name(name, 0), ADDRESS)?;
                Ok((Value::Register(register), *plus))
            }
            other => Ok((self.value(other, ADDRESS)?, 0)),
        }
    }

    /// The bytes of a variable of the frame.
    pub(super) fn variable(&self, operand: &Operand<'a>) -> Result<Variable, Fault> {
        match operand {
            Operand::Name(name, 0) => match self.names.get(name) {
                Some(Named::Variable(variable)) => Ok(variable),
                _ => Err(self.syntax(&format!("`{name}` isn't a variable"))),
            },
            _ => Err(self.syntax("a variable is missing")),
        }
    }
}

/// Where a function is, for pointers to it.
pub(super) fn function_address(number: u32) -> u64 {
    0x1000 + 16 * u64::from(number)
}
