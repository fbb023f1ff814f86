//! Runs the code of a module, one thread after the other.

use super::body::function_address;
use super::code::{
    Access, Call, Carry, Change, Function, Instruction, Module, Operation, Space, Symbol, Target, Value, Variable,
    extended, low,
};
use super::convert::converted;
use super::fault::Fault;
use super::memory::{Memory, STACK, UNWRITTEN};
use super::shape::{BLOCK, Shape};
use std::collections::HashMap;

/// What CUDA allows a thread for its variables.
const STACK_BYTES: usize = 512 << 10;
const DEEPEST: usize = 4096;
const MOST_REGISTERS: usize = 1 << 20;
/// After so many instructions it is asked whether to stop.
const PATIENCE: u32 = 4096;
/// So often it is asked in what nobody can stop.
const LONGEST_CALL: u32 = 1 << 16;

/// A module that is in the memory of a simulated device.
#[derive(Debug)]
pub struct Device {
    module: Module,
    /// Where the globals are.
    globals: Vec<u64>,
    by_name: HashMap<String, u64>,
}

impl Device {
    /// Puts the globals of a module in memory.
    pub fn load(module: Module, memory: &mut Memory) -> Result<Self, Fault> {
        let mut device = Self { module, globals: Vec::new(), by_name: HashMap::new() };
        match device.place(memory) {
            Ok(()) => Ok(device),
            Err(fault) => {
                device.unload(memory)?;
                Err(fault)
            }
        }
    }

    fn place(&mut self, memory: &mut Memory) -> Result<(), Fault> {
        for global in &self.module.globals {
            self.globals.push(memory.alloc(global.bytes, global.align)?);
        }
        for (global, &start) in self.module.globals.iter().zip(&self.globals) {
            // What has no value is zero.
            memory.bytes_mut(start, global.bytes)?.fill(0);
            memory.write(start, &global.start)?;
            for it in &global.addresses {
                let address = match it.symbol {
                    Symbol::Global(number) => self.globals.get(number as usize).copied().unwrap_or_default(),
                    Symbol::Function(number) => function_address(number),
                };
                let bytes = (address.wrapping_add(it.plus) >> it.shift).to_le_bytes();
                memory.write(start + it.at as u64, bytes.get(..it.bytes).unwrap_or_default())?;
            }
            self.by_name.insert(global.name.clone(), start);
        }
        Ok(())
    }

    /// Where a global is.
    pub fn address_of(&self, global: &str) -> Option<u64> {
        self.by_name.get(global).copied()
    }

    /// Gives the room of the globals back. Nothing of it can be launched any more.
    pub fn unload(self, memory: &mut Memory) -> Result<(), Fault> {
        self.globals.iter().try_for_each(|global| memory.free(*global))
    }

    /// Runs an entry in threads with the numbers from 0 on, 256 in a block. It ends early when `stop` says so, which is
    /// asked at the start and every few thousand instructions.
    pub fn launch(
        &self,
        memory: &mut Memory,
        entry: &str,
        arguments: &[u64],
        threads: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Fault> {
        let unsupported = || Fault::Unsupported { instruction: format!("a launch of {threads} threads") };
        let blocks = i32::try_from(threads.div_ceil(BLOCK)).map_err(|_| unsupported())?;
        self.run(memory, entry, arguments, (Shape::row(blocks.unsigned_abs()), threads), stop)
    }

    /// Runs an entry in all threads of such a grid, one after the other.
    pub fn launch_grid(
        &self,
        memory: &mut Memory,
        entry: &str,
        arguments: &[u64],
        shape: Shape,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Fault> {
        let all = shape.all_threads();
        let all = all.ok_or_else(|| Fault::Unsupported { instruction: format!("a launch of {shape:?}") })?;
        self.run(memory, entry, arguments, (shape, all), stop)
    }

    /// Runs an entry in so many threads.
    fn run(
        &self,
        memory: &mut Memory,
        entry: &str,
        arguments: &[u64],
        (shape, threads): (Shape, u64),
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Fault> {
        let function = self.startable(entry, true)?;
        if stop() {
            return Err(Fault::Stopped);
        }
        let mut thread = Thread::new(self, memory, shape);
        for number in 0..threads {
            thread.number = number;
            thread.run(function, arguments, stop)?;
        }
        Ok(())
    }

    /// Calls a function that isn't an entry, in one thread.
    pub fn call(&self, memory: &mut Memory, function: &str, arguments: &[u64]) -> Result<(), Fault> {
        let function = self.startable(function, false)?;
        let asked = std::cell::Cell::new(0u32);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > LONGEST_CALL
        };
        Thread::new(self, memory, Shape::row(1)).run(function, arguments, &stop)
    }

    fn startable(&self, name: &str, is_entry: bool) -> Result<&Function, Fault> {
        let function = self.module.function(name).filter(|it| it.is_entry == is_entry && it.code.is_some());
        function.ok_or_else(|| Fault::NoEntry(name.to_owned()))
    }
}

/// A call that isn't over.
#[derive(Clone, Copy)]
struct Frame<'d> {
    function: &'d Function,
    code: &'d [Instruction],
    /// The next instruction.
    next: usize,
    /// Where its registers and variables start.
    registers: usize,
    variables: u64,
    /// Where the caller wants the result, as an address.
    result: Option<u64>,
}

struct Thread<'d, 'm> {
    device: &'d Device,
    memory: &'m mut Memory,
    number: u64,
    shape: Shape,
    registers: Vec<u64>,
    stack: Vec<u8>,
    /// The bytes of the stack that are in use.
    top: usize,
    /// Those that called the one that runs.
    callers: Vec<Frame<'d>>,
    carry: bool,
    patience: u32,
}

impl<'d, 'm> Thread<'d, 'm> {
    fn new(device: &'d Device, memory: &'m mut Memory, shape: Shape) -> Self {
        let (registers, stack, callers) = (Vec::new(), vec![UNWRITTEN; STACK_BYTES], Vec::new());
        Self { device, memory, number: 0, shape, registers, stack, top: 0, callers, carry: false, patience: PATIENCE }
    }

