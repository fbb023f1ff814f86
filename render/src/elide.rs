//! The rows of many engines: the first and the last of them.

/// So many rows are shown.
const MOST: usize = 16;

/// The first rows, those that are left out, and the last ones. None are left out of few.
pub(super) fn elide<T>(mut first: Vec<T>) -> (Vec<T>, Vec<T>, Vec<T>) {
    if first.len() <= MOST {
        return (first, Vec::new(), Vec::new());
    }
    let mut left_out = first.split_off(MOST / 2);
    let last = left_out.split_off(left_out.len() - (MOST / 2 - 1));
    (first, left_out, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_many_is_left_out() {
        assert_eq!(elide(vec![1; 16]), (vec![1; 16], vec![], vec![]));
        let (first, left_out, last) = elide((0..17).collect());
        assert_eq!((first.len(), left_out, last), (8, vec![8, 9], (10..17).collect()), "with their row, {MOST} rows");
    }
}
