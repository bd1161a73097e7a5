//! The scenarios, by name. One that is added here is in every suite.

mod budget;
mod churn;
mod closing;
mod connect;
mod crowd;
mod draining;
mod echo;
mod half_close;
mod leaving;
mod pause;
mod slow_reader;
mod timers;
mod transfer;
mod wake;

use crate::Host;
use crate::setup::{SETUPS, Setup};
use crate::watch::Watch;

/// A scenario: everything that it tries, on every setup that it fits.
pub(crate) type Scenario<H> = fn(&Watch, &mut H) -> Result<(), String>;

/// Runs a scenario on each setup.
fn on_each<H: Host>(
    host: &mut H,
    mut scenario: impl FnMut(&mut H, Setup) -> Result<(), String>,
) -> Result<(), String> {
    SETUPS.iter().try_for_each(|&setup| scenario(host, setup).map_err(|what| format!("{setup}: {what}")))
}

macro_rules! scenarios {
    ($dollar:tt $($name:ident = $path:path;)*) => {
        /// Every scenario, with its name.
        pub(crate) fn scenarios<H: Host>() -> Vec<(&'static str, Scenario<H>)> {
            vec![$((stringify!($name), $path as Scenario<H>)),*]
        }

        /// Makes one test of each scenario, on the host that the expression makes.
        ///
        /// ```
        /// # struct MyLoop;
        /// # impl lws_loop_conformance::Host for MyLoop {
        /// #     fn host<S: lws_loop_external::Service + 'static>(&mut self, service: S) -> S { service }
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
                        if let Err(failure) = $crate::run(stringify!($name), || $dollar host) {
                            panic!("{failure}");
                        }
                    }
                )*
            };
        }
    };
}

scenarios! { $
    what_is_sent_comes_back = echo::what_is_sent_comes_back;
    large_transfers_go_both_ways_at_once = transfer::large_transfers_go_both_ways_at_once;
    a_slow_reader_holds_up_its_writer_and_nobody_else =
        slow_reader::a_slow_reader_holds_up_its_writer_and_nobody_else;
    a_pause_keeps_what_was_received_until_the_resume = pause::a_pause_keeps_what_was_received_until_the_resume;
    hundreds_of_connections_are_served_at_once = crowd::hundreds_of_connections_are_served_at_once;
    a_refused_connection_is_told_once = connect::a_refused_connection_is_told_once;
    a_connection_that_nobody_answers_times_out = connect::a_connection_that_nobody_answers_times_out;
    work_beyond_the_budget_of_a_turn_is_done = budget::work_beyond_the_budget_of_a_turn_is_done;
    numbers_that_are_used_again_carry_nothing_over = churn::numbers_that_are_used_again_carry_nothing_over;
    a_callback_closes_its_own_connection_another_or_the_listener =
        closing::a_callback_closes_its_own_connection_another_or_the_listener;
    a_service_goes_on_at_another_loop_where_it_left_off =
        leaving::a_service_goes_on_at_another_loop_where_it_left_off;
    a_service_is_dropped_in_mid_flight_and_the_loop_goes_on =
        leaving::a_service_is_dropped_in_mid_flight_and_the_loop_goes_on;
    a_drain_cuts_off_at_its_deadline_what_does_not_end =
        draining::a_drain_cuts_off_at_its_deadline_what_does_not_end;
    timers_come_in_time_and_in_order = timers::timers_come_in_time_and_in_order;
    other_threads_end_the_sleep = wake::other_threads_end_the_sleep;
    each_direction_of_a_raw_stream_ends_by_itself = half_close::each_direction_of_a_raw_stream_ends_by_itself;
}
