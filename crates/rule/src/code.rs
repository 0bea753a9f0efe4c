//! A rule's condition as a run of steps: ask a predicate, go on by the answer. AND, OR, NOT are gone; what is left is where to go.

use crate::compile::{Expr, Selection};

/// Steps of one rule; a condition that needs more is walked as a tree.
const STEPS_MAX: usize = 1 << 14;
const YES: u32 = u32::MAX;
const NO: u32 = u32::MAX - 1;

#[derive(Debug, Clone, Copy)]
struct Step {
    predicate: u32,
    yes: u32,
    no: u32,
}

#[derive(Debug)]
pub(crate) struct Code {
    steps: Box<[Step]>,
    entry: u32,
}

impl Code {
    /// None: too long.
    pub fn new(expr: &Expr, selections: &[Selection]) -> Option<Self> {
        let mut steps = Vec::new();
        let entry = emit(expr, selections, YES, NO, &mut steps)?;
        Some(Self { steps: steps.into(), entry })
    }

    /// Whether the condition holds, by the answers `ask` gives.
    pub fn run(&self, mut ask: impl FnMut(u32) -> bool) -> bool {
        // Steps only lead to steps emitted before them, so this ends.
        let mut at = self.entry;
        while let Some(step) = self.steps.get(at as usize) {
            at = if ask(step.predicate) { step.yes } else { step.no };
        }
        at == YES
    }
}

/// Emits the steps of an expression that lead to `yes` or `no`, last first; the step to begin with.
fn emit(expr: &Expr, selections: &[Selection], yes: u32, no: u32, steps: &mut Vec<Step>) -> Option<u32> {
    Some(match expr {
        Expr::Predicate(predicate) => {
            if steps.len() >= STEPS_MAX {
                return None;
            }
            steps.push(Step { predicate: *predicate, yes, no });
            u32::try_from(steps.len() - 1).ok()?
        }
        Expr::Selection(n) => match selections.get(*n as usize) {
            Some(selection) => emit(&selection.expr, selections, yes, no, steps)?,
            None => no,
        },
        Expr::Not(inner) => emit(inner, selections, no, yes, steps)?,
        Expr::And(list) => {
            let mut next = yes;
            for e in list.iter().rev() {
                next = emit(e, selections, next, no, steps)?;
            }
            next
        }
        Expr::Or(list) => {
            let mut next = no;
            for e in list.iter().rev() {
                next = emit(e, selections, yes, next, steps)?;
            }
            next
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_answer_as_the_tree_does() {
        let p = Expr::Predicate;
        let expr = Expr::Or(vec![
            Expr::And(vec![p(0), Expr::Not(Box::new(Expr::Or(vec![p(1), p(2)])))]),
            Expr::Not(Box::new(Expr::And(vec![p(1), Expr::Selection(0)]))),
        ]);
        let selections = [Selection { name: String::new(), expr: Expr::And(vec![p(3), Expr::And(Vec::new())]) }];
        let code = Code::new(&expr, &selections).unwrap();
        for bits in 0..16u32 {
            let b = |n: u32| bits >> n & 1 == 1;
            assert_eq!(code.run(b), (b(0) && !(b(1) || b(2))) || !(b(1) && b(3)), "{bits:b}");
        }
        assert!(Code::new(&Expr::And(Vec::new()), &[]).unwrap().run(|_| false));
        assert!(!Code::new(&Expr::Or(Vec::new()), &[]).unwrap().run(|_| true));
    }
}
