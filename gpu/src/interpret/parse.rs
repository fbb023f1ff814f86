//! Reads a module: its functions and its global variables.

use super::body::Body;
use super::code::{Function, Global, Kind, Module, Relocation, Symbol, Type, Variable};
use super::fault::Fault;
use super::operand::{literal, offset};
use super::scope::{Named, Names};
use super::text::{Token, Tokens, whole};
use std::collections::HashMap;

/// The names of a module.
#[derive(Default)]
pub(super) struct Symbols {
    pub(super) functions: Vec<Function>,
    functions_by_name: HashMap<String, u32>,
    globals: Vec<Global>,
    globals_by_name: HashMap<String, u32>,
    /// What threads share would need them to run at once.
    pub(super) has_shared: bool,
    /// Whether a product and a sum may be made one step, with other bits: those without a rounding in their names.
    pub(super) may_fuse: bool,
}

impl Symbols {
    pub(super) fn global(&self, name: &str) -> Option<u32> {
        self.globals_by_name.get(name).copied()
    }

    /// The number of a function, which may come later.
    pub(super) fn function(&mut self, name: &str) -> u32 {
        if let Some(known) = self.functions_by_name.get(name) {
            return *known;
        }
        let new = self.functions.len() as u32;
        self.functions.push(Function { name: name.to_owned(), ..Function::default() });
        self.functions_by_name.insert(name.to_owned(), new);
        new
    }
}

impl Module {
    /// Reads the text of a module.
    pub fn parse(ptx: &str) -> Result<Self, Fault> {
        Self::parsed(ptx, Symbols::default())
    }

    /// The same for CUDA C++, where a GPU may make one step of a product and a sum, which then have other bits. Here they
    /// are two steps unless NVRTC itself has made one of them.
    pub fn parse_cuda(ptx: &str) -> Result<Self, Fault> {
        Self::parsed(ptx, Symbols { may_fuse: true, ..Symbols::default() })
    }

    fn parsed(ptx: &str, mut symbols: Symbols) -> Result<Self, Fault> {
        let mut tokens = Tokens::new(ptx)?;
        while tokens.peek().is_some() {
            part(&mut tokens, &mut symbols)?;
        }
        if let Some(unknown) = symbols.functions.iter().find(|it| !it.is_declared) {
            return Err(tokens.syntax(&format!("`{}` is nowhere declared", unknown.name)));
        }
        Ok(Self { functions: symbols.functions, named: symbols.functions_by_name, globals: symbols.globals })
    }
}

/// Reads one of the things that a module consists of.
fn part<'a>(tokens: &mut Tokens<'a>, symbols: &mut Symbols) -> Result<(), Fault> {
    let mut is_extern = false;
    loop {
        let word = match tokens.peek() {
            Some(Token::Word(word)) => word,
            _ => return Err(tokens.syntax("a directive is missing")),
        };
        match word {
            ".version" | ".target" | ".address_size" | ".file" | ".loc" => {
                tokens.skip_line();
                return Ok(());
            }
            ".section" => return skip_section(tokens),
            ".visible" | ".weak" => _ = tokens.take()?,
            ".extern" => {
                is_extern = true;
                tokens.take()?;
            }
            ".func" | ".entry" => {
                tokens.take()?;
                return function(tokens, symbols, word == ".entry");
            }
            ".global" | ".const" | ".shared" if !is_extern => {
                tokens.take()?;
                symbols.has_shared |= word == ".shared";
                return global(tokens, symbols);
            }
            _ if is_extern => return Err(Fault::Unsupported { instruction: format!(".extern {word}") }),
            _ => return Err(Fault::Unsupported { instruction: word.to_owned() }),
        }
    }
}

/// Leaves out what is for debuggers.
fn skip_section(tokens: &mut Tokens<'_>) -> Result<(), Fault> {
    while tokens.take()? != Token::Sign(b'{') {}
    while tokens.take()? != Token::Sign(b'}') {}
    Ok(())
}

