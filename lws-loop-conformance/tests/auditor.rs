//! The driver passes the suite on the auditor, with each trigger.

use lws_loop_conformance::{Auditor, suite};
use lws_loop_external::Trigger;

mod level {
    super::suite!(super::Auditor::new(super::Trigger::Level, 1));
}

mod edge {
    super::suite!(super::Auditor::new(super::Trigger::Edge, 2));
}

mod one_shot {
    super::suite!(super::Auditor::new(super::Trigger::OneShot, 3));
}
