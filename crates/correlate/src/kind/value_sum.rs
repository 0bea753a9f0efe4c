//! `value_sum`: the sum of a number field in a window, in millionths without drift. What has been reached stays reached: a negative
//! number that comes late does not unsay it.

use event::Reason;
use rule::Correlation;

use super::numbers::{self, Sum, Summed};
use super::{Full, Input, Kind, Refusal, Samples, Tally, Telling, one_field, shown, with_condition};
use crate::ring::Entry;

pub(super) struct ValueSum;

impl Kind for ValueSum {
    fn word(&self) -> &'static str {
        "value_sum"
    }
    fn about(&self) -> &'static str {
        "the sum of a number field in a window"
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        one_field(rule, "value_sum")?;
        with_condition(rule, "field: traffic.bytes_out, gte: 1000000000")
    }
    fn is_count(&self) -> bool {
        false
    }
    fn full(&self) -> Full {
        Full::Added
    }
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        numbers::read(input, out);
    }
    fn reversible(&self) -> bool {
        true
    }
    fn tally(&self, _rule: &Correlation) -> Box<dyn Tally> {
        Box::new(Summed { sum: Sum::default(), average: false, minimum: 0 })
    }
    fn few(&self, window: &[Entry]) -> Option<f64> {
        let mut sum = Sum::default();
        window.iter().for_each(|e| sum.add(e));
        (sum.count > 0).then(|| sum.total())
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("sum_reached")
            .arg("sum", shown(t.measured))
            .arg("threshold", shown(t.threshold))
            .arg("window_s", t.window_s())
            .arg("field", t.fields())
    }
}
