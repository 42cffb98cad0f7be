//! The few statistics that tell a sampler that is right from one that is not.

/// How far `hits` of `runs` lie from probability `p`, in standard deviations.
pub fn binomial_z(hits: u64, runs: u64, p: f64) -> f64 {
    let n = runs as f64;
    (hits as f64 - n * p) / (n * p * (1.0 - p)).sqrt()
}

/// Pearson's chi-square of counts that should all be equal, as a standard normal deviate
/// (Wilson and Hilferty, PNAS 1931). Needs at least two counts and one hit.
pub fn uniform_z(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let expected = total as f64 / counts.len() as f64;
    let chi: f64 = counts.iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum();
    let k = counts.len() as f64 - 1.0;
    let spread = 2.0 / (9.0 * k);
    ((chi / k).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// The 95% interval of a probability after `hits` of `runs` (Wilson's score interval).
pub fn interval_95(hits: u64, runs: u64) -> (f64, f64) {
    if runs == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (runs as f64, 1.959_964);
    let p = hits as f64 / n;
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviates_are_small_for_what_is_expected_and_large_for_what_is_not() {
        assert!(binomial_z(500, 1000, 0.5).abs() < 1e-9);
        assert!(binomial_z(600, 1000, 0.5) > 6.0);
        assert!(uniform_z(&[101, 99, 100, 98, 102]).abs() < 4.0);
        assert!(uniform_z(&[200, 50, 100, 50, 100]) > 6.0);
    }

    #[test]
    fn the_interval_holds_the_estimate_and_never_leaves_0_to_1() {
        let (low, high) = interval_95(0, 100);
        assert!(low == 0.0 && (0.03..0.05).contains(&high), "{high}");
        let (low, high) = interval_95(50, 100);
        assert!((low - 0.404).abs() < 1e-3 && (high - 0.596).abs() < 1e-3);
    }
}
