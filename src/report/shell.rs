//! Command lines as text that a shell reads back.

use std::borrow::Cow;

/// Words as one command line, quoted where needed.
pub fn join(words: &[String]) -> String {
    words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it. A word with a NUL byte cannot be one; it is shown without.
fn quote(word: &str) -> Cow<'_, str> {
    match shlex::try_quote(word) {
        Ok(quoted) => quoted,
        Err(_) => Cow::Owned(format!("'{}'", word.replace(['\0', '\''], ""))),
    }
}

/// Words as one command line over several lines, none wider than `width`, that a shell still
/// reads as one: lines end in a backslash, and a word that fits on no line is cut into pieces,
/// each quoted, which the shell puts together again.
pub fn fold(words: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in words {
        let quoted = quote(word);
        let last = lines.last().map_or(0, String::len);
        let room = width.saturating_sub(2);
        if last > 0 && last + 1 + quoted.len() <= room {
            push(&mut lines, " ");
            push(&mut lines, &quoted);
        } else if quoted.len() + 4 <= room {
            if last > 0 {
                push(&mut lines, " \\");
                lines.push("    ".into());
            }
            push(&mut lines, &quoted);
        } else {
            if last > 0 {
                push(&mut lines, " \\");
                lines.push(String::new());
            }
            for (n, piece) in pieces(word, room.saturating_sub(2).max(8)).iter().enumerate() {
                if n > 0 {
                    push(&mut lines, "\\");
                    lines.push(String::new());
                }
                // The pieces must be quoted the same way to be put together again.
                push(&mut lines, &quote(piece));
            }
        }
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

/// Cuts a word into pieces that fit, after a comma where there is one.
fn pieces(word: &str, width: usize) -> Vec<&str> {
    let mut rest = word;
    let mut out = Vec::new();
    while quote(rest).len() > width {
        // A quote inside of a word takes up to five bytes; half the width always fits.
        let most =
            rest.floor_char_boundary(if rest.contains('\'') { width / 5 } else { width - 2 });
        let cut = rest[..most].rfind(',').map_or(most, |i| i + 1).max(1);
        let (piece, tail) = rest.split_at(rest.ceil_char_boundary(cut));
        out.push(piece);
        rest = tail;
    }
    out.push(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_folded_command_fits_and_reads_back_as_the_same_words(
            words in prop::collection::vec("[a-z0-9:,=' %/-]{1,120}", 1..6),
        ) {
            let lines = fold(&words, 72);
            for line in &lines {
                prop_assert!(line.len() <= 72, "{line}");
            }
            let text = lines.join("\n").replace("\\\n", "");
            prop_assert_eq!(shlex::split(&text), Some(words));
        }
    }
}
