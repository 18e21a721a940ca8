/* SPDX-License-Identifier: Apache-2.0 */

/* What replication needs of the membership: docs/protocol-cluster.md, sections 2, 7, 9 and 12. */

#include "base/units.h"
#include "node/membership.h"
#include "node/view_shown.h"
#include "tests/allocation.h"
#include "tests/membership_world.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N1 "n1.0000000000"
#define N2 "n2.0000000001"
#define S  6000

static struct world *create(void)
{
    struct world *world = world_create();
    world->replicate = true;
    world->trace_more = true;
    world->config.session_timeout_ms = S;
    return world;
}

/* A line of the trace has |text|, or none. */
#define expect(world, text)     expect_at(world, text, true, __LINE__)
#define expect_not(world, text) expect_at(world, text, false, __LINE__)
static void expect_at(const struct world *world, const char *text, bool wanted, int line)
{
    if (world_traced(world, text) != wanted) {
        (void)fprintf(stderr, "line %d: %s \"%s\" in\n%s", line, wanted ? "no" : "there is", text,
                      world->trace);
        fail();
    }
}

static const struct rh_view *view_of(const struct world *world, int node)
{
    return rh_membership_view(world->nodes[node].machine);
}

static size_t count_ops(const struct world *world, int node, enum rh_membership_action_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < world->nodes[node].ops_count; i++) {
        count += world->nodes[node].ops[i].kind == kind;
    }
    return count;
}

static void ask_weight(struct world *world, int node, unsigned weight)
{
    static unsigned number;
    char path[64];
    char data[256];
    (void)snprintf(path, sizeof(path), "/requests/n%d", node);
    (void)snprintf(data, sizeof(data),
                   "{\"number\":\"%016x\",\"kind\":\"weight\",\"weight\":%u,\"state\":\"asked\"}",
                   ++number, weight);
    world_write(world, path, data, 0);
}

/* Proof: R1. */

static void a_registered_node_proves_it_each_sixth_of_the_session_timeout(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    for (int i = 0; i < 20; i++) {
        world_pass(world, 1000);
        assert_in_range(world->now_ms - world->nodes[1].proof_ms, 0, S / 6);
    }
    world_expect(world, "");
    world_destroy(world);
}

static void a_proof_counts_from_when_it_was_sent(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    world->nodes[1].deaf = true;
    world_pass(world, S / 6);
    uint64_t sent_ms = world->now_ms;
    assert_int_equal(count_ops(world, 1, RH_MEMBERSHIP_CHECK), 1);
    world_pass(world, 3000);
    assert_int_equal(count_ops(world, 1, RH_MEMBERSHIP_CHECK), 1); /* one at a time */
    world->nodes[1].deaf = false;
    world_run_one(world, 1);
    assert_int_equal(world->nodes[1].proof_ms, sent_ms);
    world_destroy(world);
}

static void proofs_that_are_wanted_come_at_once_but_not_in_a_flood(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    world_pass(world, 300);
    world_event_kind(world, 1, RH_MEMBERSHIP_PROVE);
    world_run(world);
    uint64_t first_ms = world->nodes[1].proof_ms;
    assert_int_equal(first_ms, world->now_ms);
    world_pass(world, 10);
    for (int i = 0; i < 5; i++) {
        world_event_kind(world, 1, RH_MEMBERSHIP_PROVE);
        world_run(world);
    }
    assert_int_equal(world->nodes[1].proof_ms, first_ms);
    world_pass(world, 90);
    assert_int_equal(world->nodes[1].proof_ms, first_ms + 100);
    world_pass(world, 500);
    assert_int_equal(world->nodes[1].proof_ms, first_ms + 100);
    world_destroy(world);
}

static void a_proof_is_wanted_anew_in_each_connection(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    world->nodes[1].deaf = true;
    world_pass(world, S / 6);
    world_disconnect(world, 1); /* its answer is lost */
    world->nodes[1].deaf = false;
    world_pass(world, 500);
    uint64_t before_ms = world->nodes[1].proof_ms;
    world_connect(world, 1);
    world_run(world);
    assert_true(world->nodes[1].proof_ms > before_ms);
    world_destroy(world);
}

static void without_the_option_only_who_asks_gets_a_proof(void **state RH_UNUSED)
{
    struct world *world = create();
    world->replicate = false;
    world_settle(world, 1);
    world_pass(world, 60000);
    assert_int_equal(world->nodes[1].proof_ms, 0);
    world_event_kind(world, 1, RH_MEMBERSHIP_PROVE);
    world_run(world);
    assert_int_equal(world->nodes[1].proof_ms, world->now_ms);
    world_destroy(world);
}

/* 25 */
static void a_deposed_leader_answers_a_sync_and_proves_nothing(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 2000);
    world->nodes[1].leader_is_deposed = true;
    uint64_t before_ms = world->nodes[1].proof_ms;
    world->trace_reads = true;
    world_event_kind(world, 1, RH_MEMBERSHIP_CATCH_UP);
    world_pass(world, 4000);
    expect(world, "n1: sync\n");
    expect(world, "n1: list\n"); /* it was answered */
    assert_true(world->nodes[1].proof_ms - before_ms <= S / 6);
    assert_true(world->now_ms - world->nodes[1].proof_ms > 2 * S / 3 - 1000);
    world_destroy(world);
}

/* LOST. */

static void a_refused_proof_says_that_the_registration_is_gone(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 200);
    world->nodes[1].watches[RH_MEMBERSHIP_WATCH_MEMBERS] = false; /* it would hear of it */
    world_write(world, "/members/" N1, NULL, 0);
    world->nodes[2].deaf = true;
    world_event_kind(world, 1, RH_MEMBERSHIP_PROVE);
    world_run_one(world, 1);
    expect(world, "n1: lost\nn1: registration_lost pause_ms=");
    world->nodes[2].deaf = false;
    world_pass(world, 1000);
    /* And a new chain begins. */
    expect(world, "n1: adopt 1/109 n1 n2 since=109 deletions=1\n");
    assert_string_equal(view_of(world, 1)->members[0].origin, "");
    world_destroy(world);
}

static void somebody_who_writes_into_our_registration_ends_it(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    char data[1024];
    (void)snprintf(data, sizeof(data), "%s", world_read(world, "/members/" N1));
    world_write(world, "/members/" N1, data, 0);
    world_pass(world, 2000);
    expect(world, "n1: lost\n");
    expect(world, "n1: register weight=1 replaces=" N1 "\n");
    world_destroy(world);
}

