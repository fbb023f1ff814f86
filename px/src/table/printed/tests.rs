use super::*;

fn json(sheet: &Sheet) -> serde_json::Value {
    serde_json::from_str(&sheet.json()).unwrap()
}

const FRAME: &str = "shape: (3, 3)
┌──────┬────────┬───────┐
│ name ┆ rate   ┆ n     │
│ ---  ┆ ---    ┆ ---   │
│ str  ┆ f64    ┆ i64   │
╞══════╪════════╪═══════╡
│ a\\n  ┆ 1.5    ┆ 1     │
│      ┆ null   ┆ -2    │
│ 3    ┆ NaN    ┆ null  │
└──────┴────────┴───────┘";

#[test]
fn a_frame_of_polars_is_a_table() {
    let sheet = of_polars(FRAME).unwrap();
    assert_eq!(sheet.text(), "name  rate     n\na\\n    1.5     1\n      null    -2\n3      NaN  null");
    let data = json(&sheet);
    let fields = serde_json::json!([
        {"name": "name", "type": "string"}, {"name": "rate", "type": "number"}, {"name": "n", "type": "integer"}
    ]);
    assert_eq!(data["schema"]["fields"], fields);
    let rows = serde_json::json!([
        {"name": "a\\n", "rate": 1.5, "n": 1}, {"name": "", "rate": null, "n": -2}, {"name": "3", "rate": null, "n": null}
    ]);
    assert_eq!(data["data"], rows);
    let round = FRAME.replace('┌', "╭").replace('┐', "╮").replace('└', "╰").replace('┘', "╯");
    assert_eq!(of_polars(&round), Some(sheet));
    let empty = "shape: (0, 1)\n┌─────┐\n│ a   │\n│ --- │\n│ i64 │\n╞═════╡\n└─────┘";
    assert_eq!(of_polars(empty).unwrap().text(), "a");
}

#[test]
fn what_polars_leaves_out_is_left_out() {
    let long = "shape: (1_000, 100)
┌─────┬───┬───────┐
│ a   ┆ … ┆ z     │
│ --- ┆   ┆ ---   │
│ i64 ┆   ┆ bool  │
╞═════╪═══╪═══════╡
│ 0   ┆ … ┆ true  │
│ 1   ┆ … ┆ false │
│ …   ┆ … ┆ …     │
│ 999 ┆ … ┆ null  │
└─────┴───┴───────┘";
    let sheet = of_polars(long).unwrap();
    assert_eq!(sheet.text(), "  a  …  z\n  0  …  true\n  1  …  false\n  …  …  …\n999  …  null\n1,000 rows, showing 3");
    assert_eq!(
        json(&sheet)["data"],
        serde_json::json!([
            {"a": 0, "z": true}, {"a": 1, "z": false}, {"a": 999, "z": null}
        ])
    );
    // The second line of a cell might be a row.
    assert_eq!(of_polars(&long.replace("│ 1   ┆ … ┆ false │", "│     ┆   ┆ more  │")), None);
}

#[test]
fn a_series_of_polars_is_a_table() {
    let sheet = of_polars("shape: (3,)\nSeries: 'a b' [str]\n[\n\t\"x\\y\"\n\tnull\n\t\"…\"\n]").unwrap();
    assert_eq!(sheet.text(), "a b\nx\\y\nnull\n…");
    assert_eq!(json(&sheet)["data"], serde_json::json!([{"a b": "x\\y"}, {"a b": null}, {"a b": "…"}]));
    let cut = of_polars("shape: (30,)\nSeries: '' [f64]\n[\n\t0.5\n\t…\n\t1.5\n]").unwrap();
    assert_eq!(cut.text(), "\n0.5\n  …\n1.5\n30 rows, showing 2");
    let cut = of_polars("shape: (3,)\nSeries: 's' [str]\n[\n\t\"a long…\n\t…\n\t\"z\"\n]").unwrap();
    assert_eq!(cut.text(), "s\na long…\n…\nz\n3 rows, showing 2");
}