pub(super) fn ty(tokens: &mut Tokens<'_>) -> Result<Type, Fault> {
    let word = tokens.word()?;
    let found = word.strip_prefix('.').and_then(Type::named);
    found.ok_or_else(|| Fault::Unsupported { instruction: word.to_owned() })
}

/// The bytes and alignment of a variable, and its name: `.align 8 .b8 name[16]`. Whether it is an array.
pub(super) fn variable<'a>(tokens: &mut Tokens<'a>) -> Result<(&'a str, Type, u64, u64, bool), Fault> {
    let mut align = None;
    if tokens.is_word(".align") {
        align = Some(tokens.count()?);
    }
    let ty = ty(tokens)?;
    if ty.kind == Kind::Predicate {
        return Err(tokens.syntax("a variable can't be a predicate"));
    }
    while tokens.is_word(".ptr") || tokens.is_word(".global") || tokens.is_word(".align") {
        if matches!(tokens.peek(), Some(Token::Number(_))) {
            tokens.take()?;
        }
    }
    let name = tokens.word()?;
    let mut bytes = ty.bytes();
    let mut is_array = false;
    while tokens.sign(b'[') {
        is_array = true;
        let count = if tokens.peek() == Some(Token::Sign(b']')) { 0 } else { tokens.count()? };
        bytes = bytes.checked_mul(count).ok_or_else(|| tokens.syntax("an array is too large"))?;
        tokens.expect(b']')?;
    }
    Ok((name, ty, bytes, align.unwrap_or(ty.bytes()), is_array))
}

/// Reads parameters or results in their parentheses.
fn parameters<'a>(tokens: &mut Tokens<'a>, names: &mut Names<'a>) -> Result<Vec<Variable>, Fault> {
    let mut all = Vec::new();
    tokens.expect(b'(')?;
    while !tokens.sign(b')') {
        if !all.is_empty() {
            tokens.expect(b',')?;
        }
        if !tokens.is_word(".param") {
            return Err(Fault::Unsupported { instruction: "a parameter that isn't a .param".to_owned() });
        }
        let (name, _, bytes, align, _) = variable(tokens)?;
        let room = names.room(bytes, align).ok_or_else(|| tokens.syntax("parameters are too large"))?;
        if name != "_" && !names.add(name, Named::Variable(room)) {
            return Err(tokens.syntax(&format!("`{name}` is there twice")));
        }
        all.push(room);
    }
    Ok(all)
}

/// The sizes of what a prototype or a function takes or gives.
pub(super) fn sizes(tokens: &mut Tokens<'_>) -> Result<Vec<u64>, Fault> {
    Ok(parameters(tokens, &mut Names::new())?.iter().map(|it| it.bytes).collect())
}

fn function<'a>(tokens: &mut Tokens<'a>, symbols: &mut Symbols, is_entry: bool) -> Result<(), Fault> {
    let mut names = Names::new();
    let results = match tokens.peek() {
        Some(Token::Sign(b'(')) => parameters(tokens, &mut names)?,
        _ => Vec::new(),
    };
    let name = tokens.word()?;
    let taken = match tokens.peek() {
        Some(Token::Sign(b'(')) => parameters(tokens, &mut names)?,
        _ => Vec::new(),
    };
    if results.len() > 1 || symbols.global(name).is_some() {
        return Err(tokens.syntax(&format!("`{name}` can't be so")));
    }
    let number = symbols.function(name);
    let result = results.first().copied();
    let sizes = |all: &[Variable]| all.iter().map(|it| it.bytes).collect::<Vec<_>>();
    if let Some(known) = symbols.functions.get_mut(number as usize) {
        let same = sizes(&known.parameters) == sizes(&taken) && sizes(known.result.as_slice()) == sizes(&results);
        if known.is_declared && (!same || known.is_entry != is_entry) {
            return Err(tokens.syntax(&format!("`{name}` was declared otherwise")));
        }
        (known.is_declared, known.is_entry) = (true, is_entry);
        (known.parameters, known.result) = (taken, result);
    }
    // What stands before the body is for the compiler of the device.
    while !matches!(tokens.peek(), Some(Token::Sign(b'{' | b';'))) {
        tokens.take()?;
    }
    if tokens.sign(b';') {
        return Ok(());
    }
    if symbols.functions.get(number as usize).is_some_and(|it| it.code.is_some()) {
        return Err(tokens.syntax(&format!("`{name}` is there twice")));
    }
    let (code, names) = Body::read(tokens, symbols, names)?;
    if let Some(function) = symbols.functions.get_mut(number as usize) {
        function.code = Some(code);
        function.registers = names.registers;
        function.frame = names.frame;
        function.align = names.align;
    }
    Ok(())
}

