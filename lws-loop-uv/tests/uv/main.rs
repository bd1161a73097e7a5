//! What a host on libuv guarantees to its service, its loop and its program.
//!
//! Known pitfalls of such integrations, and the tests that cover them:
//!
//! | what | tests |
//! |---|---|
//! | closing is asynchronous | `attach::a_descriptor_is_let_go_of_in_the_close_callback_and_not_before` |
//! | the end, from inside a callback | `attach::a_service_may_be_detached_in_each_of_its_handlers`, `attach::services_come_and_go_in_callbacks_of_the_program` |
//! | the end, after half a start | `attach::a_service_that_other_threads_could_not_reach_comes_back_and_leaves_nothing`, `lifetime` |
//! | stale readiness, and numbers that live again | `attach::a_number_that_lives_again_is_another_descriptor`, `conformance` |
//! | the order of an end | `attach::a_descriptor_that_leaves_with_its_service_is_still_reported_as_removed`, `conformance` |
//! | ends and errors of peers | `attach::the_end_of_a_peer_and_room_for_output_are_reported`, `attach::an_error_is_reported_as_everything_and_again_as_long_as_the_service_wants_it`, `attach::a_refused_connect_is_reported_and_a_peer_that_resets_ends_its_connection_only` |
//! | readiness as long as it lasts | `attach::readiness_is_reported_as_long_as_it_lasts_and_interest_is_followed` |
//! | deadlines that come from outside | `attach::a_timer_set_from_outside_is_noticed_and_never_early`, `attach::a_moment_that_has_passed_does_not_hold_up_the_loop` |
//! | work that no descriptor announces | `attach::work_that_no_descriptor_announces_keeps_the_loop_from_sleeping`, `attach::a_host_that_sleeps_elsewhere_finds_everything_settled_after_its_turn` |
//! | fairness | `attach::the_host_goes_on_while_a_service_is_busy`, `conformance` |
//! | the program's loop before, with and after | `lifetime`, and `uv-shim/host.c`, which is C |
//! | waking | `attach::a_message_from_another_thread_ends_the_sleep` |
//! | liveness | `attach::idle_internals_keep_nothing_alive`, `attach::a_descriptor_that_is_not_watched_at_the_moment_keeps_the_loop_alive` |

mod attach;
mod conformance;
mod example;
mod lifetime;
mod support;
