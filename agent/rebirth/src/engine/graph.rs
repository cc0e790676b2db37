//! Steps and the graph they form.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use skykeep_core::{Explain, Progress, Trouble};

/// What a step does: given the shared context and its own voice, an outcome in one line, or an error.
pub type Work<C> = Box<dyn Fn(Arc<C>, Progress) -> BoxFuture<'static, Result<String, Trouble>> + Send + Sync>;

/// The longest time that any step may be given.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// One step of a rebirth.
pub struct Step<C> {
    /// Id, for example `cloud.network`.
    pub id: String,
    /// What a person reads.
    pub title: String,
    /// Ids of the steps that must have ended well before this one starts.
    pub needs: Vec<String>,
    /// After this long the step has failed.
    pub deadline: Duration,
    /// How long it is expected to take.
    pub budget: Duration,
    /// Whether it finds before it makes, so that the engine may run it again, within its deadline, after a passing trouble.
    pub repeatable: bool,
    /// What it does.
    pub work: Work<C>,
}

impl<C> Step<C> {
    /// The engine must not run this one again by itself: a trouble in it ends the run.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }
}

/// A step without what it does: for plans, forecasts and reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Id.
    pub id: String,
    /// What a person reads.
    pub title: String,
    /// Ids of the steps it waits for.
    pub needs: Vec<String>,
    /// How long it is expected to take.
    pub budget: Duration,
}

/// A checked graph of steps.
pub struct Graph<C> {
    pub(super) steps: Vec<Step<C>>,
}

/// A graph that can't be run.
#[derive(Debug, PartialEq, Eq)]
pub enum GraphError {
    /// Two steps have one id.
    Twice(String),
    /// A step needs one that there is not.
    Unknown {
        /// The step.
        step: String,
        /// What it needs.
        need: String,
    },
    /// A step without a deadline, with one of more than four hours, or with a budget beyond it.
    Times(String),
    /// These steps wait for one another.
    Cycle(Vec<String>),
}

impl Explain for GraphError {
    fn what(&self) -> String {
        "The plan of the rebirth does not hold together".into()
    }
    fn why(&self) -> String {
        match self {
            GraphError::Twice(id) => format!("two steps are called `{id}`"),
            GraphError::Unknown { step, need } => format!("step `{step}` needs `{need}`, which is not in the plan"),
            GraphError::Times(id) => {
                format!("step `{id}` has no deadline that could be kept, or is planned to take longer than it may")
            }
            GraphError::Cycle(ids) => format!("these steps wait for one another: {}", ids.join(", ")),
        }
    }
    fn remedy(&self) -> String {
        "This is a fault of the program: please report it with this text.".into()
    }
}

impl<C> Graph<C> {
    /// Checks ids, needs, times and order.
    pub fn new(steps: Vec<Step<C>>) -> Result<Self, GraphError> {
        let mut ids = BTreeSet::new();
        for step in &steps {
            if !ids.insert(step.id.clone()) {
                return Err(GraphError::Twice(step.id.clone()));
            }
        }
        for step in &steps {
            if step.deadline.is_zero() || step.deadline > LONGEST || step.budget > step.deadline {
                return Err(GraphError::Times(step.id.clone()));
            }
            if let Some(need) = step.needs.iter().find(|n| !ids.contains(*n)) {
                return Err(GraphError::Unknown {
                    step: step.id.clone(),
                    need: need.clone(),
                });
            }
        }
        let mut open: BTreeMap<&str, &[String]> = steps.iter().map(|s| (s.id.as_str(), s.needs.as_slice())).collect();
        loop {
            let free: Vec<&str> = open
                .iter()
                .filter(|(_, needs)| needs.iter().all(|n| !open.contains_key(n.as_str())))
                .map(|(id, _)| *id)
                .collect();
            if free.is_empty() {
                break;
            }
            for id in free {
                open.remove(id);
            }
        }
        if !open.is_empty() {
            return Err(GraphError::Cycle(open.keys().map(|k| (*k).to_owned()).collect()));
        }
        Ok(Graph { steps })
    }

    /// Every step without what it does, in the order given.
    pub fn outline(&self) -> Vec<Outline> {
        let outline = |s: &Step<C>| Outline {
            id: s.id.clone(),
            title: s.title.clone(),
            needs: s.needs.clone(),
            budget: s.budget,
        };
        self.steps.iter().map(outline).collect()
    }

    /// The steps, for somebody who makes another graph of them.
    pub fn into_steps(self) -> Vec<Step<C>> {
        self.steps
    }
}
