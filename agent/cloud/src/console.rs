//! What a machine printed on its console, made fit for a person's screen.

/// More of a line than this says nothing more; kernels and progress bars print without an end.
const LONGEST: usize = 1000;

/// The last `most` lines with something in them. Colours, cursor movements and other control characters of the console go:
/// a machine's output must never steer the terminal of the person who reads it. Of a line that was overwritten by
/// carriage returns its last state stays.
pub(crate) fn tail(output: &[u8], most: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let mut lines: Vec<String> = text
        .rsplit('\n')
        .map(|line| clean(line.trim_end_matches('\r')))
        .filter(|line| !line.is_empty())
        .take(most)
        .collect();
    lines.reverse();
    lines
}

fn clean(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut chars),
            '\r' => out.clear(),
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.trim_end().chars().take(LONGEST).collect()
}

/// ECMA-48: `ESC [ ... letter`, `ESC ] ... BEL` (or `ESC \`), or `ESC` and one character.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    return;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_come_in_their_order_without_empty_ones() {
        let text = b"first\r\n\r\nsecond\r\nthird\r\n\n";
        assert_eq!(tail(text, 2), ["second", "third"]);
        assert_eq!(tail(text, 9), ["first", "second", "third"]);
        assert!(tail(b"", 9).is_empty());
    }

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        let text = b"[\x1b[0;32m  OK  \x1b[0m] Reached \x1b]0;owned\x07target\x1b]2;x\x1b\\.\x08\x00\x1bc\n";
        assert_eq!(tail(text, 1), ["[  OK  ] Reached target."]);
    }

    #[test]
    fn a_progress_bar_is_its_last_state_and_a_sequence_cut_off_ends_with_its_line() {
        assert_eq!(tail(b" 10 %\r 50 %\r100 %\nnext\x1b[3", 2), ["100 %", "next"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let long = "x".repeat(5000);
        assert_eq!(tail(long.as_bytes(), 1).concat().len(), LONGEST);
    }

    #[test]
    fn bytes_that_are_no_text_are_no_trouble() {
        assert_eq!(tail(b"ok\n\xff\xfe!\n", 1), ["\u{fffd}\u{fffd}!"]);
    }
}
