//! Colours and the wrapping of lines. Styles are escape sequences in the text; whoever prints
//! it strips them where they are not wanted. Everything reads the same without them.

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// A step's number, headings of columns.
pub const DIM: Style = Style::new().dimmed();
/// The kernel's words for a step.
pub const STEP: Style = Style::new().bold();
/// The operation that a step begins or ends.
pub const CALL: Style = AnsiColor::Cyan.on_default();
/// Waits.
pub const WAIT: Style = AnsiColor::Yellow.on_default();
/// Both halves of a race.
pub const HALF: Style = AnsiColor::Magenta.on_default().bold();
/// A broken rule.
pub const BROKEN: Style = AnsiColor::Red.on_default().bold();
/// A rule that held.
pub const HELD: Style = AnsiColor::Green.on_default();

/// A text in a style, word by word, so that a style never reaches over the end of a line.
pub fn paint(style: Style, text: &str) -> String {
    let words = text.split(' ').map(|word| match word {
        "" => String::new(),
        _ => format!("{style}{word}{style:#}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Puts a paragraph into lines of at most `width` columns, the first after `first`, the others
/// after `rest`.
pub fn wrap(out: &mut String, width: usize, first: &str, rest: &str, text: &str) {
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(rest)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    for line in textwrap::wrap(text, options) {
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Puts a command into one line after `first`, however long: a shell to which it is copied reads
/// the same words.
pub fn command(out: &mut String, first: &str, style: Style, line: &str) {
    out.push_str(&format!("{first}{}\n", paint(style, line)));
}

/// A text without styles.
pub fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// A text cut or padded to so many columns.
pub fn fit(text: &str, width: usize) -> String {
    let mut out: String = text.chars().take(width).collect();
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(text.chars().count())));
    out
}