/* 24 */
static void a_node_is_lost_as_soon_as_it_reads_so_though_the_view_is_put_off(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_pass(world, 100);
    world_dead(world, 2, 1); /* n2 takes it for dead; n1 and n3 have links to all */
    world_run(world);
    world_expect(world, "n2: evict " N1 " as " N2 "\n"
                        "n2: peer_evicted peer=n1 instance=0000000000000001\n"
                        "n3: view_held epoch=110 missing=n1 grace_ms=2000\n"
                        "n1: lost\n"
                        "n1: registration_lost pause_ms=65\n"
                        "n1: view_held epoch=110 missing=n1 grace_ms=2000\n"
                        "n2: adopt 1/110 n2 n3 since=106 deletions=1\n");
    assert_int_equal(world->nodes[1].proof_ms, 0);
    /* Nothing is proved until it is back. */
    world_event_kind(world, 1, RH_MEMBERSHIP_PROVE);
    assert_int_equal(count_ops(world, 1, RH_MEMBERSHIP_CHECK), 0);
    world_destroy(world);
}

static void an_expired_session_is_a_loss(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    world_expire(world, 1);
    world_expect(world, "n1: lost\n");
    world_destroy(world);
}

static void another_session_is_a_loss_though_the_registration_stands(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    world->nodes[1].session = 0;
    world_disconnect(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: lost\n"
                        "n1: register weight=1 replaces=" N1 "\n"
                        "n1: adopt 1/106 n1 since=106 deletions=1\n"
                        "n1: set config generation=1\n"
                        "n1: view_recorded generation=1 epoch=106 members=1\n"
                        "n1: recorded 1/106\n");
    world_destroy(world);
}

static void a_registration_that_was_lost_is_not_taken_up_again(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 200);
    /* Its server shows what was before: it has not heard of the eviction when it is connected. */
    world_lag(world, 1);
    world_write(world, "/members/" N1, NULL, 0);
    world_event_kind(world, 1, RH_MEMBERSHIP_PROVE);
    world_run_one(world, 1);
    expect(world, "n1: lost\n");
    world_lag(world, 1);
    world_pass(world, 3000);
    assert_true(rh_membership_registration_state(world->nodes[1].machine) ==
                RH_MEMBERSHIP_REGISTERED);
    assert_true(world->nodes[1].registration_epoch.pzxid > 106);
    assert_true(rh_view_find(view_of(world, 2), "n1") != RH_RING_NONE);
    world_destroy(world);
}

/* Chains. */

/* 41 */
static void a_change_of_weight_goes_on_with_the_chain(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_write(world, "/requests/n1",
                "{\"number\":\"0000000000000001\",\"kind\":\"weight\",\"weight\":3,"
                "\"state\":\"asked\"}",
                0);
    world_run(world);
    expect_not(world, "lost");
    expect(world, "n1: adopt 1/109 n1:3 n2 since=104 deletions=1\n");
    assert_string_equal(view_of(world, 1)->members[0].origin, N1);
    assert_string_equal(view_of(world, 2)->names[0].text, "n1.0000000002");
    assert_string_equal(rh_view_chain(view_of(world, 2), 0), N1);
    world_forget(world);
    world_write(world, "/requests/n1",
                "{\"number\":\"0000000000000002\",\"kind\":\"weight\",\"weight\":2,"
                "\"state\":\"asked\"}",
                0);
    world_run(world);
    expect_not(world, "lost");
    expect(world, " n1:2 n2 since=104 deletions=2\n");
    assert_string_equal(view_of(world, 1)->members[0].origin, N1);
    world_destroy(world);
}

static void a_proof_during_a_change_of_weight_is_not_misunderstood(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world->nodes[1].deaf = true;
    world_write(world, "/requests/n1",
                "{\"number\":\"0000000000000001\",\"kind\":\"weight\",\"weight\":3,"
                "\"state\":\"asked\"}",
                0);
    world_event_kind(world, 1, RH_MEMBERSHIP_PROVE);
    for (int i = 0; i < 200 && count_ops(world, 1, RH_MEMBERSHIP_REGISTER) == 0; i++) {
        world_pass(world, 10);
        world_run_one(world, 1);
        world_event_kind(world, 1, RH_MEMBERSHIP_PROVE);
    }
    assert_int_equal(count_ops(world, 1, RH_MEMBERSHIP_CHECK), 0);
    world_pass(world, 2 * S);
    assert_int_equal(count_ops(world, 1, RH_MEMBERSHIP_CHECK), 0);
    /* Its answer is lost with the connection. */
    world->nodes[1].connected = false;
    world_run_one(world, 1);
    world_disconnect(world, 1);
    world->nodes[1].deaf = false;
    world_connect(world, 1);
    world_pass(world, 1000);
    expect_not(world, "lost");
    assert_true(world->now_ms - world->nodes[1].proof_ms <= 1000);
    expect(world, "n1: adopt 1/109 n1:3 n2 since=104");
    world_destroy(world);
}

static void views_tell_what_was_lost_between_them(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    struct rh_view *before = rh_view_take(rh_membership_view(world->nodes[1].machine));
    world->nodes[1].deaf = true;
    /* n4 comes and goes unseen. */
    world_start(world, 4);
    world_connect(world, 4);
    world_run(world);
    world_kill(world, 4);
    world_run(world);
    world->nodes[1].deaf = false;
    world_pass(world, 100);
    assert_int_equal(view_of(world, 1)->members_count, 3);
    assert_true(rh_view_lost(before, view_of(world, 1)));
    rh_view_give(before);
    /* A weight alone is no loss, nor is a node more. */
    before = rh_view_take(rh_membership_view(world->nodes[1].machine));
    world_write(world, "/requests/n2",
                "{\"number\":\"0000000000000001\",\"kind\":\"weight\",\"weight\":3,"
                "\"state\":\"asked\"}",
                0);
    world_run(world);
    world_start(world, 5);
    world_connect(world, 5);
    world_run(world);
    assert_true(rh_epoch_compare(before->epoch, view_of(world, 1)->epoch) < 0);
    assert_false(rh_view_lost(before, view_of(world, 1)));
    assert_false(rh_view_lost(before, before));
    rh_view_give(before);
    world_destroy(world);
}

/* Recording: V6, V7. */

static void a_complete_view_is_recorded_by_one_and_told_to_all(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 50);
    /* The third would have waited. */
    world_expect(world, "n3: asks its peers\n"
                        "n3: register weight=1\n"
                        "n1: adopt 1/108 n1 n2 n3 since=104 deletions=0\n"
                        "n2: adopt 1/108 n1 n2 n3 since=106 deletions=0\n"
                        "n3: adopt 1/108 n1 n2 n3 since=108 deletions=0\n"
                        "n1: set config generation=1\n"
                        "n2: set config generation=1\n"
                        "n1: view_recorded generation=1 epoch=108 members=3\n"
                        "n1: recorded 1/108\n"
                        "n3: recorded 1/108\n"
                        "n2: recorded 1/108\n");
    const struct rh_record *record = rh_membership_record(world->nodes[3].machine);
    assert_int_equal(record->members_count, 3);
    assert_string_equal(record->members[1].id, "n2");
    assert_string_equal(record->members[1].peer, "h:7202");
    world_destroy(world);
}

