"""Every fault and abuse that the gateway has to survive, and the tests that show that it does.

`make faults` runs them all and writes docs/reliability.md; the numbers are for good, so that pages and
reports can name them.
"""

from msgspec import Struct


class Scenario(Struct, frozen=True):
    number: int
    fault: str
    expected: str
    tests: tuple[str, ...]
    """Node ids below `tests/`; without brackets, all cases of it; with a `*` at the end, those that begin so."""
    long: tuple[str, ...] = ()
    """Those that `--long` runs instead."""


class Part(Struct, frozen=True):
    title: str
    scenarios: tuple[Scenario, ...]


_FAULTS = "integration/test_provider_faults.py::"
_NEXT = "integration/test_fallback.py::"
_IN_TIME = _FAULTS + "test_a_fault_becomes_a_clear_error_in_time"
_REPLACED = _NEXT + "test_the_next_target_answers_in_place_of_one_that"
_BEFORE_TWO = (
    "faults/test_upstream.py::test_with_a_second_provider_no_answer_is_lost_that_had_not_begun"
)
_BROKEN = _FAULTS + "test_a_stream_that_breaks_ends_with_an_error_in_the_callers_dialect"
_CALLERS = "faults/test_callers.py::"
_ABUSE = "faults/test_abuse.py::"
_BAD = "integration/test_bad_input.py::"
_SOCKET = "integration/test_websocket.py::"
_REDIS = "faults/test_redis_faults.py::"
_REDIS_AWAY = _REDIS + "test_no_call_fails_while_redis_is_away_and_it_is_taken_up_again"
_POSTGRESQL = "faults/test_database.py::"
_DISK = "faults/test_disk.py::"
_CACHE = "integration/test_caching.py::"
_SHARED = "integration/test_shared_cache.py::"
_ISOLATION = "integration/test_isolation.py::"
_DASHBOARD = "browser/test_dashboard.py::"

