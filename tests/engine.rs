//! What the engine promises, on models small enough to know the answers by other means.

use gupsim::engine::explore::{Options, explore};
use gupsim::litmus::pin_protocol::{PinProtocol, Size};

/// (size, states, transitions, end states, lost-write states)
const PIN: [(Size, [u64; 4]); 11] = [
    (Size::new(1, 1, 1, true), [245, 414, 6, 0]),
    (Size::new(1, 1, 1, false), [226, 395, 4, 0]),
    (Size::new(1, 1, 2, true), [431, 744, 6, 0]),
    (Size::new(1, 2, 1, false), [303, 539, 5, 0]),
    (Size::new(2, 1, 1, true), [5_340, 14_647, 24, 0]),
    (Size::new(2, 1, 1, false), [4_502, 12_901, 12, 4]),
    (Size::new(2, 1, 2, true), [13_422, 38_288, 24, 0]),
    (Size::new(2, 2, 1, false), [8_104, 23_396, 20, 10]),
    (Size::new(2, 2, 2, true), [25_459, 74_093, 40, 0]),
    (Size::new(3, 1, 1, true), [76_080, 266_679, 96, 0]),
    (Size::new(3, 2, 2, true), [654_344, 2_428_429, 200, 0]),
];

const LOST_WRITE: usize = 3;

#[test]
fn the_pin_protocol_has_its_exact_counts() {
    for (size, counts) in PIN {
        let model = PinProtocol::new(size).unwrap();
        let r = explore(&model, &Options::default(), &());
        let found = [r.states, r.transitions, r.end_states(), r.violating_ends[LOST_WRITE]];
        assert_eq!(found, counts, "{size:?}");
        assert!(r.is_complete());
    }
}

#[test]
fn reduction_keeps_end_states_and_verdicts_of_the_pin_protocol() {
    for (size, counts) in PIN {
        let model = PinProtocol::new(size).unwrap();
        let options = Options { reduction: true, ..Options::default() };
        let r = explore(&model, &options, &());
        eprintln!(
            "{size:?} states {} transitions {} of {} {:?}",
            r.states, r.transitions, counts[1], r.reduction
        );
        let found = [r.end_states(), r.violating_ends[LOST_WRITE]];
        assert_eq!(found, [counts[2], counts[3]], "{size:?}");
        assert!(r.is_complete());
    }
}