static void what_is_recorded_already_is_told_on_adoption(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    world_expire(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_forget(world);
    /* n2 comes to know of the epoch only after it was recorded: the hand of an operator. */
    world_start(world, 2);
    world_connect(world, 2);
    world_run(world);
    expect(world, "n1: recorded 1/");
    expect(world, "n2: recorded 1/");
    world_destroy(world);
}

static void a_view_that_is_not_the_adopted_one_any_more_is_not_recorded(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_COMPLETE,
                                        .epoch = {.generation = 1, .pzxid = 103}};
    world_event(world, 1, &event);
    event.epoch.pzxid = 300;
    world_event(world, 1, &event);
    world_run(world);
    world_expect(world, "");
    world_destroy(world);
}

/* Two nodes that are complete, and then are gone without a word. */
static struct world *create_past(void)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 100);
    world_vanish(world, 1);
    world_vanish(world, 2);
    world_expire_orphans(world);
    world_forget(world);
    return world;
}

static void a_view_that_shares_a_chain_with_the_record_needs_no_guard(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_vanish(world, 2);
    world_vanish(world, 3);
    world_expire_orphans(world);
    world_pass(world, 3000);
    expect(world, "n1: recorded 1/111\n");
    expect_not(world, "awaits");
    world_destroy(world);
}

static void a_view_of_strangers_waits_for_those_of_the_record(void **state RH_UNUSED)
{
    struct world *world = create_past();
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 500);
    world_expect(world, "n3: register weight=0\n"
                        "n3: adopt 1/110 n3:0 since=110 deletions=2 ignorant\n"
                        "n3: awaits n1 at h:7201, n2 at h:7202\n");
    world_pass(world, 500);
    world_expect(world, "n3: record_waits epoch=110 for=\"n1,n2\" reason=\"they were members of "
                        "the last complete view and may still serve; if they do not run: ringhop "
                        "recover\"\n");
    world_pass(world, 20000);
    expect(world, "n3: record_waits");
    assert_true(world->nodes[3].recorded.generation == 0);
    world_destroy(world);
}

static void who_restarts_at_the_same_address_is_not_waited_for(void **state RH_UNUSED)
{
    struct world *world = create_past();
    world_start(world, 1);
    world_connect(world, 1);
    world_pass(world, 500);
    expect(world, "n1: awaits n2 at h:7202\n");
    world_start(world, 2);
    world_forget(world);
    world_meet(world, 1); /* another n2 answers there, registered or not */
    world_run(world);
    world_expect(world, "n1: awaits nobody\n"
                        "n1: set config generation=1\n"
                        "n1: view_recorded generation=1 epoch=110 members=1\n"
                        "n1: recorded 1/110\n");
    world_destroy(world);
}

static void who_is_cut_off_is_waited_for_until_it_has_adopted_the_view(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 100);
    for (int i = 1; i <= 2; i++) {
        world_disconnect(world, i); /* both lose ZooKeeper, not each other */
    }
    int64_t sessions[] = {world->nodes[1].session, world->nodes[2].session};
    for (int i = 0; i < 2; i++) { /* their sessions expire unheard */
        world->nodes[5].session = sessions[i];
        world_expire(world, 5);
    }
    world_forget(world);
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 10000);
    expect(world, "n3: awaits n1 at h:7201, n2 at h:7202\n");
    world_forget(world);
    /* n1 is reached, is shown the view, and adopts it: with that it knows that it is lost. */
    world->nodes[2].dark = true;
    world_meet(world, 3);
    world_expect(world, "n1: lost\n"
                        "n1: registration_lost pause_ms=65\n"
                        "n1: adopt 1/111 n3 since=0 deletions=3\n"
                        "n3: awaits n2 at h:7202\n");
    world->nodes[2].dark = false;
    world_meet(world, 3);
    world_run(world);
    expect(world, "n3: recorded 1/111\n");
    world_destroy(world);
}

static void a_promise_keeps_a_cut_off_node_in_its_view(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 100);
    world_disconnect(world, 1);
    world_disconnect(world, 2);
    world->nodes[5].session = world->nodes[1].session;
    world_expire(world, 5);
    world->nodes[5].session = world->nodes[2].session;
    world_expire(world, 5);
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 10000);
    world_promise(world, 1, 2, 1500); /* n2 holds a lease of n1 */
    world_forget(world);
    world_meet(world, 3);
    world_promise(world, 1, 2, 9000); /* not while a view without it is put off */
    expect_not(world, "n1: promised n2");
    world_promise(world, 1, 3, 9000);
    expect(world, "n1: promised n3\n");
    expect(world, "n1: view_held epoch=111 promised_ms=1500\n");
    expect_not(world, "n1: adopt");
    expect(world, "n2: adopt 1/111 n3 since=0");
    world_pass(world, 1499);
    expect_not(world, "n1: adopt");
    world_pass(world, 1);
    expect(world, "n1: adopt 1/111 n3 since=0");
    world_destroy(world);
}

static void whom_the_operator_gives_up_is_not_waited_for(void **state RH_UNUSED)
{
    struct world *world = create_past();
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 500);
    struct rh_shared_config config;
    struct rh_record record;
    assert_int_equal(rh_shared_config_decode(rh_bytes_text(world_read(world, "/config")), &config,
                                             &record, NULL),
                     0);
    uint64_t forgotten[] = {1, 2};
    record.forgotten = forgotten;
    record.forgotten_count = 2;
    char *text = rh_shared_config_encode(&config, &record);
    assert_non_null(text);
    world_forget(world);
    world_write(world, "/config", text, 0);
    free(text);
    record.forgotten = NULL;
    rh_record_finish(&record);
    world_run(world);
    world_expect(world, "n3: awaits nobody\n"
                        "n3: set config generation=1\n"
                        "n3: view_recorded generation=1 epoch=110 members=1\n"
                        "n3: recorded 1/110\n");
    /* They are in no record any more, so there is nothing to remember. */
    assert_null(strstr(world_read(world, "/config"), "forgotten"));
    world_destroy(world);
}