UPSTREAM = Part(
    "Providers",
    (
        Scenario(
            1, "refuses connections",
            "502 in the caller's dialect; with a second target, its answer",
            ("faults/test_upstream.py::test_a_provider_that_refuses_connections_is_passed_over",
             _FAULTS + "test_a_refused_connection_is_a_502", _REPLACED),
        ),
        Scenario(
            2, "accepts and never answers",
            "504 once the time is over; with a second target, its answer",
            (_BEFORE_TWO + "[2: *", _IN_TIME + "[never answers]", _FAULTS + "test_a_callers_time_limit_holds_while_connecting_too"),
        ),
        Scenario(
            3, "first byte late", "the attempt's time-out ends it, the deadline holds over all attempts",
            (_BEFORE_TWO + "[3: *", _NEXT + "test_the_deadline_holds_over_all_attempts",
             _NEXT + "test_no_retry_starts_that_the_callers_time_does_not_allow"),
        ),
        Scenario(
            4, "stalls in mid-stream", "the stream ends with an error event after the idle time-out",
            (_BEFORE_TWO + "[4: *", _FAULTS + "test_a_stream_that_stalls_is_ended",),
        ),
        Scenario(
            5, "resets in the body", "502, or the next target's answer; nothing half is passed for whole",
            (_BEFORE_TWO + "[5: *", _IN_TIME + "[resets at once]", _IN_TIME + "[closes before all was sent]"),
        ),
        Scenario(
            6, "closes within an event of a stream",
            "whole events only, then one error event in the caller's dialect",
            (_BEFORE_TWO + "[6: *", _BROKEN, _NEXT + "test_a_stream_that_breaks_after_its_first_piece_is_not_begun_again"),
        ),
        Scenario(
            7, "ends a stream without its end mark",
            "an error event where the answer is not whole; nothing lost where it is",
            (_BEFORE_TWO + "[7: *", _BROKEN, _FAULTS + "test_one_byte_a_packet_and_missing_done_lose_nothing",
             _FAULTS + "test_what_breaks_after_the_whole_answer_is_nothing_to_the_caller"),
        ),
        Scenario(
            8, "an error event inside a stream that began with 200",
            "before any content a plain error or the next target; after it, one error event",
            (_BEFORE_TWO + "[8: *", _BROKEN, _FAULTS + "test_an_error_before_any_content_is_a_plain_error",
             _NEXT + "test_a_stream_that_fails_before_its_first_piece_is_replaced"),
        ),
        Scenario(
            9, "HTML under 200", "502 or the next target; the page goes no further",
            (_BEFORE_TWO + "[9: *", _IN_TIME + "[sends HTML under 200]", _FAULTS + "test_a_json_answer_to_a_stream_is_not_taken_for_one"),
        ),
        Scenario(10, "truncated JSON", "502 or the next target", (_BEFORE_TWO + "[10: *", _IN_TIME + "[sends truncated JSON]",)),
        Scenario(
            11, "a wrong content-length", "502 or the next target; the connection is not used again",
            (_BEFORE_TWO + "[11: *", _IN_TIME + "[closes before all was sent]",
             "integration/test_connections.py::test_bytes_out_of_turn_end_a_connection"),
        ),
        Scenario(
            12, "a single line of 1 MB in a stream", "it passes, to the letter",
            (_BEFORE_TWO + "[12: *", _FAULTS + "test_a_line_of_a_megabyte_passes",),
        ),
        Scenario(
            13, "one byte a packet", "nothing lost, to the letter",
            (_BEFORE_TWO + "[13: *", _FAULTS + "test_one_byte_a_packet_and_missing_done_lose_nothing",
             "unit/dialects/test_sse.py::test_any_cut_gives_the_same_events"),
        ),
        Scenario(
            14, "an answer of 100 MB", "502; memory stays bounded",
            (_BEFORE_TWO + "[14: *", _IN_TIME + "[sends 100 MB]",
             "integration/test_connections.py::test_an_answer_larger_than_allowed_is_given_up"),
        ),
        Scenario(
            15, "429 with Retry-After as a date, 0, 10^9 or garbage",
            "the advice is heeded where it makes sense, and passed on; that credential rests",
            (_BEFORE_TWO + "[15: *", _NEXT + "test_a_providers_advice_on_trying_again_wins", _FAULTS + "test_rate_limits_keep_their_advice",
             _NEXT + "test_a_throttled_credential_gives_way_to_the_next_and_rests"),
        ),
        Scenario(
            16, "500, 502, 503, 529 in bursts",
            "a flicker is not seen; at most two retries; the breaker opens",
            (_BEFORE_TWO + "[16: *", _NEXT + "test_a_flicker_is_not_seen_by_the_caller",
             _NEXT + "test_a_lone_target_is_asked_again_at_most_twice",
             _NEXT + "test_a_lone_target_with_an_open_breaker_is_answered_503_at_once"),
        ),
        Scenario(
            17, "up and down every second", "no failed call while a second target is well",
            (_BEFORE_TWO + "[17: *", _REPLACED,),
        ),
        Scenario(
            18, "its name does not resolve, or slowly", "502 in time; other providers notice nothing",
            ("faults/test_names.py", _FAULTS + "test_a_name_that_does_not_resolve_is_a_502"),
        ),
        Scenario(
            19, "its certificate is expired, for another host or unknown",
            "502; nothing of the call is sent",
            ("integration/test_tls.py",),
        ),
        Scenario(
            20, "invalid UTF-8", "502 or the next target",
            (_BEFORE_TWO + "[20: *", _IN_TIME + "[sends invalid UTF-8]", "unit/dialects/test_hostile.py::test_an_answer_is_read_or_held_unreadable"),
        ),
        Scenario(
            21, "gzip that nobody asked for", "502; nothing is unpacked",
            (_BEFORE_TWO + "[21: *", _IN_TIME + "[sends gzip nobody asked for]",),
        ),
        Scenario(
            22, "redirects to another host", "never followed: no credential leaves",
            (_BEFORE_TWO + "[22: *", _IN_TIME + "[redirects]", "integration/test_forward.py::test_a_redirect_is_not_followed",
             "integration/test_realtime.py::test_a_redirect_does_not_carry_the_credential_elsewhere"),
        ),
    ),
)  # fmt: skip