#[test]
fn of_a_frame_the_row_in_the_middle_is_the_cut() {
    let frame = |height: usize, rows: &str| {
        let begin = format!("shape: ({height}, 1)\n┌─────┐\n│ n   │\n│ --- │\n│ i64 │\n╞═════╡\n");
        let rows: String = rows.chars().map(|row| format!("│ {row}   │\n")).collect();
        of_polars(&(begin + &rows + "└─────┘")).map(|sheet| (sheet.rows.len(), sheet.total))
    };
    assert_eq!(frame(11, "01234…56789"), Some((10, 11)), "one row is left out");
    assert_eq!(frame(12, "01234…56789"), Some((10, 12)));
    assert_eq!(frame(8, "0123…567"), Some((7, 8)), "an odd number is shown");
    assert_eq!(frame(10, "0123456789"), Some((10, 10)));
    assert_eq!(frame(4, "…123"), Some((4, 4)), "a value");
    assert_eq!(frame(10, "01234…56789"), None);
}

#[test]
fn what_is_no_such_table_stays_text() {
    let broken = [
        FRAME.replace("(3, 3)", "(4, 3)"),
        FRAME.replace("(3, 3)", "(3, 2)"),
        FRAME.replace("(3, 3)", "(3)"),
        FRAME.replace("│ a\\n  ┆", "│ a ┆ b┆"),
        FRAME.replace("│ ---  ┆", "│ long ┆"),
        FRAME.replace('╞', "│"),
        FRAME.replace('└', ""),
        format!("Ok({FRAME})"),
        "shape: (2,)\nSeries: 'a' [list[i64]]\n[\n\t[1]\n]".to_owned(),
        "shape: (1,)\nSeries: 'a' [str]\n[\n\t\"two\nlines\"\n]".to_owned(),
        "shape: (1,)\n".to_owned(),
        "shape: (".to_owned(),
    ];
    broken.iter().for_each(|text| assert_eq!(of_polars(text), None, "{text}"));
    for end in (0..FRAME.len()).filter(|end| FRAME.is_char_boundary(*end)) {
        assert_eq!(of_polars(&FRAME[..end]), None);
    }
}

const BATCH: &str = r#"RecordBatch { schema: Schema { fields: [Field { name: "a", data_type: Int64 }, Field { name: "s", data_type: Utf8, nullable: true }, Field { name: "f", data_type: Float64, nullable: true }, Field { name: "d", data_type: Timestamp(Second, None), nullable: true }], metadata: {} }, columns: [PrimitiveArray<Int64>
[
  0,
  1,
], StringArray
[
  "x\"0\n, y",
  null,
], PrimitiveArray<Float64>
[
  0.0,
  null,
], PrimitiveArray<Timestamp(s)>
[
  1970-01-01T00:00:00,
  1970-01-01T00:00:01,
]], row_count: 2 }"#;

#[test]
fn a_record_batch_is_a_table() {
    let sheet = of_arrow(BATCH).unwrap();
    assert_eq!(
        sheet.text(),
        "a  s             f  d\n0  x\\\"0\\n, y   0.0  1970-01-01T00:00:00\n1  null       null  1970-01-01T00:00:01"
    );
    assert_eq!(
        json(&sheet)["data"],
        serde_json::json!([
            {"a": 0, "s": "x\"0\n, y", "f": 0.0, "d": "1970-01-01T00:00:00"},
            {"a": 1, "s": null, "f": null, "d": "1970-01-01T00:00:01"},
        ])
    );
    let head =
        "RecordBatch { schema: Schema { fields: [Field { name: \"a\", data_type: Int64 }], metadata: {} }, columns: [";
    let of = |list: &str, height: usize| of_arrow(&format!("{head}{list}], row_count: {height} }}"));
    let cut = of("PrimitiveArray<Int64>\n[\n  0,\n  ...23 elements...,\n  24,\n]", 25).unwrap();
    assert_eq!(cut.text(), " a\n 0\n …\n24\n25 rows, showing 2");
    assert_eq!(of("PrimitiveArray<Int64>\n[\n]", 0).unwrap().text(), "a");
    for list in ["ListArray\n[\n  PrimitiveArray<Int32>\n[\n  1,\n],\n]", "PrimitiveArray<Int64>\n[\n  0,\n]", ""] {
        assert_eq!(of(list, 2), None, "{list}");
    }
    assert_eq!(of_arrow(&BATCH.replace("row_count: 2", "row_count: 3")), None);
    for end in (0..BATCH.len()).filter(|end| BATCH.is_char_boundary(*end)) {
        assert_eq!(of_arrow(&BATCH[..end]), None);
    }
}