static void a_later_generation_without_a_record_waits_for_the_operator(void **state RH_UNUSED)
{
    struct world *world = create();
    world_write(world, "/config",
                "{\"format\":1,\"generation\":2,\"vnodes\":8,\"replicas\":2,"
                "\"seed\":\"0000000000000000\",\"session_timeout_ms\":6000}",
                0);
    world_start(world, 1);
    world_connect(world, 1);
    world_pass(world, 2000);
    expect(world, "n1: record_waits epoch=104 for=\"everyone who was there "
                  "before\"");
    assert_true(world->nodes[1].recorded.generation == 0);
    world_write(world, "/config",
                "{\"format\":1,\"generation\":2,\"vnodes\":8,\"replicas\":2,"
                "\"seed\":\"0000000000000000\",\"session_timeout_ms\":6000,"
                "\"forgotten\":[\"0000000000000000\"]}",
                0);
    world_run(world);
    expect(world, "n1: recorded 2/104\n");
    world_destroy(world);
}

/* Stopping in order: 12.5. */

static void leave(struct world *world, int node)
{
    world_event_kind(world, node, RH_MEMBERSHIP_LEAVE);
    world_pass(world, 100);
    world_event_kind(world, node, RH_MEMBERSHIP_LEAVE_FINISH);
    world_run(world);
}

static void a_cluster_that_was_stopped_in_order_starts_again_without_help(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_pass(world, 100);
    for (int i = 1; i <= 3; i++) {
        leave(world, i);
        expect(world, "lost\n");
        world_kill(world, i);
        world_pass(world, 3000);
    }
    assert_non_null(strstr(world_read(world, "/config"), "\"members\":[]"));
    world_forget(world);
    world_start(world, 4);
    world_connect(world, 4);
    world_pass(world, 10000);
    expect_not(world, "awaits");
    assert_true(world->nodes[4].recorded.generation != 0);
    world_destroy(world);
}

static void leaving_meets_somebody_who_records(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 100);
    world_event_kind(world, 1, RH_MEMBERSHIP_LEAVE);
    world_pass(world, 100);
    world->nodes[1].deaf = true;
    world->nodes[1].watches[RH_MEMBERSHIP_WATCH_CONFIG] = false;
    world_event_kind(world, 1, RH_MEMBERSHIP_LEAVE_FINISH);
    char text[4096];
    (void)snprintf(text, sizeof(text), "%s", world_read(world, "/config"));
    world_write(world, "/config", text, 0); /* another version */
    world_forget(world);
    world->nodes[1].deaf = false;
    world_run(world);
    expect(world, "n1: unregister n1.0000000002\nn1: left\n");
    assert_null(strstr(world_read(world, "/config"), "\"n1\""));
    expect_not(world, "n1: adopt");
    world_destroy(world);
}

/* Ignorance: V9, 12.2, 12.9. */

static void a_first_start_is_believed(void **state RH_UNUSED)
{
    struct world *world = create();
    world_start(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: asks its peers\n"
                        "n1: create config generation=1\n"
                        "n1: config_written generation=1 vnodes=8 replicas=2 seed=0\n"
                        "n1: register weight=1\n"
                        "n1: adopt 1/104 n1 since=104 deletions=0\n"
                        "n1: set config generation=1\n"
                        "n1: view_recorded generation=1 epoch=104 members=1\n"
                        "n1: recorded 1/104\n");
    world_destroy(world);
}

/* 21 */
static void
a_newcomer_after_a_loss_takes_its_weight_when_its_ignorance_is_over(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_kill(world, 2);
    world_run(world);
    world_start(world, 3);
    world_forget(world);
    world_connect(world, 3);
    world_run(world);
    uint64_t start_ms = world->now_ms;
    expect(world, "n3: register weight=0\n");
    expect(world, "n3: adopt 1/110 n1 n3:0 since=110 deletions=1 ignorant\n");
    assert_int_equal(rh_membership_weight_milli(world->nodes[3].machine), RH_WEIGHT_ONE);
    world_forget(world);
    world_pass(world, S + WORLD_GRACE_MS - 1);
    expect_not(world, "register");
    world_pass(world, 1);
    assert_int_equal(world->now_ms - start_ms, S + WORLD_GRACE_MS);
    expect(world, "n3: register weight=1 replaces=n3.0000000002\n");
    expect(world, " n1 n3 since=110 deletions=2\n");
    /* Who is lost later knows what it missed. */
    world_forget(world);
    world_expire(world, 3);
    world_connect(world, 3);
    world_run(world);
    expect(world, "n3: register weight=1\n");
    world_destroy(world);
}

static void who_leaves_while_it_is_ignorant_takes_no_weight(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_kill(world, 2);
    world_run(world);
    world_start(world, 3);
    world_connect(world, 3);
    world_run(world);
    world_event_kind(world, 3, RH_MEMBERSHIP_LEAVE);
    world_forget(world);
    world_pass(world, 20000);
    expect_not(world, "n3: register");
    world_destroy(world);
}

/* 39 */
static void a_newcomer_does_not_write_a_config_while_somebody_knows_of_one(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 100);
    world_wipe(world);
    world_forget(world);
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 3500);
    world_expect(world, "n3: asks its peers\n"
                        "n3: asks its peers\n"
                        "n3: asks its peers\n"
                        "n3: asks its peers\n");
    assert_null(world_read(world, "/config"));
    world_connect(world, 1);
    world_run(world);
    expect(world, "n1: create config generation=" WORLD_RAISED_BY_N1 "\n");
    expect(world, "n3: register weight=0\n");
    world_connect(world, 2);
    world_pass(world, 15000);
    expect(world, "n3: register weight=1");
    for (int i = 1; i <= 3; i++) {
        assert_true(world->nodes[i].recorded.generation == strtoull(WORLD_RAISED_BY_N1, NULL, 10));
        assert_int_equal(view_of(world, i)->members_count, 3);
    }
    world_destroy(world);
}

static void a_newcomer_that_finds_nobody_writes_the_config(void **state RH_UNUSED)
{
    struct world *world = create();
    world->no_answers_to_newcomers = true;
    world_start(world, 1);
    world_connect(world, 1);
    world_run(world);
    expect(world, "n1: create config generation=1\n");
    world_destroy(world);
}

static void a_stranger_that_has_a_view_makes_a_newcomer_ignorant(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_wipe(world); /* and n3 asks when they cannot be reached */
    world->no_answers_to_newcomers = true;
    world_start(world, 3);
    struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_PEER_EPOCH,
        .peer_epoch = {.epoch = world->nodes[1].epoch, .from = {.id = "n1", .instance = 1}}};
    world_forget(world);
    world_event(world, 3, &event); /* n1 dials it */
    world_connect(world, 3);
    world_run(world);
    expect(world, "n3: register weight=0\n");
    expect(world, " n3:0 since=4 deletions=0 ignorant\n");
    world_destroy(world);
}