CALLERS = Part(
    "Callers",
    (
        Scenario(
            23, "leaves before, during or after the answer",
            "the provider is let go within 1 s, the tokens so far are settled, no task or socket is left",
            (_CALLERS + "test_two_hundred_callers_who_leave_leave_nothing_behind",
             _FAULTS + "test_a_caller_who_leaves_takes_the_provider_call_along",
             _FAULTS + "test_callers_who_leave_leave_no_task_or_socket_behind"),
        ),
        Scenario(
            24, "reads slowly, or not at all", "the provider is held back, memory stays bounded",
            (_CALLERS + "test_callers_who_do_not_read_cost_no_memory",
             _FAULTS + "test_a_slow_reader_holds_the_provider_back",
             _FAULTS + "test_a_caller_who_stops_reading_is_let_go"),
        ),
        Scenario(
            25, "sends its head or body drop by drop", "408 after 30 to 60 s; others notice nothing",
            (_CALLERS + "test_a_thousand_connections_that_drip_are_ended_and_hold_nobody_up",
             _BAD + "test_a_request_that_stops_coming_is_ended", _BAD + "test_a_body_that_keeps_coming_is_waited_for"),
        ),
        Scenario(
            26, "a body of 100 MB", "413 before it is read",
            (_BAD + "test_a_huge_body_is_refused_without_being_read",),
        ),
        Scenario(
            27, "JSON that is none, or nested 10^5 deep, or says a thing twice",
            "400 that names the field, in the caller's dialect",
            (_BAD + "test_bad_chat_bodies_are_refused_naming_the_field",
             _BAD + "test_messages_callers_are_refused_in_their_own_words",
             "unit/dialects/test_hostile.py::test_a_request_is_read_or_refused"),
        ),
        Scenario(
            28, "100,000 messages in a call", "read in less than 2 s",
            (_BAD + "test_a_hundred_thousand_messages_are_read_in_good_time",),
        ),
        Scenario(
            29, "header bombs, split headers, smuggled requests", "431 or 400, and the connection ends",
            (_BAD + "test_a_header_bomb_is_refused", _BAD + "test_smuggling_and_split_headers_are_refused",
             _BAD + "test_trailers_never_become_headers", _BAD + "test_an_upgrade_cannot_smuggle_a_request",
             _BAD + "test_no_tunnel_is_opened"),
        ),
        Scenario(
            30, "WebSockets: oversized, fragmented, binary, broken off, idle",
            "closed with the right code, and nothing else is hurt",
            (_CALLERS + "test_idle_sockets_stay_and_dead_ones_go", _SOCKET + "test_binary_messages_are_refused",
             _SOCKET + "test_a_message_over_the_limit_closes_the_socket_even_in_fragments",
             _SOCKET + "test_fragments_make_one_message",
             _SOCKET + "test_a_frame_that_breaks_the_protocol_closes_the_socket_and_nothing_else",
             _SOCKET + "test_a_caller_who_leaves_stops_every_provider",
             _SOCKET + "test_a_slow_reader_holds_its_provider_back"),
        ),
    ),
)  # fmt: skip

