//! Reads instructions that say what is next.

use super::body::Body;
use super::code::{Call, Kind, Operation, Target, Type, Variable};
use super::fault::Fault;
use super::operand::Operand;
use super::scope::Named;
use super::suffixes::Suffixes;

const ADDRESS: Type = Type::new(Kind::Unsigned, 64);

impl<'a> Body<'_, 'a> {
    pub(super) fn flow(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        // Whether all threads of a warp go the same way is nothing to threads that run one after the other.
        suffixes.has("uni");
        match (suffixes.name, operands) {
            ("bra", [Operand::Name(label, 0)]) => {
                suffixes.end()?;
                Ok(Operation::Branch(self.label(label)))
            }
            ("brx", [index, Operand::Name(list, 0)]) if suffixes.has("idx") => {
                suffixes.end()?;
                let Some(Named::Targets(labels)) = self.names.get(list) else {
                    return Err(self.syntax(&format!("`{list}` isn't a list of labels")));
                };
                Ok(Operation::BranchOneOf(self.value(index, Type::new(Kind::Unsigned, 32))?, labels))
            }
            ("call", _) => {
                suffixes.end()?;
                self.call(operands)
            }
            ("ret", []) => suffixes.end().map(|()| Operation::Return),
            ("exit", []) => suffixes.end().map(|()| Operation::Exit),
            ("trap", []) => suffixes.end().map(|()| Operation::Trap),
            ("membar" | "fence", []) => Ok(Operation::Nothing),
            // Threads that wait for each other because they share something would need to run at once.
            ("bar" | "barrier", [Operand::Number { .. }]) if !self.symbols.has_shared => {
                match suffixes.one_of(&["sync"]) {
                    Some(_) => Ok(Operation::Barrier),
                    None => Err(suffixes.unknown()),
                }
            }
            _ => Err(suffixes.unknown()),
        }
    }

    fn call(&mut self, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let (result, operands) = match operands {
            [Operand::Group(results), rest @ ..] => match results.as_slice() {
                [result] => (Some(self.variable(result)?), rest),
                _ => return Err(self.syntax("a call has one result or none")),
            },
            _ => (None, operands),
        };
        let [target, rest @ ..] = operands else { return Err(self.syntax("a function is missing")) };
        let (arguments, rest) = match rest {
            [Operand::Group(arguments), rest @ ..] => {
                (arguments.iter().map(|it| self.variable(it)).collect::<Result<Vec<_>, _>>()?, rest)
            }
            _ => (Vec::new(), rest),
        };
        let sizes = |all: &[Variable]| all.iter().map(|it| it.bytes).collect::<Vec<_>>();
        let Operand::Name(name, 0) = target else { return Err(self.syntax("a function is missing")) };
        let is_pointer = matches!(self.names.get(name), Some(Named::Register(..)));
        let target = if is_pointer { Target::Pointer(self.value(target, ADDRESS)?) } else { self.callee(name) };
        let fits = match (target, rest) {
            (Target::Function(number), []) => self.symbols.functions.get(number as usize).is_some_and(|function| {
                let taken = sizes(&function.parameters) == sizes(&arguments);
                function.is_declared
                    && !function.is_entry
                    && taken
                    && sizes(function.result.as_slice()) == sizes(result.as_slice())
            }),
            (Target::Pointer(_), [Operand::Name(prototype, 0)]) => match self.names.get(prototype) {
                Some(Named::Prototype { arguments: taken, result: given }) => {
                    taken == sizes(&arguments) && given == result.map(|it| it.bytes)
                }
                _ => false,
            },
            _ => false,
        };
        match fits {
            true => Ok(Operation::Call(Box::new(Call { target, arguments, result }))),
            false => Err(self.syntax(&format!("`{name}` isn't declared for this call"))),
        }
    }

    fn callee(&mut self, name: &str) -> Target {
        Target::Function(self.symbols.function(name))
    }
}
