use super::*;
use proptest::prelude::*;

const CELL: &str = "let alpha: f32 = 1.0; // the rate\nlet mut n = 5u64;\nlet name = \"x\".to_string();\nlet label = \"x\";\n\
    let flags: Vec<Option<bool>> = vec![];\nlet pair = (1, 2.0);\nlet odd = compute();\nlet own: Mine = Mine;\nlet c = 'c';\n\
    let map: HashMap<u8, Vec<f64>> = HashMap::new();\nlet three = [1, 2, 3];\nlet data: serde_json::Value = f();\nlet big = 1u128;";

fn word(text: &str) -> Value {
    Value::Word(text.into())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn inject(name: &str, value: Value) -> Result<String, String> {
    let setting = Setting { name: name.into(), value };
    let injected = Definitions::read(CELL, Some(2)).injected("", &[setting], Unknown::Refused);
    injected.map_err(|errors| errors[0].to_string())
}

#[test]
fn values_are_written_in_the_parameters_type() {
    for (name, value, expected) in [
        ("alpha", word("2.5"), "let alpha: f32 = 2.5;"),
        ("alpha", word("3"), "let alpha: f32 = 3.0;"),
        ("alpha", word("-1e-3"), "let alpha: f32 = -0.001;"),
        ("alpha", word("-inf"), "let alpha: f32 = f32::NEG_INFINITY;"),
        ("alpha", json("\"nan\""), "let alpha: f32 = f32::NAN;"),
        ("alpha", json("7"), "let alpha: f32 = 7.0;"),
        ("n", word("1_000"), "let mut n: u64 = 1000;"),
        ("n", word("18446744073709551615"), "let mut n: u64 = 18446744073709551615;"),
        ("name", word("5"), "let name: String = String::from(\"5\");"),
        ("name", word("a\"b\n{}"), "let name: String = String::from(\"a\\\"b\\n{}\");"),
        ("label", json("\"é\""), "let label: &str = \"é\";"),
        ("flags", word("[true, null]"), "let flags: Vec<Option<bool>> = vec![Some(true), None];"),
        ("pair", json("[1, 2]"), "let pair: (i32, f64) = (1, 2.0);"),
        ("c", word("'"), "let c: char = '\\'';"),
        (
            "map",
            word("{\"1\": [2]}"),
            "let map: HashMap<u8, Vec<f64>> = std::collections::HashMap::from([(1, vec![2.0])]);",
        ),
        ("three", word("[1,2,-3]"), "let three: [i32; 3] = [1, 2, -3];"),
        (
            "data",
            word("{\"b\": [1, 2.5, null], \"a\": \"\\u0041\"}"),
            "let data: serde_json::Value = serde_json::json!({\"b\": [1i64, 2.5f64, null], \"a\": \"A\"});",
        ),
        ("data", word("text"), "let data: serde_json::Value = serde_json::json!(\"text\");"),
        (
            "big",
            word("340282366920938463463374607431768211455"),
            "let big: u128 = 340282366920938463463374607431768211455;",
        ),
    ] {
        assert_eq!(inject(name, value).unwrap(), expected.to_owned() + "\n");
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_the_place() {
    for (name, value, reason) in [
        ("n", word("-1"), "-1 isn't between 0 and 18446744073709551615"),
        ("n", word("2.5"), "2.5 isn't a whole number"),
        ("n", json("3.0"), "3.0 isn't a whole number"),
        ("n", json("\"3\""), "\"3\" isn't a whole number"),
        ("n", word(""), " isn't a whole number"),
        ("alpha", word("1e39"), "beyond the largest"),
        ("alpha", word("fast"), "fast isn't a number"),
        ("alpha", json("\"1.5\""), "\"1.5\" isn't a number"),
        ("name", json("5"), "5 isn't text"),
        ("flags", word("[1]"), "1 isn't true or false"),
        ("flags", word("[true"), "isn't JSON"),
        ("pair", word("[1]"), "a list of 1 isn't a list of 2"),
        ("three", json("[1, 2]"), "isn't a list of 3"),
        ("map", word("{\"300\": []}"), "300 isn't between 0 and 255"),
        ("c", word("ab"), "ab\" isn't one character"),
        ("odd", word("1"), "its type can't be told"),
        ("own", word("1"), "`Mine` can't be written"),
    ] {
        let error = inject(name, value).unwrap_err();
        assert!(error.contains(reason) && error.contains("cell 2, line "), "{error}");
    }
    let error = inject("n", word("x")).unwrap_err();
    assert_eq!(error, "parameter `n`: x isn't a whole number, and it is a `u64`\n  cell 2, line 2: let mut n = 5u64;");
}

#[test]
fn a_name_that_is_not_defined_is_refused_with_those_that_are() {
    let error = inject("alhpa", word("1")).unwrap_err();
    assert!(
        error.starts_with("there is no parameter `alhpa`. There are: `alpha` (cell 2, line 1), `n` (cell 2, line 2), "),
        "{error}"
    );
    let none = Definitions::read("// nothing", Some(1));
    let settings = [Setting { name: "a".into(), value: Value::Null }, Setting { name: "b".into(), value: Value::Null }];
    let errors = none.injected("", &settings, Unknown::Refused).unwrap_err();
    assert_eq!(errors.len(), 2, "all that is wrong is said at once");
    assert_eq!(errors[0].to_string(), "there is no parameter `a`: cell 1, which is tagged `parameters`, defines none");
}

#[test]
fn of_two_values_the_later_counts_and_comments_go_first() {
    let settings = ["1", "2"].map(|text| Setting { name: "n".into(), value: word(text) });
    let text = Definitions::read(CELL, None).injected("Parameters\n two", &settings, Unknown::Refused).unwrap();
    assert_eq!(text, "// Parameters\n//  two\nlet mut n: u64 = 2;\n");
}

#[test]
fn values_without_a_definition_have_types_of_their_own() {
    let natural = |text: &str| {
        let setting = Setting { name: "x".into(), value: json(text) };
        let text = Definitions::default_cell().injected("", &[setting], Unknown::Added);
        text.map(|text| text.trim_end().to_owned()).map_err(|errors| errors[0].to_string())
    };
    for (value, expected) in [
        ("1", "let x: i64 = 1;"),
        ("18446744073709551615", "let x: i128 = 18446744073709551615;"),
        ("1.5", "let x: f64 = 1.5;"),
        ("null", "let x: Option<()> = None;"),
        ("\"a\"", "let x: String = String::from(\"a\");"),
        ("[1, 2.5]", "let x: Vec<f64> = vec![1.0, 2.5];"),
        ("[null, 1]", "let x: Vec<Option<i64>> = vec![None, Some(1)];"),
        ("[]", "let x: Vec<()> = vec![];"),
        ("[[], [1]]", "let x: Vec<Vec<i64>> = vec![vec![], vec![1]];"),
        (
            "{\"a\": [true]}",
            "let x: std::collections::BTreeMap<String, Vec<bool>> = \
             std::collections::BTreeMap::from([(String::from(\"a\"), vec![true])]);",
        ),
    ] {
        assert_eq!(natural(value).unwrap(), expected);
    }
    assert!(natural("[1, \"a\"]").unwrap_err().contains("both `i64` and `String`"));
    let setting = Setting { name: "fn".into(), value: Value::Null };
    assert!(Definitions::default_cell().injected("", &[setting], Unknown::Added).is_err());
}

#[test]
fn help_lists_types_defaults_and_comments() {
    let help = Definitions::read("let alpha: f32 = 1.0; // the rate\nlet xs = vec![\n  1,\n];", None).help();
    assert_eq!(help, "  alpha: f32 = 1.0                  the rate\n  xs: Vec<i32> = vec![ 1, ]\n");
}

impl Definitions {
    fn default_cell() -> Definitions {
        Definitions::read("", None)
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        "\\PC{0,8}".prop_map(Value::Text),
        "\\PC{0,8}|[-0-9.e_]{0,8}|[\\[\\]{}\",:0-9]{0,12}".prop_map(Value::Word),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec(("\\PC{0,4}", inner), 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    /// Whatever is given: what is accepted is one `let` of the parameter's own type, which reads back as that.
    #[test]
    fn what_is_accepted_is_rust_of_the_same_type(value in any_value(), unknown in any::<bool>()) {
        let definitions = Definitions::read(CELL, Some(1));
        let mut names: Vec<_> = definitions.variables.iter().map(|variable| variable.name.clone()).collect();
        if unknown {
            names.push("unknown".into());
        }
        for name in names {
            let setting = Setting { name: name.clone(), value: value.clone() };
            if let Ok(text) = definitions.injected("Parameters", &[setting], Unknown::Added) {
                let read = Definitions::read(&text, None);
                prop_assert_eq!(read.variables.len(), 1, "{}", text);
                prop_assert_eq!(&read.variables[0].name, &name);
                prop_assert_eq!(text.trim_end().lines().count(), 2, "{}", text);
                if let Some(defined) = definitions.variables.iter().find(|variable| variable.name == name) {
                    prop_assert_eq!(&read.variables[0].type_name, &defined.type_name);
                }
            }
        }
    }
}
