//! A figure over time in the height of a line.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// As text, a character a value; a blank where there is none. `most` is what a full bar stands for.
pub(super) fn text(values: &[Option<f64>], most: f64) -> String {
    let bar = |value: &Option<f64>| match value {
        Some(value) => BARS[((fraction(*value, most) * 8.0) as usize).min(7)],
        None => ' ',
    };
    values.iter().map(bar).collect()
}

/// As a picture in a page, two pixels a value.
pub(super) fn svg(values: &[Option<f64>], most: f64) -> String {
    const HEIGHT: f64 = 16.0;
    let bars: String = (0..)
        .zip(values)
        .filter_map(|(at, value)| Some((at, fraction((*value)?, most) * HEIGHT)))
        .map(|(at, height)| {
            let (x, y) = (at * 2, HEIGHT - height);
            format!(r#"<rect x="{x}" y="{y:.1}" width="2" height="{height:.1}"/>"#)
        })
        .collect();
    let width = values.len() * 2;
    format!(
        r##"<svg width="{width}" height="{HEIGHT}" role="img" fill="#4c78a8" style="vertical-align: middle">{bars}</svg>"##
    )
}

fn fraction(value: f64, most: f64) -> f64 {
    if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bars_and_none_is_a_blank() {
        assert_eq!(text(&[Some(0.0), Some(50.0), None, Some(100.0), Some(900.0), Some(f64::NAN)], 100.0), "▁▅ ██▁");
        assert_eq!(text(&[Some(1.0)], 0.0), "▁");
        assert_eq!(svg(&[None, Some(50.0)], 100.0).matches("<rect").count(), 1);
        assert!(svg(&[None, Some(50.0)], 100.0).contains(r#"x="2" y="8.0""#));
    }
}