/* Generations: 12.9. */

static void
the_record_of_a_lost_generation_guards_the_first_view_of_the_next(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_pass(world, 100);
    world_wipe(world);
    world_forget(world);
    world_connect(world, 1); /* n2 and n3 stay away, and answer their peers */
    world_pass(world, 5000);
    expect(world, "n1: create config generation=" WORLD_RAISED_BY_N1 "\n");
    assert_non_null(strstr(world_read(world, "/config"), "\"last\":{\"generation\":1,"));
    expect(world, "n1: adopt " WORLD_RAISED_BY_N1 "/4 n1");
    expect(world, "n1: awaits n2 at h:7202, n3 at h:7203\n");
    assert_true(world->nodes[1].recorded.generation == 1);
    world_connect(world, 2);
    world_connect(world, 3);
    world_pass(world, 5000);
    for (int i = 1; i <= 3; i++) {
        assert_true(world->nodes[i].recorded.generation == strtoull(WORLD_RAISED_BY_N1, NULL, 10));
    }
    world_destroy(world);
}

static void who_knows_later_members_of_a_lost_generation_says_so_first(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 100);
    world_disconnect(world, 1); /* does not see how n3 comes */
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 100);
    world_wipe(world);
    world_connect(world, 1);
    world_run(world);
    assert_null(strstr(world_read(world, "/config"), "\"n3\""));
    world_forget(world);
    world_connect(world, 2);
    world_run(world);
    expect(world, "n2: members_written generation=1 epoch=108 members=3\n");
    world_destroy(world);
}

/* 66 */
static void who_was_waited_for_is_not_forgotten_with_the_data(void **state RH_UNUSED)
{
    struct world *world = create_past();
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 500);
    world_wipe(world);
    world_forget(world);
    world_connect(world, 3);
    world_pass(world, 20000);
    expect(world, "n3: create config generation=" WORLD_RAISED_BY_N3 "\n");
    expect(world, "n3: adopt " WORLD_RAISED_BY_N3 "/");
    expect(world, "n3: record_waits");
    assert_non_null(strstr(world_read(world, "/config"), "{\"id\":\"n1\""));
    assert_non_null(strstr(world_read(world, "/config"), "{\"id\":\"n2\""));
    assert_true(world->nodes[3].recorded.generation == 0);
    world_destroy(world);
}

static void who_knows_later_members_names_whom_he_waited_for_as_well(void **state RH_UNUSED)
{
    struct world *world = create_past();
    world_start(world, 3);
    world_connect(world, 3);
    world_pass(world, 500);
    world_disconnect(world, 3); /* does not see how n4 comes */
    world_start(world, 4);
    world_connect(world, 4);
    world_pass(world, 500);
    world_wipe(world);
    world_connect(world, 3);
    world_run(world);
    world_forget(world);
    world_connect(world, 4);
    world_run(world);
    expect(world, "n4: members_written generation=1 epoch=111 members=4\n");
    world_destroy(world);
}

static void nobody_knows_who_was_there_after_another_loss_either(void **state RH_UNUSED)
{
    struct world *world = create();
    world_write(world, "/config",
                "{\"format\":1,\"generation\":2,\"vnodes\":8,\"replicas\":2,"
                "\"seed\":\"0000000000000000\",\"session_timeout_ms\":6000}",
                0);
    for (int i = 1; i <= 2; i++) {
        world_start(world, i);
        world_connect(world, i);
        world_pass(world, 2000);
    }
    world_wipe(world);
    world_forget(world);
    world_connect(world, 1);
    world_pass(world, 2000);
    world_connect(world, 2);
    world_pass(world, 5000);
    expect(world, "n1: create config generation=23748\n");
    expect(world, "n1: record_waits");
    assert_null(strstr(world_read(world, "/config"), "\"last\""));
    assert_true(world->nodes[1].recorded.generation == 0);
    assert_true(world->nodes[2].recorded.generation == 0);
    world_destroy(world);
}

static void who_began_another_cluster_meanwhile_is_waited_for(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 100);
    world_wipe(world);
    world_write(
        world, "/config",
        "{\"format\":1,\"generation\":1,\"vnodes\":8,\"replicas\":2,"
        "\"seed\":\"0000000000000000\",\"session_timeout_ms\":6000,"
        "\"last\":{\"generation\":1,\"pzxid\":500,\"members\":[{\"id\":\"n9\","
        "\"instance\":\"0000000000000009\",\"origin\":\"n9.0000000001\",\"peer\":\"h:7209\"}]}}",
        0);
    world_forget(world);
    world_connect(world, 1);
    world_pass(world, 5000);
    expect(world, "n1: set config generation=" WORLD_RAISED_BY_N1 "\n");
    for (int i = 1; i <= 3; i++) {
        static const char *const names[] = {"{\"id\":\"n1\"", "{\"id\":\"n2\"", "{\"id\":\"n9\""};
        assert_non_null(strstr(world_read(world, "/config"), names[i - 1]));
    }
    expect(world, "n1: awaits n2 at h:7202, n9 at h:7209\n");
    world_destroy(world);
}

static void all_are_lost_with_the_data_though_registrations_stand(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_pass(world, 100);
    world_forget(world);
    world_write(world, "/config", NULL, 0);
    world_pass(world, 10000);
    expect(world, "n1: lost\n");
    expect(world, "n2: lost\n");
    expect(world, "n1: adopt " WORLD_RAISED_BY_N2 "/106 n1 n2 since=104");
    assert_true(world->nodes[1].recorded.generation == strtoull(WORLD_RAISED_BY_N2, NULL, 10));
    assert_true(world->nodes[2].recorded.generation == strtoull(WORLD_RAISED_BY_N2, NULL, 10));
    world_destroy(world);
}

/* The config. */

/* 40 */
static void another_session_timeout_is_refused(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    world->config.session_timeout_ms = 10000;
    world_start(world, 2);
    world_connect(world, 2);
    world_run(world);
    world_expect(world, "n2: fatal zookeeper.session_timeout is 10000ms in cluster.yaml and 6000ms "
                        "in the cluster's config in ZooKeeper\n");
    world_destroy(world);
}

static void a_config_of_an_earlier_version_is_completed(void **state RH_UNUSED)
{
    struct world *world = create();
    world_write(world, "/config",
                "{\"format\":1,\"generation\":1,\"vnodes\":8,\"replicas\":2,"
                "\"seed\":\"0000000000000000\"}",
                0);
    for (int i = 1; i <= 2; i++) {
        world_start(world, i);
        world_connect(world, i);
    }
    world_run(world);
    expect(world, "n1: config_completed session_timeout_ms=6000\n");
    assert_non_null(strstr(world_read(world, "/config"), "\"session_timeout_ms\":6000"));
    assert_int_equal(view_of(world, 2)->members_count, 2);
    assert_int_equal(view_of(world, 2)->config.session_timeout_ms, 6000);
    world_destroy(world);
}

