/* SPDX-License-Identifier: Apache-2.0 */

/* Schedules of docs/protocol-cluster.md, section 15: what clients see of it. */

#include "tests/simulator_script.h"
#include "tests/test.h"

/* 12 */
static void a_retry_is_known_after_its_message_was_trimmed(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    uint64_t message = script_commit(script, A);
    for (unsigned i = 0; i < 10; i++) {
        (void)script_commit(script, A);
    }
    script_publish_again(script, C, message);
    script_until(script, "seq 1, duplicate");
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    script_publish_again(script, C, message);
    script_until(script, "seq 1, duplicate");
    script_end(script);
}

/* 12 */
static void
what_a_process_has_not_read_while_it_stood_still_is_not_published(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    (void)script_commit(script, A);
    script_pause(script, D);
    (void)script_publish(script, D);
    script_pass(script, 3600000);
    script_forget(script);
    script_resume(script, D);
    script_never(script, 10000, "A: * commits", NULL);
    script_end(script);
}

/* N8 */
static void a_retry_waits_for_what_is_not_committed_yet(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 2, "AB");
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 100);
    uint64_t message = script_publish(script, A);
    script_until(script, "B > A append_ack * ");
    script_publish_again(script, A, message);
    script_never(script, 300, "publish m1 at A", NULL);
    script_let(script);
    script_release(script, B, A);
    script_until(script, "publish m1 at A: seq 1");
    script_until(script, "publish m1 at A: seq 1, duplicate");
    script_end(script);
}

/* 18 */
static void an_append_from_before_a_loss_is_ignored(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_hold(script, RH_PEER_APPEND, A, B, 1);
    (void)script_publish(script, A);
    script_until(script, "A > B append");
    script_lose(script, RH_PEER_APPEND, A, B, 100);
    script_lose(script, RH_PEER_SYNC_BEGIN, A, B, 100);
    script_expire(script, B);
    script_until(script, "B: * replica -> suspect");
    script_until(script, "B: adopts");
    script_release(script, A, B);
    script_never(script, 400, "B: * suspect -> replica", "B > A append_ack *", NULL);
    script_end(script);
}

/* 29 */
static void a_client_ahead_of_its_node_waits(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    for (unsigned i = 0; i < 3; i++) {
        (void)script_commit(script, A);
    }
    script_hold(script, RH_PEER_SYNC_ACK, C, B, 100);
    script_forget(script);
    script_crash(script, A);
    script_until(script, "B: * replica -> claiming");
    script_pass(script, 1000);
    script_let(script);
    script_release(script, C, B);
    script_until(script, "client 0: welcome at B, *:3");
    script_expect_not(script, "not recovered");
    script_end(script);
}

/* 29 */
static void
a_client_that_was_at_the_next_owner_waits_at_the_one_that_knows_of_none(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    (void)script_commit(script, A);
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 100);
    (void)script_publish(script, A);
    script_until(script, "B > A append_ack");
    for (int letter = B; letter <= D; letter++) {
        script_cut(script, A, letter, true);
    }
    script_cut_zookeeper(script, A, true);
    script_until(script, "B: * claiming -> acting");
    script_connect(script, B);
    script_until(script, "client 0: welcome at B, *:1");
    script_pass(script, 50);   /* it is told the second */
    script_connect(script, A); /* which has committed one, and acts as far as it knows */
    script_never(script, 500, "client 0: welcome at A", "not recovered", NULL);
    script_let(script);
    for (int letter = B; letter <= D; letter++) {
        script_cut(script, A, letter, false);
    }
    script_cut_zookeeper(script, A, false);
    script_until(script, "client 0: welcome at");
    script_expect_not(script, "not recovered");
    script_end(script);
}

/* 32 */
static void a_burst_is_refused_before_anything_is_trimmed(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 2, "AB");
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 100);
    for (unsigned i = 0; i < 65; i++) {
        (void)script_publish(script, A);
    }
    script_until(script, "publish m65 at A: overloaded");
    script_let(script);
    script_release(script, B, A);
    script_until(script, "publish m64 at A: seq 64");
    script_end(script);
}

/* 72 */
static void writes_are_refused_at_once_while_a_member_has_no_room(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 2, "AB");
    (void)script_commit(script, A);
    script_full(script, B, true);
    uint64_t numbered = script_publish(script, A); /* nobody knows yet */
    script_until(script, "B > A refused");
    (void)script_publish(script, A);
    script_until(script, "publish m3 at A: member_full");
    (void)script_publish(script, B); /* which asks A */
    script_until(script, "publish m4 at B: member_full");
    (void)script_put(script, A, 0);
    script_until(script, "state s1 at A: member_full");
    script_expect_not(script, "publish m2");
    script_publish_again(script, A, numbered); /* is known, and waits for the first */
    script_until(script, "B > A refused");     /* it is tried again each second */
    script_expect_not(script, "publish m2");
    script_full(script, B, false);
    script_until(script, "publish m2 at A: seq 2");
    script_until(script, "publish m2 at A: seq 2, duplicate");
    (void)script_commit(script, A);
    script_end(script);
}

/* 73 */
static void
what_waits_for_a_channel_is_refused_when_a_new_member_has_no_room(void **state RH_UNUSED)
{
    struct script *script = script_prepare(2, 2);
    script_silence_clients(script);
    script_begin(script, "AB");
    script_full(script, B, true);
    (void)script_publish(script, A);
    script_until(script, "A: * waiting -> claiming");
    script_until(script, "publish m1 at A: member_full");
    (void)script_publish(script, B);
    script_until(script, "publish m2 at B: member_full");
    script_full(script, B, false);
    script_until(script, "A: * claiming -> acting");
    (void)script_commit(script, A);
    script_end(script);
}

/* 74 */
static void
a_node_without_room_that_need_not_be_in_the_group_holds_up_nobody(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "BC");
    (void)script_commit(script, B);
    script_full(script, A, true);
    script_start(script, A);
    script_until(script, "A > B refused");
    (void)script_commit(script, B);
    (void)script_commit(script, C);
    script_full(script, A, false);
    script_until(script, "A: * claiming -> acting");
    (void)script_commit(script, A);
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_retry_is_known_after_its_message_was_trimmed),
        RH_TEST(what_a_process_has_not_read_while_it_stood_still_is_not_published),
        RH_TEST(a_retry_waits_for_what_is_not_committed_yet),
        RH_TEST(an_append_from_before_a_loss_is_ignored),
        RH_TEST(a_client_ahead_of_its_node_waits),
        RH_TEST(a_client_that_was_at_the_next_owner_waits_at_the_one_that_knows_of_none),
        RH_TEST(a_burst_is_refused_before_anything_is_trimmed),
        RH_TEST(writes_are_refused_at_once_while_a_member_has_no_room),
        RH_TEST(what_waits_for_a_channel_is_refused_when_a_new_member_has_no_room),
        RH_TEST(a_node_without_room_that_need_not_be_in_the_group_holds_up_nobody),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
