#!/usr/bin/env bash
# The crate prometheus-client writes labels' values as they are.
#
# Versions:  prometheus-client 0.24.1; Python's prometheus-client 0.23.1 as the reader.
# Guess:     its text encoder escapes quotes, backslashes and line breaks in labels' values, as OpenMetrics 1.0 asks for
#            ("escaped-string") and as Python's and Go's libraries of the same project do.
# Behaviour: nothing is escaped. A value with a quote in it gives a text that no reader takes.
# Seen:      host="a"b", where host="a\"b" is meant; the reader raises ValueError.
# So:        who has values from outside, such as names of hosts or files, escapes them before.
#
# It needs cargo and Python 3 with venv, and fetches both packages.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "labels"
version = "0.1.0"
edition = "2021"
[dependencies]
prometheus-client = "=0.24.1"
TOML
cat > src/main.rs <<'RUST'
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::{family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

fn main() {
    let up = Family::<Vec<(String, String)>, Gauge>::default();
    up.get_or_create(&vec![("host".into(), "a\"b".into())]).set(1);
    let mut registry = Registry::default();
    registry.register("up", "Whether it is there", up);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    print!("{text}");
}
RUST
cargo run -q > metrics.txt
grep -qxF 'up{host="a"b"} 1' metrics.txt || { echo "it writes something else now:"; cat metrics.txt; exit 1; }
python3 -m venv venv
venv/bin/pip -q install prometheus-client==0.23.1
venv/bin/python - <<'PYTHON'
from prometheus_client.openmetrics.parser import text_string_to_metric_families
try:
    list(text_string_to_metric_families(open("metrics.txt").read()))
except ValueError as error:
    print(f"seen: the reader refuses it: {error}")
else:
    raise SystemExit("the reader takes it now")
PYTHON
echo "prometheus-client 0.24.1 doesn't escape labels' values"
