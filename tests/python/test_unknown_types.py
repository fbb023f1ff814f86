"""Variables whose types only rustc can tell need no type written: those that derives and macros of other crates make."""


def said(kernel, code):
    """What a cell shows, all of it."""
    return kernel.run(code, timeout=300).ok().text.strip()


def test_a_builder_made_by_a_derive(own_kernel):
    kernel = own_kernel
    said(kernel, ':dep derive_builder = "0.20"\nuse derive_builder::Builder;\n#[derive(Builder, Debug, Clone)] struct Chart { size: u32, name: String }')
    said(kernel, "let builder = ChartBuilder::default();")
    assert said(kernel, 'let c = ChartBuilder::default().size(3).name("x".into()).build().unwrap(); let n = [1u8; 3];\nc.size') == "3"
    assert said(kernel, "let mut made = builder.build();\nmade.is_err()") == "true"
    assert said(kernel, "let (x, y) = (ChartBuilder::default(), 1);\ny") == "1"
    assert said(kernel, "x.build().is_err()") == "true"
    # What nobody knows behind a `?` looks to rust-analyzer as if it never ended.
    assert said(kernel, 'let asked = ChartBuilder::default().size(4).name("x".into()).build()?;\nasked.size') == "4"
    shown = said(kernel, ":vars")
    assert "c: Chart" in shown and "made: Result<Chart, ChartBuilderError>" in shown, shown
    # Places are those of the text without the type.
    failed = kernel.run('let ch = ChartBuilder::default().build().unwrap(); let bad: u8 = "a";').failed().text
    assert "cell line 1, column 66" in failed, failed
    failed = kernel.run('let ch = ChartBuilder::default().build().unwrap(); panic!("x");').failed().text
    assert "panicked at cell line 1:42" in failed, failed
    # What has no name needs a type, or can't be kept.
    failed = kernel.run("let it = ChartBuilder::default().build().into_iter().map(|c| c.size);").failed().text
    assert "Couldn't automatically determine type of variable `it`" in failed, failed
    # A type that was edited is written as the user knows it.
    said(kernel, "#[derive(Builder, Debug, Clone)] struct Chart { size: u32 }")
    assert said(kernel, "let c = ChartBuilder::default().size(3).build().unwrap();\nc") == "Chart { size: 3 }"
    assert "c: Chart" in said(kernel, ":vars").splitlines()


def test_types_made_by_macro_calls(own_kernel):
    kernel = own_kernel
    said(kernel, ':dep bitflags = "2"\nbitflags::bitflags! { #[derive(Debug, Clone, Copy)] struct Flags: u32 { const A = 1; const B = 2; } }')
    said(kernel, "let f = Flags::A | Flags::B;")
    assert said(kernel, "let all = vec![Flags::all()];\n(all.len(), f)") == "(1, Flags(A | B))"
    said(kernel, "let b: Box<dyn std::any::Any> = Box::new(f);")
    notice = said(kernel, "bitflags::bitflags! { #[derive(Debug, Clone, Copy)] struct Flags: u8 { const A = 1; } }")
    assert "`all`, `f`" in notice or "`f`" in notice, notice
    assert said(kernel, "b.downcast_ref::<Flags>().is_some()") == "false"
    assert said(kernel, "let f = Flags::A;\nf") == "Flags(A)"
