//! The nearest valid name, for diagnostics.

/// Names that a list in a diagnostic shows at most.
const SHOWN: usize = 16;

/// Jaro-Winkler similarity from which two names are alike: lower, and nonsense gets an answer;
/// higher, and `reduce` no longer leads to `refuse-dax`.
const ALIKE: f64 = 0.65;

/// The candidate most like a name, if one is alike at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let score = |candidate: &str| strsim::jaro_winkler(&lower, &candidate.to_lowercase());
    let mut best: Option<(f64, &str)> = None;
    for candidate in known {
        let score = score(candidate);
        if score > best.map_or(ALIKE, |b| b.0) {
            best = Some((score, candidate));
        }
    }
    best.map(|b| b.1)
}

/// The cure for an unknown name: the nearest one, or all there are.
pub fn cure<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, none: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return none.to_string();
    }
    let list = known.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    let more = known.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    match nearest(name, known.iter().copied()) {
        Some(nearest) if known.len() == 1 => format!("did you mean `{nearest}`?"),
        Some(nearest) => format!("did you mean `{nearest}`? there are: {list}{more}"),
        None => format!("there are: {list}{more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_nonsense_has_none() {
        let values = ["allow", "refuse-dax"];
        assert_eq!(nearest("reduce", values), Some("refuse-dax"));
        assert_eq!(nearest("Alow", values), Some("allow"));
        assert_eq!(nearest("xyzzy", values), None);
    }
}
