%% The echo server in a process of Erlang. The virtual machine watches the service's descriptor and sends the process a message when there is
%% something to do; schedulers are never held up.
-module(echo).
-export([main/1, open/1, dispatch/2, reply/4]).
-on_load(load/0).

load() ->
    erlang:load_nif(os:getenv("LWX_NIF"), 0).

main([Address]) ->
    Ticks = counters:new(1, []),
    {ok, _} = timer:apply_interval(10, counters, add, [Ticks, 1, 1]),
    serve(open(Address)),
    io:format("ticks ~b~n", [counters:get(Ticks, 1)]),
    init:stop().

serve(Service) ->
    Ref = make_ref(),
    case dispatch(Service, Ref) of
        done -> ok;
        Timeout -> wait(Service, Ref, Timeout)
    end.

wait(Service, Ref, Timeout) ->
    receive
        {select, Service, Ref, ready_input} ->
            serve(Service);
        {message, Key, Content, Flags} ->
            ok = reply(Service, Key, Content, Flags),
            serve(Service)
    after Timeout ->
        serve(Service)
    end.

open(_) -> erlang:nif_error(not_loaded).
dispatch(_, _) -> erlang:nif_error(not_loaded).
reply(_, _, _, _) -> erlang:nif_error(not_loaded).
