//! Texts of users, as monitors show them.

/// How much of a run's text stands in a sentence, in characters.
pub const SHORT: usize = 60;

/// One line of at most so many characters, without any that a terminal obeys.
pub fn one_line(text: &str, longest: usize) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut clean = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = clean.char_indices().nth(longest) {
        clean.truncate(cut);
        clean.push('…');
    }
    clean
}