    /// Makes room for a call.
    fn enter(&mut self, function: &'d Function, result: Option<u64>) -> Result<Frame<'d>, Fault> {
        let code = function.code.as_deref().ok_or_else(|| Fault::NoEntry(function.name.clone()))?;
        let variables = self.top.next_multiple_of(function.align.max(1) as usize);
        let top = variables.saturating_add(function.frame as usize);
        let registers = self.registers.len();
        let all = registers + function.registers as usize;
        let Some(fresh) = self.stack.get_mut(variables..top) else { return Err(Fault::TooDeep) };
        if all > MOST_REGISTERS || self.callers.len() >= DEEPEST {
            return Err(Fault::TooDeep);
        }
        fresh.fill(UNWRITTEN);
        self.registers.resize(all, 0);
        self.top = top;
        Ok(Frame { function, code, next: 0, registers, variables: STACK + variables as u64, result })
    }

    /// Runs a thread to its end.
    fn run(&mut self, function: &'d Function, arguments: &[u64], stop: &dyn Fn() -> bool) -> Result<(), Fault> {
        self.registers.clear();
        self.callers.clear();
        self.top = 0;
        let mut frame = self.enter(function, None)?;
        let fits = |it: &Variable| it.bytes <= 8;
        if arguments.len() != function.parameters.len() || !function.parameters.iter().all(fits) {
            return Err(Fault::BadCall { function: function.name.clone() });
        }
        for (parameter, argument) in function.parameters.iter().zip(arguments) {
            let bytes = self.place_mut(Space::Local, frame.variables + parameter.offset, parameter.bytes)?;
            bytes.copy_from_slice(argument.to_le_bytes().get(..parameter.bytes as usize).unwrap_or_default());
        }
        loop {
            self.patience -= 1;
            if self.patience == 0 {
                self.patience = PATIENCE;
                if stop() {
                    return Err(Fault::Stopped);
                }
            }
            // Behind the last instruction there is always a return.
            let Some(instruction) = frame.code.get(frame.next) else { return Err(Fault::Trap) };
            frame.next += 1;
            if let Some((register, wanted)) = instruction.guard
                && (self.register(&frame, register) != 0) != wanted
            {
                continue;
            }
            match &instruction.operation {
                Operation::Branch(to) => frame.next = *to as usize,
                Operation::BranchOneOf(index, all) => {
                    let chosen = all.get(self.value(&frame, *index) as usize);
                    frame.next = *chosen.ok_or(Fault::Trap)? as usize;
                }
                Operation::Call(call) => self.call(&mut frame, call)?,
                Operation::Return => match self.leave(&frame)? {
                    Some(caller) => frame = caller,
                    None => return Ok(()),
                },
                Operation::Exit => return Ok(()),
                Operation::Trap => return Err(Fault::Trap),
                Operation::Barrier if self.shape.block() > 1 => return Err(Fault::Barrier),
                other => self.step(&frame, other)?,
            }
        }
    }

    /// Goes into a function.
    fn call(&mut self, frame: &mut Frame<'d>, call: &Call) -> Result<(), Fault> {
        let number = match call.target {
            Target::Function(number) => Some(number as usize),
            Target::Pointer(pointer) => function_at(self.value(frame, pointer)),
        };
        let functions = &self.device.module.functions;
        let function = number.and_then(|number| functions.get(number)).ok_or_else(|| {
            let Target::Pointer(pointer) = call.target else { return Fault::Trap };
            Fault::BadAddress { address: self.value(frame, pointer), bytes: 0 }
        })?;
        let same = |a: Option<&Variable>, b: Option<&Variable>| a.map(|it| it.bytes) == b.map(|it| it.bytes);
        let taken = function.parameters.len() == call.arguments.len()
            && function.parameters.iter().zip(&call.arguments).all(|(a, b)| a.bytes == b.bytes);
        if !taken || !same(function.result.as_ref(), call.result.as_ref()) || function.is_entry {
            return Err(Fault::BadCall { function: function.name.clone() });
        }
        let inner = self.enter(function, call.result.map(|it| frame.variables + it.offset))?;
        for (parameter, argument) in function.parameters.iter().zip(&call.arguments) {
            let (from, to) = (frame.variables + argument.offset, inner.variables + parameter.offset);
            self.copy(from, to, parameter.bytes)?;
        }
        self.callers.push(*frame);
        *frame = inner;
        Ok(())
    }

    /// Leaves a function. Its caller, if it has one.
    fn leave(&mut self, frame: &Frame<'d>) -> Result<Option<Frame<'d>>, Fault> {
        if let (Some(from), Some(to)) = (frame.function.result, frame.result) {
            self.copy(frame.variables + from.offset, to, from.bytes)?;
        }
        self.registers.truncate(frame.registers);
        let Some(caller) = self.callers.pop() else { return Ok(None) };
        self.top = (caller.variables - STACK) as usize + caller.function.frame as usize;
        Ok(Some(caller))
    }

    /// Copies bytes of the stack.
    fn copy(&mut self, from: u64, to: u64, bytes: u64) -> Result<(), Fault> {
        let (from, to, bytes) = ((from - STACK) as usize, (to - STACK) as usize, bytes as usize);
        if from.max(to) + bytes > self.top {
            return Err(Fault::TooDeep);
        }
        self.stack.copy_within(from..from + bytes, to);
        Ok(())
    }

    fn register(&self, frame: &Frame<'d>, register: u32) -> u64 {
        self.registers.get(frame.registers + register as usize).copied().unwrap_or_default()
    }

    fn set(&mut self, frame: &Frame<'d>, register: u32, value: u64) {
        if let Some(place) = self.registers.get_mut(frame.registers + register as usize) {
            *place = value;
        }
    }

    fn value(&self, frame: &Frame<'d>, value: Value) -> u64 {
        match value {
            Value::Register(register) => self.register(frame, register),
            Value::Bits(bits) => bits,
            Value::Global(number, plus) => {
                self.device.globals.get(number as usize).copied().unwrap_or_default().wrapping_add(plus)
            }
            Value::Frame(offset) => frame.variables.wrapping_add(offset),
            Value::Special(special) => self.shape.place(special, self.number),
        }
    }

    /// Does what isn't about which instruction is next.
    fn step(&mut self, frame: &Frame<'d>, operation: &Operation) -> Result<(), Fault> {
        match operation {
            Operation::Move(to, a) => self.set(frame, *to, self.value(frame, *a)),
            Operation::One(function, to, a) => self.set(frame, *to, function(self.value(frame, *a))),
            Operation::Two(function, to, a, b) => {
                self.set(frame, *to, function(self.value(frame, *a), self.value(frame, *b)));
            }
            Operation::Three(function, to, a, b, c) => {
                let value = function(self.value(frame, *a), self.value(frame, *b), self.value(frame, *c));
                self.set(frame, *to, value);
            }
            Operation::Four(function, to, [a, b, c, d]) => {
                let (a, b) = (self.value(frame, *a), self.value(frame, *b));
                let value = function(a, b, self.value(frame, *c), self.value(frame, *d));
                self.set(frame, *to, value);
            }
            Operation::Convert(conversion, to, a) => {
                self.set(frame, *to, converted(conversion, self.value(frame, *a)));
            }
            Operation::Carry(carry, to, a, b) => {
                let value = self.carried(*carry, self.value(frame, *a), self.value(frame, *b));
                self.set(frame, *to, value);
            }
            Operation::Pack { to, bits, parts } => {
                let parts = parts.iter().rev();
                let value = parts.fold(0, |all, part| all << bits | low(self.value(frame, *part), *bits));
                self.set(frame, *to, value);
            }
            Operation::Unpack { to, bits, from } => {
                let value = self.value(frame, *from);
                for (index, to) in (0..).zip(to) {
                    if let Some(to) = to {
                        self.set(frame, *to, low(value >> (index * bits), *bits));
                    }
                }
            }
            Operation::Load { to, what, from } => {
                let value = self.load(*what, self.value(frame, *from).wrapping_add(what.plus))?;
                let bits = what.bytes as u32 * 8;
                let value = what.signed.map_or(value, |register| low(extended(value, bits) as u64, register));
                self.set(frame, *to, value);
            }
            Operation::LoadAll { to, what, from } => {
                let start = self.value(frame, *from).wrapping_add(what.plus);
                aligned(start, what.bytes * to.len() as u64)?;
                for (address, to) in addresses(start, what.bytes).zip(to) {
                    let value = self.load(*what, address)?;
                    if let Some(to) = to {
                        self.set(frame, *to, value);
                    }
                }
            }
            Operation::Store { what, to, from } => {
                let address = self.value(frame, *to).wrapping_add(what.plus);
                self.store(*what, address, self.value(frame, *from))?;
            }
            Operation::StoreAll { what, to, from } => {
                let start = self.value(frame, *to).wrapping_add(what.plus);
                aligned(start, what.bytes * from.len() as u64)?;
                for (address, from) in addresses(start, what.bytes).zip(from) {
                    self.store(*what, address, self.value(frame, *from))?;
                }
            }
            Operation::Atomic { to, what, at, change } => {
                let address = self.value(frame, *at).wrapping_add(what.plus);
                let old = self.load(*what, address)?;
                let new = match *change {
                    Change::To(function, other) => function(old, self.value(frame, other)),
                    Change::If(wanted, new) if self.value(frame, wanted) == old => self.value(frame, new),
                    Change::If(..) => old,
                };
                self.store(*what, address, new)?;
                if let Some(to) = to {
                    self.set(frame, *to, old);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn carried(&mut self, carry: Carry, a: u64, b: u64) -> u64 {
        let Carry { subtracts, reads, sets, bits } = carry;
        let more = i128::from(reads && self.carry);
        let (a, b) = (i128::from(a), i128::from(b));
        let result = if subtracts { a - b - more } else { a + b + more };
        if sets {
            self.carry = result < 0 || result >= 1 << bits;
        }
        low(result as u64, bits)
    }

    fn load(&self, what: Access, address: u64) -> Result<u64, Fault> {
        aligned(address, what.bytes)?;
        let bytes = match self.on_stack(what.space, address, what.bytes)? {
            Some(start) => self.stack.get(start..start + what.bytes as usize).unwrap_or_default(),
            None => self.memory.bytes(address, what.bytes)?,
        };
        let mut value = [0; 8];
        value.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(u64::from_le_bytes(value))
    }

    fn store(&mut self, what: Access, address: u64, value: u64) -> Result<(), Fault> {
        aligned(address, what.bytes)?;
        let bytes = self.place_mut(what.space, address, what.bytes)?;
        bytes.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
        Ok(())
    }

    fn place_mut(&mut self, space: Space, address: u64, bytes: u64) -> Result<&mut [u8], Fault> {
        match self.on_stack(space, address, bytes)? {
            Some(start) => Ok(self.stack.get_mut(start..start + bytes as usize).unwrap_or_default()),
            None => self.memory.bytes_mut(address, bytes),
        }
    }

    /// Where an address is on the stack. None if it's elsewhere, and may be.
    fn on_stack(&self, space: Space, address: u64, bytes: u64) -> Result<Option<usize>, Fault> {
        let start = address.checked_sub(STACK).filter(|start| *start <= STACK_BYTES as u64);
        match (start, space) {
            (Some(start), Space::Any | Space::Local) if start + bytes <= self.top as u64 => Ok(Some(start as usize)),
            (None, Space::Any | Space::Global) => Ok(None),
            _ => Err(Fault::BadAddress { address, bytes }),
        }
    }
}

fn function_at(address: u64) -> Option<usize> {
    let offset = address.checked_sub(function_address(0))?;
    offset.is_multiple_of(16).then(|| usize::try_from(offset / 16).ok())?
}

fn addresses(start: u64, bytes: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |index: u64| start.wrapping_add(index * bytes))
}

fn aligned(address: u64, bytes: u64) -> Result<(), Fault> {
    match bytes.is_power_of_two() && address & (bytes - 1) != 0 {
        true => Err(Fault::Misaligned { address, bytes }),
        false => Ok(()),
    }
}
