//! `value_avg`: the average of a number field in a window. A late number can lower it again, so a window is judged when the
//! watermark has passed its end. `minimum:` is how many numbers there must be (1 where nothing is said, as Sigma has it).

use event::Reason;
use rule::Correlation;

use super::numbers::{self, Sum, Summed};
use super::{Full, Input, Judged, Kind, Refusal, Samples, Tally, Telling, checked, one_field, shown, whole, with_condition};

pub(super) struct ValueAvg;

impl Kind for ValueAvg {
    fn word(&self) -> &'static str {
        "value_avg"
    }
    fn about(&self) -> &'static str {
        "the average of a number field in a window"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["minimum"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        one_field(rule, "value_avg")?;
        whole(rule, "minimum", 1, 1, 1_000_000)?;
        with_condition(rule, "field: http_response.length, gt: 500")
    }
    fn judged(&self) -> Judged {
        Judged::Settled
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
    fn tally(&self, rule: &Correlation) -> Box<dyn Tally> {
        Box::new(Summed { sum: Sum::default(), average: true, minimum: checked(rule, "minimum", 1) })
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("average_reached")
            .arg("average", shown(t.measured))
            .arg("threshold", shown(t.threshold))
            .arg("window_s", t.window_s())
            .arg("field", t.fields())
    }
}
