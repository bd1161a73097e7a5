//! The scenarios by name. A scenario that is added here is part of every suite.

mod away;
mod budget;
mod churn;
mod closing;
mod connect;
mod crowd;
mod descriptors;
mod draining;
mod echo;
mod faults;
mod fork;
mod half_close;
mod leaving;
mod lifetime;
mod nested;
mod pause;
mod pending_messages;
mod slow_reader;
mod timers;
mod transfer;
mod wake;

use crate::Host;
use crate::setup::{SETUPS, Setup};
use crate::watchdog::Watchdog;

/// Runs a scenario on every setup that it fits.
pub(crate) type Run<H> = fn(&Watchdog, &mut H) -> Result<(), String>;

/// A scenario.
pub(crate) struct Scenario<H> {
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    pub(crate) run: Run<H>,
}

/// The process in which a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    /// Any process: other tests may run beside it.
    Any,
    /// A process of its own, because it changes, measures or copies state of the whole process.
    Own,
}

/// Runs a scenario on each setup.
fn on_each<H: Host>(
    host: &mut H,
    mut scenario: impl FnMut(&mut H, Setup) -> Result<(), String>,
) -> Result<(), String> {
    SETUPS.iter().try_for_each(|&setup| scenario(host, setup).map_err(|what| format!("{setup}: {what}")))
}

macro_rules! scenarios {
    ($dollar:tt $($process:ident $name:ident = $path:path;)*) => {
        /// Every scenario.
        pub(crate) fn scenarios<H: Host>() -> Vec<Scenario<H>> {
            vec![$(Scenario { name: stringify!($name), process: Process::$process, run: $path }),*]
        }

        /// Makes one test of each scenario, on the host that the expression makes.
        ///
        /// ```
        /// # struct MyLoop;
        /// # impl lws_loop_conformance::Host for MyLoop {
        /// #     fn host<S: lws_loop_external::Service + 'static>(&mut self, service: S) -> S { service }
        /// #     fn nesting(&mut self) -> lws_loop_conformance::Nesting { lws_loop_conformance::Nesting::No("it is an example") }
        /// # }
        /// mod my_loop {
        ///     use super::MyLoop;
        ///     lws_loop_conformance::suite!(MyLoop);
        /// }
        /// # fn main() {}
        /// ```
        #[macro_export]
        macro_rules! suite {
            ($dollar host:expr $dollar(,)?) => {
                $(
                    #[test]
                    fn $name() {
                        $crate::test(module_path!(), stringify!($name), || $dollar host);
                    }
                )*
            };
        }
    };
}

scenarios! { $
    Any what_is_sent_comes_back = echo::what_is_sent_comes_back;
    Any large_transfers_go_both_ways_at_once = transfer::large_transfers_go_both_ways_at_once;
    Any a_slow_reader_holds_up_its_writer_and_no_other =
        slow_reader::a_slow_reader_holds_up_its_writer_and_no_other;
    Any a_pause_keeps_what_was_received_until_the_resume = pause::a_pause_keeps_what_was_received_until_the_resume;
    Any hundreds_of_connections_are_served_at_once = crowd::hundreds_of_connections_are_served_at_once;
    Any a_refused_connection_is_reported_once = connect::a_refused_connection_is_reported_once;
    Any an_unanswered_connection_times_out = connect::an_unanswered_connection_times_out;
    Any work_beyond_the_budget_of_a_turn_is_done = budget::work_beyond_the_budget_of_a_turn_is_done;
    Any numbers_that_are_used_again_carry_nothing_over = churn::numbers_that_are_used_again_carry_nothing_over;
    Any a_callback_closes_its_own_connection_another_or_the_listener =
        closing::a_callback_closes_its_own_connection_another_or_the_listener;
    Any a_service_goes_on_at_another_loop_where_it_left_off =
        leaving::a_service_goes_on_at_another_loop_where_it_left_off;
    Any a_service_is_dropped_in_mid_flight_and_the_loop_goes_on =
        leaving::a_service_is_dropped_in_mid_flight_and_the_loop_goes_on;
    Any a_drain_cuts_off_at_its_deadline_what_does_not_end =
        draining::a_drain_cuts_off_at_its_deadline_what_does_not_end;
    Any timers_come_in_time_and_in_order = timers::timers_come_in_time_and_in_order;
    Any what_came_while_the_host_was_away_counts_before_the_deadlines =
        away::what_came_while_the_host_was_away_counts_before_the_deadlines;
    Any other_threads_end_the_sleep = wake::other_threads_end_the_sleep;
    Any messages_wait_for_the_connection_that_they_are_about =
        pending_messages::messages_wait_for_the_connection_that_they_are_about;
    Any each_direction_of_a_raw_stream_ends_by_itself = half_close::each_direction_of_a_raw_stream_ends_by_itself;
    Any every_kind_of_descriptor_is_served = descriptors::every_kind_of_descriptor_is_served;
    Any an_earlier_deadline_ends_a_longer_sleep = timers::an_earlier_deadline_ends_a_longer_sleep;
    Any a_transport_that_takes_little_loses_nothing = faults::a_transport_that_takes_little_loses_nothing;
    Any a_reset_ends_one_connection_and_no_other = faults::a_reset_ends_one_connection_and_no_other;
    Any a_loop_inside_a_handler_sleeps_and_goes_on_after_it =
        nested::a_loop_inside_a_handler_sleeps_and_goes_on_after_it;
    Own without_descriptors_a_listener_waits_and_goes_on =
        faults::without_descriptors_a_listener_waits_and_goes_on;
    Own a_thousand_services_come_and_go_without_a_trace =
        lifetime::a_thousand_services_come_and_go_without_a_trace;
    Own a_child_by_fork_leaves_what_its_parent_serves = fork::a_child_by_fork_leaves_what_its_parent_serves;
}