STATE = Part(
    "State and the machine",
    (
        Scenario(
            31, "Redis absent, killed, hung, read-only, full, without its scripts, failed over, slow",
            "no call fails; limits hold by each process's own counts, the cache misses; taken up again",
            (_REDIS_AWAY, _REDIS + "test_a_slow_redis_is_a_lost_one", _REDIS + "test_forgotten_scripts_go_unnoticed",
             _REDIS + "test_a_gateway_starts_without_its_redis_and_finds_it_later",
             _REDIS + "test_refuse_fails_closed", _REDIS + "test_budgets_are_exact_again_after_an_outage",
             "integration/test_redis_kinds.py::test_sentinel_names_the_master_and_the_next_one_after_a_fail_over",
             "faults/test_cache_under_load.py",
             _SHARED + "test_with_redis_gone_every_call_is_a_miss_and_none_fails",
             _SHARED + "test_with_redis_gone_looks_by_meaning_are_misses_and_come_back_with_it"),
        ),
        Scenario(
            32, "PostgreSQL the same",
            "no call of a known key fails; records wait on disk and are all there afterwards, once",
            (_POSTGRESQL + "test_calls_go_on_while_the_database_is_away",
             _POSTGRESQL + "test_a_slow_database_slows_no_call_of_a_known_key",
             _POSTGRESQL + "test_a_gateway_starts_without_its_database_and_finds_it_later"),
        ),
        Scenario(
            33, "SQLite locked, its disk full, its file corrupt",
            "calls go on, records wait, `/ready` says so",
            ("faults/test_sqlite.py", _DISK + "test_while_another_holds_sqlites_lock_calls_go_on_and_records_wait",
             _DISK + "test_where_the_disk_takes_nothing_calls_go_on_and_ready_says_so",
             "integration/test_access.py::test_a_database_that_is_none_is_said_and_calls_need_a_key",
             "unit/ledger/test_spool.py::test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_none_half_written"),
        ),
        Scenario(
            34, "`kill -9` of the gateway under load",
            "every call that was answered is in the ledger exactly once, to the cent",
            ("faults/test_kill.py::test_every_answered_call_is_in_the_ledger_exactly_once[sqlite-4]",
             "faults/test_kill.py::test_every_answered_call_is_in_the_ledger_exactly_once[postgresql-4]"),
            ("faults/test_kill.py::test_every_answered_call_is_in_the_ledger_exactly_once[sqlite-100]",
             "faults/test_kill.py::test_every_answered_call_is_in_the_ledger_exactly_once[postgresql-100]"),
        ),
        Scenario(
            35, "the clock jumps an hour, forwards and back",
            "no call fails; limits are neither freed nor jammed; every call is in the ledger once",
            ("faults/test_clock.py",),
        ),
        Scenario(
            36, "the limit of open files is reached",
            "open connections go on, new calls are told 503 or wait, no breaker opens, and it passes",
            ("faults/test_descriptors.py",),
        ),
        Scenario(
            37, "`gateway.yaml` is replaced by a bad one",
            "the old one stays in force, and `/ready`, log and metric say so",
            ("integration/test_routes_admin.py::test_a_changed_file_takes_force_and_a_bad_one_does_not",
             "integration/test_reload.py"),
        ),
        Scenario(
            38, "4 workers and 2 replicas on one Redis",
            "of all calls at once exactly the capacity passes; no budget is overspent",
            ("integration/test_workers.py::test_of_calls_at_two_replicas_exactly_the_capacity_passes",
             "integration/test_workers.py::test_a_budget_holds_over_replicas_and_workers",
             "integration/test_limits.py::test_a_budget_in_dollars_is_never_passed_by_calls_at_once"),
        ),
        Scenario(
            39, "identical calls at once, and the one that asks fails or is killed",
            "one upstream call; a failure is its own, and one of the others asks again",
            (_CACHE + "test_identical_calls_at_once_are_asked_once",
             _CACHE + "test_a_failure_is_the_first_callers_own_and_one_of_the_others_asks_again",
             _CACHE + "test_a_provider_that_keeps_failing_is_asked_twice_however_many_wait",
             _SHARED + "test_identical_calls_over_replicas_are_asked_once",
             "faults/test_cache_replicas.py"),
        ),
        Scenario(
            40, "hours of mixed traffic, keys that come and go, files read anew",
            "memory, files, tasks and p99 stay as they are; nobody is answered what they should not",
            ("faults/test_endurance.py",),
        ),
    ),
)  # fmt: skip