/* Views that peers show. */

static void a_view_of_a_peer_is_taken_while_zookeeper_is_away(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_pass(world, 100);
    world_disconnect(world, 1);
    world_start(world, 4);
    world_connect(world, 4);
    world_pass(world, 100);
    world_forget(world);
    world_show(world, 1, 2);
    expect(world, "n1: adopt 1/110 n1 n2 n3 n4 since=104 deletions=0\n");
    world_pass(world, 500);
    expect(world, "n4: recorded 1/110\n");
    expect_not(world, "n1: recorded"); /* that is in ZooKeeper only */
    world_forget(world);
    /* Never backwards, and not twice. */
    world_show(world, 1, 2);
    world_show(world, 2, 1);
    world_expect(world, "");
    world_connect(world, 1);
    world_pass(world, 3000);
    world_expect(world, "n1: recorded 1/110\n");
    world_destroy(world);
}

static void a_view_of_a_peer_that_lacks_who_answers_is_put_off(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_lag(world, 1); /* n1 hears nothing new */
    world_kill(world, 3);
    world_link(world, 1, 3, true); /* but to n1 it seems that n3 answers */
    world->nodes[1].deaf = true;
    world_pass(world, 3000);
    world_forget(world);
    world_show(world, 1, 2);
    expect(world, "n1: view_held epoch=110 missing=n3 grace_ms=2000\n");
    world_pass(world, 2000);
    expect(world, "n1: adopt 1/110 n1 n2 since=104 deletions=1\n");
    world_destroy(world);
}

static void a_view_of_a_peer_without_us_makes_us_lost(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_disconnect(world, 1);
    world->nodes[5].session = world->nodes[1].session;
    world_expire(world, 5);
    world_pass(world, 3000);
    expect(world, "n2: adopt 1/110 n2 n3");
    world_forget(world);
    world_show(world, 1, 2); /* we answer to ourselves: put off, and lost all the same */
    world_expect(world, "n1: lost\n"
                        "n1: registration_lost pause_ms=65\n"
                        "n1: view_held epoch=110 missing=n1 grace_ms=2000\n");
    world_destroy(world);
}

static void a_view_from_before_our_registration_is_passed_over(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_expire(world, 1);
    world->nodes[1].deaf = true;
    world_pass(world, 3000);
    struct rh_view *old = rh_view_take(rh_membership_view(world->nodes[2].machine));
    assert_int_equal(old->members_count, 2);
    world->nodes[2].deaf = true; /* stays in that view */
    world->nodes[1].deaf = false;
    world_connect(world, 1);
    world_run(world);
    assert_true(view_of(world, 1)->members_count == 3);
    world_forget(world);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_VIEW, .view = old};
    world_event(world, 1, &event);
    world_expect(world, "");
    rh_view_give(old);
    world_destroy(world);
}

static void a_view_with_other_parameters_is_none(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 1);
    const struct rh_view *view = view_of(world, 1);
    struct rh_shared_config config = view->config;
    config.vnodes++;
    struct rh_view_source source = {.epoch = {.generation = 1, .pzxid = 500},
                                    .config = &config,
                                    .members = view->members,
                                    .czxids = view->czxids,
                                    .names = view->names,
                                    .members_count = 1};
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_VIEW};
    assert_int_equal(rh_view_build(&source, &event.view), 0);
    world_event(world, 1, &event);
    world_expect(world, "");
    rh_view_give(event.view);
    world_destroy(world);
}

static void a_view_of_a_peer_is_no_sign_that_data_was_lost(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 3);
    world_event_kind(world, 1, RH_MEMBERSHIP_CATCH_UP);
    world_run(world); /* from here on its server was up to the leader once */
    world_lag(world, 1);
    world_start(world, 4);
    world_connect(world, 4);
    world_run(world);
    world_forget(world);
    world_show(world, 1, 2);
    world_event_kind(world, 1, RH_MEMBERSHIP_CATCH_UP); /* of a server that still lags */
    world_pass(world, 3000);
    expect(world, "n1: adopt 1/110 n1 n2 n3 n4");
    expect_not(world, "generation_raised");
    world_destroy(world);
}

static void a_sync_from_before_a_view_of_a_peer_says_nothing(void **state RH_UNUSED)
{
    struct world *world = create();
    world->replicate = false; /* a proof would bring the server up to date */
    world_settle(world, 3);
    world_lag(world, 1);
    struct world_tree *before = malloc(sizeof(*before));
    assert_non_null(before);
    *before = *world->nodes[1].stale;
    world_start(world, 4);
    world_connect(world, 4);
    world->nodes[1].deaf = true;
    world_run(world);
    world_event_kind(world, 1, RH_MEMBERSHIP_CATCH_UP);
    assert_int_equal(count_ops(world, 1, RH_MEMBERSHIP_SYNC), 1); /* done there, says the leader */
    world_forget(world);
    world_show(world, 1, 2);
    world->nodes[1].deaf = false;
    world_run_one(world, 1);
    free(world->nodes[1].stale);
    world->nodes[1].stale = before; /* what the server had by then */
    world_pass(world, 3000);
    expect_not(world, "generation_raised");
    expect_not(world, "config generation=2");
    world_destroy(world);
}

static void who_is_told_to_catch_up_all_the_time_does_so(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_lag(world, 1);
    world_start(world, 3);
    world_connect(world, 3);
    world_run(world);
    world_forget(world);
    for (int i = 0; i < 30; i++) { /* frames of a later epoch come between any two answers */
        world_event_kind(world, 1, RH_MEMBERSHIP_CATCH_UP);
        if (world->nodes[1].ops_count > 0) {
            world_run_one(world, 1);
        }
    }
    expect(world, "n1: adopt 1/108 n1 n2 n3 ");
    world_run(world);
    world->trace_reads = true;
    world_forget(world);
    world_pass(world, 500);
    world_expect(world, ""); /* and that was it */
    world_destroy(world);
}

static void a_weight_that_was_replaced_is_no_loss_at_a_first_start(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    ask_weight(world, 1, 3);
    world_run(world);
    world_forget(world);
    world_start(world, 3);
    world_connect(world, 3);
    world_run(world);
    expect(world, "n3: register weight=1\n");
    expect(world, " n1:3 n2 n3 since=112 deletions=1\n");
    /* Twice replaced is more than anybody can tell from what stands there. */
    ask_weight(world, 1, 2);
    world_run(world);
    world_start(world, 4);
    world_connect(world, 4);
    world_run(world);
    expect(world, "n4: register weight=0\n");
    world_destroy(world);
}