fn global(tokens: &mut Tokens<'_>, symbols: &mut Symbols) -> Result<(), Fault> {
    let (name, ty, mut bytes, align, is_array) = variable(tokens)?;
    let mut start = Vec::new();
    let mut addresses = Vec::new();
    if tokens.sign(b'=') {
        let is_list = tokens.sign(b'{');
        while !(is_list && tokens.sign(b'}')) {
            if !start.is_empty() {
                tokens.expect(b',')?;
            }
            let at = start.len();
            let element = initial(tokens, symbols, ty, at)?;
            let (number, address) = element;
            start.extend(number.to_le_bytes().into_iter().take(ty.bytes() as usize));
            addresses.extend(address);
            if !is_list {
                break;
            }
        }
        if is_list != is_array {
            return Err(tokens.syntax(&format!("`{name}` has another kind of value")));
        }
    }
    tokens.expect(b';')?;
    if bytes == 0 {
        bytes = start.len() as u64;
    }
    if start.len() as u64 > bytes || !align.is_power_of_two() {
        return Err(tokens.syntax(&format!("`{name}` has more values than room")));
    }
    let number = symbols.globals.len() as u32;
    let is_known = symbols.functions_by_name.contains_key(name);
    if is_known || symbols.globals_by_name.insert(name.to_owned(), number).is_some() {
        return Err(tokens.syntax(&format!("`{name}` is there twice")));
    }
    symbols.globals.push(Global { name: name.to_owned(), bytes, align, start, addresses });
    Ok(())
}

/// An element of an initial value: a number, an address, or a byte of an address as `0xFF00(name)`.
fn initial(
    tokens: &mut Tokens<'_>,
    symbols: &mut Symbols,
    ty: Type,
    at: usize,
) -> Result<(u64, Option<Relocation>), Fault> {
    let negative = tokens.sign(b'-');
    let mut mask = None;
    if let Some(Token::Number(text)) = tokens.peek() {
        tokens.take()?;
        if !tokens.sign(b'(') {
            let number = literal(text, negative, ty);
            return match number {
                Some(number) => Ok((number, None)),
                None => Err(tokens.syntax(&format!("{text} doesn't fit there"))),
            };
        }
        mask = Some(whole(text).ok_or_else(|| tokens.syntax("a mask is missing"))?);
    }
    let mut name = tokens.word()?;
    let is_generic = name == "generic" && tokens.sign(b'(');
    if is_generic {
        name = tokens.word()?;
    }
    let mut plus = offset(tokens)?;
    if is_generic {
        tokens.expect(b')')?;
        plus = plus.wrapping_add(offset(tokens)?);
    }
    let shift = match mask {
        Some(mask) => {
            tokens.expect(b')')?;
            let shift = (0..8).map(|byte| byte * 8).find(|shift| 0xff << shift == mask);
            shift.filter(|_| ty.bits == 8).ok_or_else(|| tokens.syntax("a mask isn't one byte"))?
        }
        None if ty.bits == 64 && !negative => 0,
        None => return Err(tokens.syntax("an address doesn't fit there")),
    };
    let symbol = match symbols.global(name) {
        Some(global) => Symbol::Global(global),
        None => Symbol::Function(symbols.function(name)),
    };
    Ok((0, Some(Relocation { at, bytes: ty.bytes() as usize, shift, symbol, plus })))
}
