"""The cells that both kernels run. Each repetition's text is new, so that no cache can answer.

`fresh` gives a cell's text for a repetition. Variables and items are new each time too: as in a real notebook there are
more and more of them, three variables for each repetition.
"""

CELLS = {
    "`let`": "let count{i} = {i} * 3;",
    "`println!`": 'println!("line {i}");',
    "an expression": "{i} * 2 + 1",
    "a string": 'format!("text {i}")',
    "a collected `Vec`": "let squares{i}: Vec<u64> = (0..{i}).map(|x| x * x).collect();",
    "a function": "fn twice{i}(x: u64) -> u64 {{\n    x * 2 + {i}\n}}",
    "a call of it": "twice{i}(21)",
    "a struct with derives": (
        "#[derive(Debug, Clone, PartialEq)]\nstruct Point{i} {{\n    x: f64,\n    name: String,\n}}"
    ),
    "a value of it": 'let point{i} = Point{i} {{ x: {i}.0, name: "p".to_string() }};',
    "a type error": 'let wrong{i}: u64 = "text {i}";',
}
"""By the row's name. The one that is an error has to fail."""

ERROR = "a type error"

AGAIN = {
    "an unchanged `let`": "let kept: u64 = 12;",
    "an unchanged `println!`": 'println!("kept");',
    "an unchanged expression": "1 + 41",
}

FIRST = "let first = 20 + {i};\nfirst * 2"

NOTEBOOK = [
    "use std::collections::BTreeMap;",
    "let year = 2000 + {i};",
    "year + 1",
    "fn is_prime(n: u64) -> bool {{\n    n > 1 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)\n}}",
    "let primes: Vec<u64> = (0..200 + {i}).filter(|&n| is_prime(n)).collect();",
    'println!("{{}} primes below {{}}", primes.len(), 200 + {i});',
    "primes.iter().rev().take(3).collect::<Vec<_>>()",
    "#[derive(Debug, Clone, PartialEq)]\nstruct Reading {{\n    sensor: String,\n    value: f64,\n}}",
    "let readings: Vec<Reading> = (0..12)\n"
    '    .map(|k| Reading {{ sensor: format!("s{{}}", k % 3), value: k as f64 / 2.0 + {i}.0 }})\n'
    "    .collect();",
    "readings[0].clone()",
    "fn mean(values: &[f64]) -> f64 {{\n    values.iter().sum::<f64>() / values.len() as f64\n}}",
    "let values: Vec<f64> = readings.iter().map(|reading| reading.value).collect();",
    "mean(&values)",
    "let mut by_sensor: BTreeMap<String, Vec<f64>> = BTreeMap::new();",
    "for reading in &readings {{\n"
    "    by_sensor.entry(reading.sensor.clone()).or_default().push(reading.value);\n}}",
    'for (sensor, values) in &by_sensor {{\n    println!("{{sensor}}: {{:.2}}", mean(values));\n}}',
    "impl Reading {{\n    fn scaled(&self, by: f64) -> f64 {{\n        self.value * by\n    }}\n}}",
    "let scaled: Vec<f64> = readings.iter().map(|reading| reading.scaled({i}.5)).collect();",
    'let report = format!("{{}} readings in {{year}}, mean {{:.1}}", readings.len(), mean(&scaled));',
    "report",
]
"""A notebook as people write them: definitions, data, results, prints."""

SLOW = [
    "std::thread::sleep(std::time::Duration::from_secs(1));\n" + text if number in (4, 8, 11, 14, 17) else text
    for number, text in enumerate(NOTEBOOK)
]
"""The same, with five cells that run for a second."""


VALUES = ("{i}_i64", "{i}.5_f64", 'String::from("{i}")', "vec![1, 2, {i}]")


def _ten(first):
    """Five functions and five structs in one cell, ten variables in the next."""
    numbers = range(first, first + 10)
    function = "fn times{i}(x: i64) -> i64 {{\n    x * {i}\n}}"
    struct = "#[derive(Debug, Clone)]\nstruct Pair{i} {{\n    a: i64,\n    b: f64,\n}}"
    yield "\n".join((function if i % 2 else struct).format(i=i) for i in numbers)
    yield "\n".join(f"let value{i} = {VALUES[i % len(VALUES)].format(i=i)};" for i in numbers)


DEFINITIONS_AND_VARIABLES = [cell for first in range(0, 200, 10) for cell in _ten(first)]
"""200 of each."""

IN_BOTH = [CELLS["`let`"], CELLS["`println!`"], CELLS["an expression"]]


def fresh(text, repetition):
    return text.format(i=100 + repetition)