ABUSE = Part(
    "Abuse",
    (
        Scenario(
            41, "unknown, revoked, foreign and empty keys, and guesses by the million",
            "one 401 for all, no quicker or slower; known keys work on; the log is not flooded",
            (_ABUSE + "test_guesses_by_the_thousand_cost_known_keys_nothing_and_do_not_flood_the_log",
             _ISOLATION + "test_guessing_keys_tells_nothing",
             "integration/test_access.py::test_a_flood_of_unknown_keys_leaves_known_ones_and_revocation_alone",
             "integration/test_admin.py::test_disabled_deleted_and_expired_keys_all_get_the_same_answer",
             "unit/access/test_known.py::test_a_million_guesses_push_no_good_key_out",
             "integration/test_tokens.py::test_tokens_that_name_unknown_keys_do_not_flood_the_issuer"),
        ),
        Scenario(
            42, "the admin API without a key, with a caller's, with a wrong method", "401, 403, 405",
            (_ISOLATION + "test_every_admin_endpoint_refuses_who_has_no_role_and_every_method",
             _ISOLATION + "test_a_tenant_admin_cannot_make_itself_more"),
        ),
        Scenario(
            43, "another tenant's cache, usage, audit, responses, files, batches by id",
            "they do not exist",
            (_ISOLATION + "test_another_tenants_anything_is_not_there",
             _ISOLATION + "test_what_is_another_tenants_and_what_is_nobodys_look_the_same",
             _ISOLATION + "test_usage_of_another_tenant_cannot_be_asked_for",
             "integration/test_stored_responses.py::test_another_tenants_response_does_not_exist",
             "integration/test_files_and_batches.py::test_another_tenants_files_and_batches_do_not_exist",
             "integration/test_audit.py::test_a_tenants_administrator_sees_its_tenant_alone"),
        ),
        Scenario(
            44, "names with `<script>`, formulas, ANSI and line breaks",
            "nothing runs in dashboard, CSV or terminal; a log line stays one line",
            (_ABUSE + "test_a_log_line_stays_one_line_of_printable_text",
             _DASHBOARD + "test_nothing_a_caller_names_can_run", _DASHBOARD + "test_a_spreadsheet_gets_no_formula"),
        ),
        Scenario(
            45, "CSRF and clickjacking on the dashboard", "403; it cannot be framed",
            (_DASHBOARD + "test_another_site_can_neither_act_nor_frame", _DASHBOARD + "test_signing_in_and_out"),
        ),
        Scenario(
            46, "addresses in a call: of images and files, in fields, headers and paths",
            "callers choose no upstream host, and nothing of theirs is fetched by the gateway",
            (_ABUSE + "test_no_caller_chooses_a_host_and_no_address_of_theirs_is_fetched",),
        ),
        Scenario(
            47, "a million made-up users and models", "`/metrics` stays below 1 MB",
            ("unit/telemetry/test_metrics.py::test_a_million_users_and_models_leave_the_page_small_and_quick",
             "integration/test_account.py::test_models_that_callers_make_up_do_not_fill_the_metrics"),
        ),
        Scenario(
            48, "model names with `../`, NUL, spaces, of 10 kB", "404 or 400, and never part of a path",
            (_BAD + "test_odd_model_names_are_not_found_and_never_become_a_path",
             "integration/test_gemini_paths.py::test_a_models_name_never_becomes_more_than_a_name",
             "integration/test_files_and_batches.py::test_ids_cannot_climb_out_of_the_shelf"),
        ),
        Scenario(
            49, "a canary in every key and prompt",
            "it shows in no log, metric, trace, error, title, `check` output or crash report",
            (_ABUSE + "test_a_fault_of_the_gateways_own_tells_callers_and_logs_nothing_of_the_call",
             "integration/test_canary.py", "integration/test_traces.py::test_no_prompt_answer_or_key_is_in_a_trace"),
        ),
        Scenario(
            50, "cache poisoning",
            "no answer of another tenant, of other tools or system prompt, refused or partial",
            (_CACHE + "test_who_asks_does_not_count_but_what_is_asked_does",
             _CACHE + "test_what_is_not_whole_and_good_is_never_given_again",
             _CACHE + "test_a_stream_whose_caller_leaves_is_never_given_again",
             "unit/caching/test_question.py::test_whatever_may_change_the_answer_counts",
             "unit/caching/test_question.py::test_what_may_change_the_answer_makes_another_question",
             "integration/test_semantic_cache.py::test_one_tenants_answer_is_never_anothers",
             "integration/test_semantic_cache.py::test_what_makes_it_another_question_is_a_miss_however_near"),
        ),
        Scenario(
            51, "a dependency with a known hole; a release that was tampered with",
            "the audit is clean; releases carry hashes and a bill of materials",
            ("faults/test_supply.py", "unit/test_release.py", "unit/test_project.py::test_every_locked_package_has_hashes"),
        ),
    ),
)  # fmt: skip

PARTS = (UPSTREAM, CALLERS, STATE, ABUSE)
SCENARIOS = tuple(scenario for part in PARTS for scenario in part.scenarios)