static void a_weight_once_taken_is_kept(void **state RH_UNUSED)
{
    struct world *world = create();
    world_settle(world, 2);
    world_start(world, 3);
    world_connect(world, 3);
    for (int i = 0; i < 20 && !world_traced(world, "n3: register weight=1\n"); i++) {
        world_run_one(world, 3);
    }
    world_kill(world, 2); /* between its registration and its first view */
    world->nodes[3].deaf = true;
    world_run(world);
    world->nodes[3].deaf = false;
    world_run(world);
    expect(world, "n3: adopt 1/110 n1 n3 since=110 deletions=1 ");
    expect(world, "ignorant\n"); /* and waits for losses before its time */
    world_forget(world);
    world_pass(world, 10000);
    expect_not(world, "n3: register");
    world_destroy(world);
}

/* Anything. */

static void disturb_links(struct world *world, int node, int peer)
{
    struct world_node *it = &world->nodes[node];
    switch (world_random(world, 6)) {
    case 0:
        if (node != peer && it->linked[peer] != 0) {
            world_link(world, node, peer, false);
            world_dead(world, node, peer);
        }
        return;
    case 1:
        if (it->machine != NULL && world->nodes[peer].machine != NULL) {
            world_promise(world, node, peer, world_random(world, 2000));
        }
        return;
    case 2:
        if (it->machine != NULL && world->nodes[peer].machine != NULL &&
            rh_membership_view(world->nodes[peer].machine) != NULL) {
            world_show(world, node, peer);
        }
        return;
    case 3:
        if (it->machine != NULL) {
            world_meet(world, node);
        }
        return;
    case 4:
        it->dark = !it->dark;
        return;
    default:
        world_peer_epoch(world, node, world->nodes[peer].epoch.generation,
                         world->nodes[peer].epoch.pzxid);
    }
}

/* What was sent to that leader is never answered. */
static void end_deposition(struct world *world, int node)
{
    if (world->nodes[node].leader_is_deposed && world->nodes[node].connected) {
        world_disconnect(world, node);
    }
    world->nodes[node].leader_is_deposed = false;
}

static void disturb_session(struct world *world, int node)
{
    struct world_node *it = &world->nodes[node];
    switch (world_random(world, 7)) {
    case 0:
    case 1:
        if (it->machine != NULL && !it->connected) {
            world_connect(world, node);
        }
        return;
    case 2:
        if (it->connected) {
            world_disconnect(world, node);
        }
        return;
    case 3:
        if (it->machine != NULL && it->session != 0) {
            world_expire(world, node);
        }
        return;
    case 4: /* unheard */
        if (it->machine != NULL && !it->connected && it->session != 0) {
            world->nodes[5].session = it->session;
            world_expire(world, 5);
        }
        return;
    case 5:
        if (it->connected) {
            world_lag(world, node);
        }
        return;
    default:
        end_deposition(world, node);
        it->leader_is_deposed = world_random(world, 2) == 0;
    }
}

static void disturb(struct world *world)
{
    int node = 1 + (int)world_random(world, 4);
    struct world_node *it = &world->nodes[node];
    switch (world_random(world, 10)) {
    case 0:
        if (it->machine != NULL && world_random(world, 2) == 0) {
            world_kill(world, node);
        } else if (it->machine != NULL) {
            world_vanish(world, node);
        }
        return;
    case 1:
        if (it->machine == NULL) {
            world_start(world, node);
            world_connect(world, node);
        }
        return;
    case 2:
    case 3:
        disturb_session(world, node);
        return;
    case 4:
    case 5:
        disturb_links(world, node, 1 + (int)world_random(world, 4));
        return;
    case 6:
        ask_weight(world, node, world_random(world, 3));
        return;
    case 7:
        if (it->ops_count > 0) {
            world_run_one(world, node);
        }
        return;
    case 8:
        world_probed(world, node, (enum rh_membership_probe)(1 + world_random(world, 2)));
        return;
    default:
        world_pass(world, world_random(world, 3000));
        return;
    }
}

/* What an operator does in the end: nobody runs but those who do. */
static void recover(struct world *world)
{
    struct rh_shared_config config;
    struct rh_record record;
    const char *text = world_read(world, "/config");
    if (text == NULL || rh_shared_config_decode(rh_bytes_text(text), &config, &record, NULL) != 0) {
        return;
    }
    uint64_t forgotten[64] = {0};
    size_t count = 1; /* and who is not known */
    for (size_t i = 0; i < record.members_count; i++) {
        bool runs = false;
        for (int n = 1; n <= 4; n++) {
            runs |= world->nodes[n].machine != NULL &&
                    world->nodes[n].registration.instance == record.members[i].instance;
        }
        if (!runs) {
            forgotten[count++] = record.members[i].instance;
        }
    }
    free(record.forgotten);
    record.forgotten = forgotten;
    record.forgotten_count = count;
    char *changed = rh_shared_config_encode(&config, &record);
    assert_non_null(changed);
    world_write(world, "/config", changed, 0);
    free(changed);
    record.forgotten = NULL;
    rh_record_finish(&record);
}

static void end_trouble(struct world *world)
{
    for (int i = 1; i <= 4; i++) {
        struct world_node *node = &world->nodes[i];
        node->dark = false;
        end_deposition(world, i);
        if (node->machine != NULL) {
            world_catch_up(world, i);
            if (!node->connected) {
                world_connect(world, i);
            }
        }
    }
    world_expire_orphans(world);
    for (int round = 0; round < 40; round++) {
        world_pass(world, 2500);
        for (int i = 1; i <= 4; i++) {
            world_probed(world, i, RH_MEMBERSHIP_PROBE_DEAD);
            if (world->nodes[i].machine != NULL) {
                world_meet(world, i);
            }
        }
        if (round == 30) {
            recover(world);
        }
    }
}

/* All who run are in one view, which is recorded, and can prove it. */
static void check_peace(struct world *world)
{
    struct rh_epoch epoch = {0};
    size_t alive = 0;
    for (int i = 1; i <= 4; i++) {
        alive += world->nodes[i].machine != NULL;
    }
    for (int i = 1; i <= 4; i++) {
        const struct world_node *node = &world->nodes[i];
        if (node->machine == NULL) {
            continue;
        }
        const struct rh_view *view = view_of(world, i);
        epoch = epoch.generation == 0 && view != NULL ? view->epoch : epoch;
        if (view == NULL || view->members_count != alive ||
            rh_epoch_compare(view->epoch, epoch) != 0 ||
            rh_epoch_compare(node->recorded, epoch) != 0 ||
            world->now_ms - node->proof_ms > S / 6 + 1) {
            if (!world->mute) {
                (void)fputs(world->trace, stderr);
            }
            fail_msg(
                "RH_TEST_SEED=%llu: n%d is not at rest: view of %zu, recorded %lld, last proof "
                "%llu ms ago, session %d, registration %d",
                (unsigned long long)world->seed, i, view == NULL ? 0 : view->members_count,
                (long long)node->recorded.pzxid,
                (unsigned long long)(world->now_ms - node->proof_ms),
                (int)rh_membership_session_state(node->machine),
                (int)rh_membership_registration_state(node->machine));
        }
    }
}

static void whatever_happens_the_view_of_all_is_recorded_in_the_end(void **state RH_UNUSED)
{
    const char *given = getenv("RH_TEST_SEED");
    uint64_t first = given == NULL ? 1 : strtoull(given, NULL, 10);
    uint64_t last = given == NULL ? 1000 : first;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct world *world = create();
        world->mute = given == NULL;
        world_trouble(world, seed, 150, seed % 3 == 0 ? 71 : -1, disturb);
        world_forget(world);
        end_trouble(world);
        check_peace(world);
        world_destroy(world);
    }
}

static void memory_that_is_short_only_delays(void **state RH_UNUSED)
{
    unsigned failures = 0;
    for (unsigned nth = 1; nth < 600; nth++) {
        struct world *world = create();
        world->mute = true;
        world_settle(world, 1);
        world_start(world, 2);
        rh_test_allocation_fail(nth);
        world_connect(world, 2);
        world_pass(world, 3000);
        world_vanish(world, 1);
        world_expire_orphans(world);
        world_promise(world, 2, 1, 100);
        world_pass(world, 3000);
        bool failed = rh_test_allocation_failed();
        failures += failed;
        rh_test_allocation_fail(0);
        world_pass(world, 20000);
        assert_true(rh_epoch_compare(world->nodes[2].recorded, world->nodes[2].epoch) == 0);
        assert_int_equal(view_of(world, 2)->members_count, 1);
        world_destroy(world);
        if (!failed) {
            break;
        }
    }
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_registered_node_proves_it_each_sixth_of_the_session_timeout),
        RH_TEST(a_proof_counts_from_when_it_was_sent),
        RH_TEST(proofs_that_are_wanted_come_at_once_but_not_in_a_flood),
        RH_TEST(a_proof_is_wanted_anew_in_each_connection),
        RH_TEST(without_the_option_only_who_asks_gets_a_proof),
        RH_TEST(a_deposed_leader_answers_a_sync_and_proves_nothing),
        RH_TEST(a_refused_proof_says_that_the_registration_is_gone),
        RH_TEST(somebody_who_writes_into_our_registration_ends_it),
        RH_TEST(a_node_is_lost_as_soon_as_it_reads_so_though_the_view_is_put_off),
        RH_TEST(an_expired_session_is_a_loss),
        RH_TEST(another_session_is_a_loss_though_the_registration_stands),
        RH_TEST(a_registration_that_was_lost_is_not_taken_up_again),
        RH_TEST(a_change_of_weight_goes_on_with_the_chain),
        RH_TEST(a_proof_during_a_change_of_weight_is_not_misunderstood),
        RH_TEST(views_tell_what_was_lost_between_them),
        RH_TEST(a_complete_view_is_recorded_by_one_and_told_to_all),
        RH_TEST(what_is_recorded_already_is_told_on_adoption),
        RH_TEST(a_view_that_is_not_the_adopted_one_any_more_is_not_recorded),
        RH_TEST(a_view_that_shares_a_chain_with_the_record_needs_no_guard),
        RH_TEST(a_view_of_strangers_waits_for_those_of_the_record),
        RH_TEST(who_restarts_at_the_same_address_is_not_waited_for),
        RH_TEST(who_is_cut_off_is_waited_for_until_it_has_adopted_the_view),
        RH_TEST(a_promise_keeps_a_cut_off_node_in_its_view),
        RH_TEST(whom_the_operator_gives_up_is_not_waited_for),
        RH_TEST(a_later_generation_without_a_record_waits_for_the_operator),
        RH_TEST(a_cluster_that_was_stopped_in_order_starts_again_without_help),
        RH_TEST(leaving_meets_somebody_who_records),
        RH_TEST(a_first_start_is_believed),
        RH_TEST(a_newcomer_after_a_loss_takes_its_weight_when_its_ignorance_is_over),
        RH_TEST(who_leaves_while_it_is_ignorant_takes_no_weight),
        RH_TEST(a_newcomer_does_not_write_a_config_while_somebody_knows_of_one),
        RH_TEST(a_newcomer_that_finds_nobody_writes_the_config),
        RH_TEST(a_stranger_that_has_a_view_makes_a_newcomer_ignorant),
        RH_TEST(the_record_of_a_lost_generation_guards_the_first_view_of_the_next),
        RH_TEST(who_knows_later_members_of_a_lost_generation_says_so_first),
        RH_TEST(who_was_waited_for_is_not_forgotten_with_the_data),
        RH_TEST(who_knows_later_members_names_whom_he_waited_for_as_well),
        RH_TEST(nobody_knows_who_was_there_after_another_loss_either),
        RH_TEST(who_began_another_cluster_meanwhile_is_waited_for),
        RH_TEST(all_are_lost_with_the_data_though_registrations_stand),
        RH_TEST(another_session_timeout_is_refused),
        RH_TEST(a_config_of_an_earlier_version_is_completed),
        RH_TEST(a_view_of_a_peer_is_taken_while_zookeeper_is_away),
        RH_TEST(a_view_of_a_peer_that_lacks_who_answers_is_put_off),
        RH_TEST(a_view_of_a_peer_without_us_makes_us_lost),
        RH_TEST(a_view_from_before_our_registration_is_passed_over),
        RH_TEST(a_view_with_other_parameters_is_none),
        RH_TEST(a_view_of_a_peer_is_no_sign_that_data_was_lost),
        RH_TEST(a_sync_from_before_a_view_of_a_peer_says_nothing),
        RH_TEST(who_is_told_to_catch_up_all_the_time_does_so),
        RH_TEST(a_weight_that_was_replaced_is_no_loss_at_a_first_start),
        RH_TEST(a_weight_once_taken_is_kept),
        RH_TEST(whatever_happens_the_view_of_all_is_recorded_in_the_end),
        RH_TEST(memory_that_is_short_only_delays),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
