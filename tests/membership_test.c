/* SPDX-License-Identifier: Apache-2.0 */
#include "node/membership.h"
#include "tests/allocation.h"
#include "tests/membership_world.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N1 "n1.0000000000"
#define N2 "n2.0000000001"
#define N3 "n3.0000000002"

/* Registering. */

static void the_first_node_writes_the_config_and_registers(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world->trace_reads = true;
    world_start(world, 1);
    world_expect(world, "");
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: open\n"
                        "n1: read config\n"
                        "n1: create config generation=1\n"
                        "n1: config_written generation=1 vnodes=8 replicas=2 seed=0\n"
                        "n1: read config\n"
                        "n1: read request\n"
                        "n1: list\n"
                        "n1: register weight=1\n"
                        "n1: list\n"
                        "n1: read " N1 "\n"
                        "n1: adopt 1/104 n1\n");
    world_pass(world, 3600 * 1000);
    world_expect(world, "");
    world_destroy(world);
}

static void a_second_node_joins_and_both_adopt_one_view(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world->trace_reads = true;
    world_start(world, 2);
    world_connect(world, 2);
    world_run(world);
    world_expect(world, "n2: open\n"
                        "n2: read config\n"
                        "n2: read request\n"
                        "n2: list\n"
                        "n2: read " N1 "\n"
                        "n2: register weight=1\n"
                        "n1: list\n"
                        "n2: list\n"
                        "n1: read " N2 "\n"
                        "n2: read " N2 "\n"
                        "n1: adopt 1/105 n1 n2\n"
                        "n2: adopt 1/105 n1 n2\n");
    world_destroy(world);
}

static void of_two_nodes_that_write_the_config_at_once_one_succeeds(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_start(world, 1);
    world_start(world, 2);
    world_connect(world, 1);
    world_connect(world, 2);
    world_run(world);
    world_expect(world, "n1: create config generation=1\n"
                        "n2: create config generation=1\n"
                        "n1: config_written generation=1 vnodes=8 replicas=2 seed=0\n"
                        "n1: register weight=1\n"
                        "n2: register weight=1\n"
                        "n1: adopt 1/104 n1\n"
                        "n1: adopt 1/105 n1 n2\n"
                        "n2: adopt 1/105 n1 n2\n");
    world_destroy(world);
}

static void a_config_that_differs_is_fatal_and_the_field_is_named(void **state RH_UNUSED)
{
    static const struct {
        const char *config;
        const char *trace;
    } cases[] = {
        {"{\"format\":1,\"generation\":1,\"vnodes\":9,\"replicas\":2,\"seed\":"
         "\"0000000000000000\"}",
         "n1: fatal ring.vnodes is 8 in cluster.yaml and 9 in the cluster's config in ZooKeeper\n"},
        {"{\"format\":1,\"generation\":1,\"vnodes\":8,\"replicas\":3,\"seed\":"
         "\"0000000000000000\"}",
         "n1: fatal ring.replicas is 2 in cluster.yaml and 3 in the cluster's config in "
         "ZooKeeper\n"},
        {"{\"format\":1,\"generation\":1,\"vnodes\":8,\"replicas\":2,\"seed\":"
         "\"00000000000000ff\"}",
         "n1: fatal ring.seed is 0 in cluster.yaml and 255 in the cluster's config in ZooKeeper\n"},
        {"{\"format\":2}", "n1: fatal the cluster's config in ZooKeeper: format: is 2, this "
                           "software knows 1\n"},
        {"", "n1: fatal the cluster's config in ZooKeeper: not JSON: '[' or '{' expected near end "
             "of file at byte 0\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *world = world_create();
        world_write(world, "/config", cases[i].config, 0);
        world_start(world, 1);
        world_connect(world, 1);
        world_run(world);
        world_expect(world, cases[i].trace);
        assert_int_equal(world_members_count(world), 0);
        assert_int_equal(rh_membership_registration_state(world->nodes[1].machine),
                         RH_MEMBERSHIP_REFUSED);
        /* The last word. */
        world_expire(world, 1);
        world_connect(world, 1);
        world_pass(world, 100000);
        world_expect(world, "");
        world_destroy(world);
    }
}

static void a_config_that_goes_bad_later_is_ignored_and_told_once(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world_write(world, "/config", "{\"format\":1,\"generation\":1,\"vnodes\":0}", 0);
    world_run(world);
    world_expect(world, "n1: config_ignored reason=\"vnodes: 0 is not within 1 to 65536\"\n");
    world_disconnect(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "");
    world_write(world, "/config",
                "{\"format\":1,\"generation\":1,\"vnodes\":9,\"replicas\":2,"
                "\"seed\":\"0000000000000000\"}",
                0);
    world_run(world);
    world_expect(world, "n1: config_ignored reason=\"ring.vnodes is 8 in cluster.yaml and 9 in the "
                        "cluster's config in ZooKeeper\"\n");
    /* Whoever joins now has to be right, of course. */
    world_start(world, 2);
    world_connect(world, 2);
    world_run(world);
    assert_true(world_traced(world, "n2: fatal"));
    assert_false(world_traced(world, "n1"));
    world_destroy(world);
}

static void nothing_is_adopted_before_this_node_is_in_it(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world->fail_writes = RH_ERR_REFUSED;
    world_start(world, 2);
    world_connect(world, 2);
    world_pass(world, 3000);
    assert_null(rh_membership_view(world->nodes[2].machine));
    /* Tried again and again, told once. */
    world_expect(world, "n2: register weight=1\n"
                        "n2: zookeeper_refused operation=register reason=\"refused\"\n"
                        "n2: register weight=1\n"
                        "n2: register weight=1\n"
                        "n2: register weight=1\n"
                        "n2: register weight=1\n"
                        "n2: register weight=1\n"
                        "n2: register weight=1\n");
    world->fail_writes = 0;
    world_pass(world, 1000);
    world_expect(world, "n2: register weight=1\n"
                        "n1: adopt 1/105 n1 n2\n"
                        "n2: adopt 1/105 n1 n2\n");
    world_destroy(world);
}

/* Consistent snapshots. */

static void a_child_that_is_gone_when_it_is_read_means_list_again(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world->trace_reads = true;
    world_start(world, 3);
    world_connect(world, 3);
    for (int i = 0; i < 4; i++) { /* parents, config, request, list */
        world_run_one(world, 3);
    }
    world->nodes[1].deaf = true;
    world_expire(world, 2);
    world_run(world);
    /* The watch had fired as well, but the reads were on their way. */
    world_expect(world, "n3: open\n"
                        "n3: read config\n"
                        "n3: read request\n"
                        "n3: list\n"
                        "n3: read " N1 "\n"
                        "n3: read " N2 "\n"
                        "n1: list\n"
                        "n3: list\n"
                        "n3: register weight=1\n"
                        "n3: list\n"
                        "n3: read " N3 "\n"
                        "n3: adopt 1/107 n1 n3\n");
    world_destroy(world);
}

static void a_child_that_is_newer_than_the_list_means_list_again(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world->nodes[1].deaf = true;
    world_start(world, 2);
    world_connect(world, 2);
    world_run(world);
    world_forget(world);
    /* n1's server shows a list from before n2, and yet the znode of it: as when another server
     * answers the read. */
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_RESULT};
    world->trace_reads = true;
    assert_int_equal(world->nodes[1].ops_count, 1); /* the list */
    const char *names[] = {N1, N2};
    event.result = (struct rh_membership_result){
        .number = world->nodes[1].ops[0].number, .pzxid = 104, .names = names, .names_count = 2};
    world->nodes[1].ops_count = 0;
    world_event(world, 1, &event);
    world->nodes[1].deaf = false;
    world_run(world);
    world_expect(world, "n1: read " N2 "\n"
                        "n1: list\n"
                        "n1: adopt 1/105 n1 n2\n");
    world_destroy(world);
}

static void what_is_known_is_not_read_again(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world->trace_reads = true;
    world_disconnect(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: read config\n"
                        "n1: read request\n"
                        "n1: list\n");
    world_destroy(world);
}

static void a_known_name_with_other_data_is_read_again_in_a_new_session(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_expire(world, 1);
    world_forget(world);
    world->trace_reads = true;
    world_connect(world, 1);
    world_run(world);
    assert_true(world_traced(world, "n1: read " N2));
    world_destroy(world);
}

static void many_members_are_read_in_batches(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    for (int i = 0; i < 50; i++) {
        char path[64];
        char data[256];
        (void)snprintf(path, sizeof(path), "/members/m%d.%010d", i, i);
        (void)snprintf(data, sizeof(data),
                       "{\"id\":\"m%d\",\"instance\":\"%016x\",\"weight\":1,\"url\":\"ws://h:1\","
                       "\"peer\":\"h:1\"}",
                       i, 0x100 + i);
        world->mute = true;
        world_write(world, path, data, 77);
    }
    world_run(world);
    assert_int_equal(rh_membership_view(world->nodes[1].machine)->members_count, 51);
    world_destroy(world);
}

static void malformed_registrations_are_no_members_and_told_once(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    static const char good[] = "{\"id\":\"x1\",\"instance\":\"00000000000000aa\",\"weight\":1,"
                               "\"url\":\"ws://h:1\",\"peer\":\"h:1\"}";
    world_write(world, "/members/x1.0000000001", good, 0);
    world_write(world, "/members/x2.0000000002", good, 7);
    world_write(world, "/members/x3.0000000003", "", 7);
    world_write(world, "/members/x4", "{}", 7);
    world_write(world, "/members/.0000000005", "{}", 7);
    world_write(world, "/members/x/1.0000000006", good, 7);
    world_run(world);
    world_expect(world,
                 "n1: registration_ignored name=\"x/1.0000000006\" reason=\"the name is not "
                 "<id>.<ten digits>\"\n"
                 "n1: registration_ignored name=\".0000000005\" reason=\"the name is not <id>.<ten "
                 "digits>\"\n"
                 "n1: registration_ignored name=\"x4\" reason=\"the name is not <id>.<ten "
                 "digits>\"\n"
                 "n1: registration_ignored name=\"x1.0000000001\" reason=\"not ephemeral\"\n"
                 "n1: registration_ignored name=\"x2.0000000002\" reason=\"id: \"x1\" does not fit "
                 "the name\"\n"
                 "n1: registration_ignored name=\"x3.0000000003\" reason=\"not JSON: '[' or '{' "
                 "expected near end of file at byte 0\"\n"
                 "n1: adopt 1/109 n1\n");
    world_write(world, "/members/x3.0000000003", NULL, 0);
    world_run(world);
    world_expect(world, "n1: adopt 1/111 n1\n");
    world_destroy(world);
}

static void more_children_than_the_limit_are_not_looked_at(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world->nodes[1].deaf = true;
    world_write(world, "/members/x", "", 0);
    size_t count = RH_MEMBERSHIP_MEMBERS_MAX + 1000;
    char(*names)[16] = malloc(count * sizeof(*names));
    const char **list = malloc(count * sizeof(*list));
    assert_non_null(names);
    assert_non_null(list);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "junk%zu", i);
        list[i] = names[i];
    }
    list[0] = N1;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_RESULT,
                                        .result = {.number = world->nodes[1].ops[0].number,
                                                   .pzxid = 200,
                                                   .names = list,
                                                   .names_count = count}};
    world->nodes[1].ops_count = 0;
    world_event(world, 1, &event);
    assert_true(world_traced(world, "registrations_ignored listed=5096 looked_at=4096"));
    assert_true(world_traced(world, "n1: adopt 1/200 n1\n"));
    free(names);
    free(list);
    world_destroy(world);
}

/* Who has our id. */

static void an_id_that_is_held_by_a_live_node_is_refused(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world_vanish(world, 1); /* n1 lives on in ZooKeeper; this is the other one */
    world_start(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: probe n1 at h:7201\n");
    world_probed(world, 1, RH_MEMBERSHIP_PROBE_ANSWERS);
    world_expect(world, "n1: id_held id=n1 instance=0000000000000001 peer=h:7201 probe=answers\n"
                        "n1: fatal id n1 is held by a live node at h:7201 (instance "
                        "0000000000000001)\n");
    assert_int_equal(world_members_count(world), 1);
    world_destroy(world);
}

static void a_dead_holder_is_replaced_in_one_transaction(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_vanish(world, 1);
    world_start(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_probed(world, 1, RH_MEMBERSHIP_PROBE_DEAD);
    world_run(world);
    world_expect(world, "n1: probe n1 at h:7201\n"
                        "n1: id_held id=n1 instance=0000000000000001 peer=h:7201 probe=dead\n"
                        "n1: register weight=1 replaces=" N1 "\n"
                        "n2: adopt 1/106 n1 n2\n"
                        "n1: adopt 1/106 n1 n2\n");
    world_destroy(world);
}

static void a_holder_that_neither_answers_nor_is_dead_is_waited_for(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    int64_t session = world->nodes[1].session;
    world_vanish(world, 1);
    world_start(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_probed(world, 1, RH_MEMBERSHIP_PROBE_UNKNOWN);
    world_pass(world, 1000);
    world_expect(world, "n1: probe n1 at h:7201\n"
                        "n1: id_held id=n1 instance=0000000000000001 peer=h:7201 probe=unknown\n"
                        "n1: probe n1 at h:7201\n");
    /* Nobody answers that one at all: as good as unknown. */
    world_pass(world, 11000);
    world_expect(world, "n1: id_held id=n1 instance=0000000000000001 peer=h:7201 probe=unknown\n"
                        "n1: probe n1 at h:7201\n");
    /* Its session ends. A late answer changes nothing. */
    world->nodes[1].deaf = true;
    world->nodes[5].session = session;
    world_expire(world, 5);
    world->nodes[1].deaf = false;
    world_run(world);
    world_probed(world, 1, RH_MEMBERSHIP_PROBE_ANSWERS);
    world_run(world);
    world_expect(world, "n1: register weight=1\n"
                        "n2: view_held epoch=106 missing=n1 grace_ms=2000\n"
                        "n2: adopt 1/107 n1 n2\n"
                        "n1: adopt 1/107 n1 n2\n");
    world_destroy(world);
}

static void a_holder_that_changes_is_probed_anew(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world_vanish(world, 1);
    world_start(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_forget(world);
    struct rh_node_ref before = world->nodes[1].probed;
    world_write(
        world, "/members/n1.0000000009",
        "{\"id\":\"n1\",\"instance\":\"00000000000000aa\",\"weight\":1,\"url\":\"ws://h:1\","
        "\"peer\":\"h:9\"}",
        99);
    world_run(world);
    world_expect(world, "n1: probe n1 at h:9\n");
    struct rh_node_ref now = world->nodes[1].probed;
    world->nodes[1].probed = before;
    world_probed(world, 1, RH_MEMBERSHIP_PROBE_DEAD); /* that is not the question any more */
    world_run(world);
    world_expect(world, "");
    world->nodes[1].probed = now;
    world_probed(world, 1, RH_MEMBERSHIP_PROBE_DEAD);
    world_run(world);
    world_expect(world, "n1: id_held id=n1 instance=00000000000000aa peer=h:9 probe=dead\n"
                        "n1: register weight=1 replaces=n1.0000000009," N1 "\n"
                        "n1: adopt 1/106 n1\n");
    world_destroy(world);
}

static void of_two_registrations_the_newest_counts(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_write(
        world, "/members/n2.0000000000", /* an earlier name, a later transaction */
        "{\"id\":\"n2\",\"instance\":\"00000000000000aa\",\"weight\":3,\"url\":\"ws://h:1\","
        "\"peer\":\"h:9\"}",
        99);
    world->nodes[2].deaf = true;
    world_run(world);
    world_expect(world, "n1: adopt 1/106 n1 n2:3\n");
    /* The one that was there loses its place, asks who that is, and ends. */
    world->nodes[2].deaf = false;
    world_run(world);
    world_pass(world, 1000);
    world_probed(world, 2, RH_MEMBERSHIP_PROBE_ANSWERS);
    assert_true(world_traced(world, "n2: registration_lost"));
    assert_true(world_traced(world, "n2: fatal id n2 is held by a live node at h:9"));
    world_destroy(world);
}

static void our_own_registration_of_an_older_session_is_replaced_unasked(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world->nodes[1].session = 0; /* given up by the client; ZooKeeper still has it */
    world_disconnect(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: register weight=1 replaces=" N1 "\n"
                        "n2: adopt 1/106 n1 n2\n"
                        "n1: adopt 1/106 n1 n2\n");
    world_destroy(world);
}

static void a_registration_whose_answer_was_lost_is_found(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_start(world, 1);
    world_connect(world, 1);
    while (world_members_count(world) == 0) {
        world->nodes[1].connected = true;
        if (world->nodes[1].ops[0].kind == RH_MEMBERSHIP_REGISTER) {
            world->nodes[1].connected = false; /* done there, and no answer here */
        }
        world_run_one(world, 1);
    }
    world_disconnect(world, 1);
    world_connect(world, 1);
    world_run(world);
    assert_int_equal(world_members_count(world), 1);
    assert_true(world_traced(world, "n1: register weight=1\nn1: adopt 1/104 n1\n"));
    world_destroy(world);
}

static void a_late_answer_of_an_operation_that_is_over_is_ignored(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_RESULT,
                                        .result = {.number = 3, .rv = RH_ERR_IO}};
    world_event(world, 1, &event);
    world->nodes[1].deaf = true;
    world_write(world, "/members/x", "", 0); /* a list is on its way */
    world_event(world, 1, &event);
    event.result.number = 1000;
    world_event(world, 1, &event);
    world->nodes[1].deaf = false;
    world_run(world);
    assert_true(world_traced(world, "n1: adopt 1/105 n1"));
    assert_false(world_traced(world, "refused"));
    world_destroy(world);
}

/* Losing members. */

static void a_node_whose_session_expired_comes_back_and_nothing_moves(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_expire(world, 2);
    world_pass(world, 1500);
    world_expect(world, "n1: view_held epoch=107 missing=n2 grace_ms=2000\n"
                        "n3: view_held epoch=107 missing=n2 grace_ms=2000\n");
    world_connect(world, 2);
    world_pass(world, 5000);
    world_expect(world, "n2: view_held epoch=107 missing=n2 grace_ms=2000\n"
                        "n2: register weight=1\n"
                        "n3: adopt 1/108 n1 n2 n3\n"
                        "n1: adopt 1/108 n1 n2 n3\n"
                        "n2: adopt 1/108 n1 n2 n3\n");
    world_destroy(world);
}

static void a_mass_expiry_moves_nothing(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 4);
    for (int i = 1; i <= 4; i++) {
        world_disconnect(world, i);
    }
    for (int i = 1; i <= 4; i++) {
        world_expire(world, i);
    }
    world_pass(world, 60000);
    world_expect(world, "");
    for (int i = 1; i <= 4; i++) {
        world_pass(world, 400);
        world_connect(world, i);
    }
    world_pass(world, 5000);
    /* Not a word of a view without one of them. */
    world_expect(world, "n1: view_held epoch=111 missing=n1,n2,n3,n4 grace_ms=2000\n"
                        "n1: register weight=1\n"
                        "n2: view_held epoch=112 missing=n2,n3,n4 grace_ms=2000\n"
                        "n2: register weight=1\n"
                        "n3: view_held epoch=113 missing=n3,n4 grace_ms=2000\n"
                        "n3: register weight=1\n"
                        "n4: view_held epoch=114 missing=n4 grace_ms=2000\n"
                        "n4: register weight=1\n"
                        "n1: adopt 1/115 n1 n2 n3 n4\n"
                        "n2: adopt 1/115 n1 n2 n3 n4\n"
                        "n3: adopt 1/115 n1 n2 n3 n4\n"
                        "n4: adopt 1/115 n1 n2 n3 n4\n");
    world_destroy(world);
}

static void a_member_that_does_not_come_back_is_left_out_after_the_grace(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_expire(world, 2);
    world_pass(world, 1999);
    world_expect(world, "n1: view_held epoch=106 missing=n2 grace_ms=2000\n");
    assert_int_equal(rh_membership_view_state(world->nodes[1].machine), RH_MEMBERSHIP_HELD);
    world_pass(world, 1);
    world_expect(world, "n1: adopt 1/106 n1\n");
    /* What comes after that finds n2 no member any more, so nobody waits for it. */
    world_connect(world, 2);
    world_run(world);
    world_expect(world, "n2: view_held epoch=106 missing=n2 grace_ms=2000\n"
                        "n2: register weight=1\n"
                        "n1: adopt 1/107 n1 n2\n"
                        "n2: adopt 1/107 n1 n2\n");
    world_destroy(world);
}

static void a_node_that_stays_out_adopts_a_view_without_itself(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_expire(world, 1);
    world->fail_writes = RH_ERR_REFUSED;
    world_connect(world, 1);
    world_pass(world, 2500);
    assert_true(world_traced(world, "n1: adopt 1/106 n2\n"));
    assert_true(world_traced(world, "n2: adopt 1/106 n2\n"));
    world->fail_writes = 0;
    world_pass(world, 1000);
    assert_true(world_traced(world, "n1: adopt 1/107 n1 n2\n"));
    world_destroy(world);
}

static void waiting_ends_when_the_link_breaks(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_expire(world, 2);
    world_pass(world, 500);
    world_expect(world, "n1: view_held epoch=107 missing=n2 grace_ms=2000\n"
                        "n3: view_held epoch=107 missing=n2 grace_ms=2000\n");
    world_link(world, 1, 2, false);
    world_expect(world, "n1: adopt 1/107 n1 n3\n");
    world_destroy(world);
}

static void a_member_without_a_link_is_not_waited_for(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_link(world, 1, 2, false);
    world_expire(world, 2);
    world_run(world);
    world_expect(world, "n1: adopt 1/106 n1\n");
    world_destroy(world);
}

static void a_link_of_before_says_nothing_of_a_member_that_came_back(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_expire(world, 2);
    world_pass(world, 2000);
    world_expect(world, "n1: view_held epoch=106 missing=n2 grace_ms=2000\n"
                        "n1: adopt 1/106 n1\n"); /* its link is closed without a word */
    world_connect(world, 2);
    world->nodes[1].deaf = true;
    world_run(world);
    world->nodes[1].linked[2] = world->nodes[2].registration.instance; /* and comes up no more */
    world->nodes[1].deaf = false;
    world_run(world);
    world_forget(world);
    world_expire(world, 2);
    world_run(world);
    world_expect(world, "n1: adopt 1/108 n1\n");
    world_destroy(world);
}

static void waiting_ends_when_a_peer_is_ahead(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_expire(world, 2);
    world_run(world);
    world_forget(world);
    world_peer_epoch(world, 1, 1, 106); /* what we have */
    world_run(world);
    world_expect(world, "");
    world->trace_reads = true;
    world_peer_epoch(world, 1, 1, 107);
    world_run(world);
    world_expect(world, "n1: adopt 1/107 n1 n3\n"); /* listed already: no need to ask */
    world_destroy(world);
}

static void a_peer_that_is_ahead_makes_us_ask_the_leader(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_lag(world, 1);
    world_expire(world, 2);
    world_run(world);
    world_forget(world);
    world->trace_reads = true;
    world_peer_epoch(world, 1, 1, 107);
    world_peer_epoch(world, 1, 1, 107);
    world_run(world);
    world_expect(world, "n1: sync\n"
                        "n1: read config\n"
                        "n1: read request\n"
                        "n1: list\n"
                        "n1: adopt 1/107 n1 n3\n");
    world_destroy(world);
}

static void catching_up_asks_the_leader(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world_lag(world, 1);
    world_start(world, 2);
    world_connect(world, 2);
    world_run(world);
    world_forget(world);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_CATCH_UP};
    world_event(world, 1, &event);
    world_run(world);
    world_expect(world, "n1: adopt 1/105 n1 n2\n");
    world_destroy(world);
}

static void a_restarted_process_is_not_waited_for(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    uint64_t before = world->nodes[2].registration.instance;
    world_vanish(world, 2);
    world_start(world, 2);
    world_connect(world, 2);
    world_run(world);
    world_probed(world, 2, RH_MEMBERSHIP_PROBE_DEAD);
    world_run(world);
    assert_true(world_traced(world, "n1: adopt 1/106 n1 n2\n"));
    assert_false(world_traced(world, "view_held"));
    assert_false(rh_view_has(rh_membership_view(world->nodes[1].machine), "n2", before));
    world_destroy(world);
}

static void who_is_lost_later_is_waited_for_from_then(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_expire(world, 2);
    world_pass(world, 1500);
    world_expire(world, 3);
    world_pass(world, 1900);
    assert_false(world_traced(world, "adopt"));
    world_pass(world, 100);
    assert_true(world_traced(world, "n1: adopt 1/108 n1\n"));
    world_destroy(world);
}

static void while_zookeeper_is_away_the_view_stays(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_expire(world, 3);
    world_run(world); /* held */
    world_forget(world);
    world_disconnect(world, 1);
    world_pass(world, 60000);
    assert_false(world_traced(world, "n1:"));
    /* Once it is back, n3 has its time to come back too. */
    world_forget(world);
    world_connect(world, 1);
    world_pass(world, 1999);
    world_expect(world, "");
    world_pass(world, 1);
    world_expect(world, "n1: adopt 1/107 n1 n2\n");
    world_destroy(world);
}

static void while_zookeeper_is_away_a_held_view_is_taken_if_a_peer_has_it(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_expire(world, 3);
    world_run(world);
    world_disconnect(world, 1);
    world_forget(world);
    world_peer_epoch(world, 1, 1, 107);
    world_expect(world, "n1: adopt 1/107 n1 n2\n");
    world_destroy(world);
}

static void a_session_that_stands_changes_nothing_when_it_is_back(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    for (int i = 1; i <= 3; i++) {
        world_disconnect(world, i);
    }
    world_pass(world, 3600 * 1000);
    for (int i = 1; i <= 3; i++) {
        world_connect(world, i);
    }
    world_pass(world, 10000);
    world_expect(world, "");
    world_destroy(world);
}

/* Evictions. */

static void a_dead_peer_is_evicted_and_not_waited_for(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_kill(world, 2);
    world_run(world);
    /* Two of them try; the second finds it done. */
    world_expect(world, "n1: evict " N2 " as " N1 "\n"
                        "n3: evict " N2 " as " N3 "\n"
                        "n1: peer_evicted peer=n2 instance=0000000000000002\n"
                        "n3: eviction_failed peer=n2 instance=0000000000000002 reason=\"its "
                        "registration or ours is gone\"\n"
                        "n1: adopt 1/107 n1 n3\n"
                        "n3: adopt 1/107 n1 n3\n");
    world_destroy(world);
}

static void of_two_nodes_that_evict_each_other_one_stays(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 3);
    world_link(world, 1, 2, false); /* a firewall resets the link between them */
    world_link(world, 2, 1, false);
    world_dead(world, 1, 2);
    world_dead(world, 2, 1);
    world_run(world);
    assert_true(world_traced(world, "n1: peer_evicted peer=n2"));
    assert_true(world_traced(world, "n2: eviction_failed peer=n1"));
    assert_int_equal(world_members_count(world), 2);
    /* The third sees both alive and waits; n2 is back soon. */
    world_pass(world, 1000);
    assert_false(world_traced(world, "n3: adopt 1/107"));
    assert_true(world_traced(world, "n3: adopt 1/108 n1 n2 n3\n"));
    world_destroy(world);
}

static void evidence_against_somebody_who_is_not_there_does_nothing(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_DEAD,
                                        .peer = {.id = "n2", .instance = 0xdead}};
    world_event(world, 1, &event); /* another instance of it */
    event.peer = (struct rh_node_ref){.id = "n1", .instance = 1};
    world_event(world, 1, &event); /* ourselves */
    world_run(world);
    world_disconnect(world, 1);
    world_dead(world, 1, 2); /* no way to tell ZooKeeper; it is told again while it holds */
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "");
    event.kind = RH_MEMBERSHIP_CATCH_UP;
    world_event(world, 1, &event); /* an operation is in flight, this one has to wait */
    world_dead(world, 1, 2);
    world_disconnect(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "");
    world_destroy(world);
}

static void who_is_evicted_though_alive_comes_back_after_growing_pauses(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    static const uint64_t most_ms[] = {100,  200,   400,   800,   1600, 3200,
                                       6400, 12800, 25600, 30000, 30000};
    uint64_t before_ms = 0;
    for (size_t i = 0; i < sizeof(most_ms) / sizeof(most_ms[0]); i++) {
        world_forget(world);
        world_dead(world, 1, 2);
        world_run(world);
        assert_true(world_traced(world, "n2: registration_lost pause_ms="));
        uint64_t since_ms = world->now_ms;
        while (rh_membership_registration_state(world->nodes[2].machine) !=
               RH_MEMBERSHIP_REGISTERED) {
            world_pass(world, 10);
        }
        uint64_t pause_ms = world->now_ms - since_ms;
        assert_in_range(pause_ms, most_ms[i] / 2, most_ms[i] + 10);
        before_ms = pause_ms;
    }
    /* A quiet minute, and all is forgotten. */
    assert_true(before_ms > 10000);
    world_pass(world, 61000);
    world_dead(world, 1, 2);
    world_pass(world, 110);
    assert_int_equal(rh_membership_registration_state(world->nodes[2].machine),
                     RH_MEMBERSHIP_REGISTERED);
    world_destroy(world);
}

static void pauses_differ_from_node_to_node(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world->last_instance = 0x123456789abcdef0;
    world_settle(world, 5);
    for (int i = 2; i <= 5; i++) {
        world_dead(world, 1, i);
        world_run(world);
    }
    char pauses[5][32] = {{0}};
    for (int i = 2; i <= 5; i++) {
        char start[32];
        (void)snprintf(start, sizeof(start), "n%d: registration_lost", i);
        const char *line = strstr(world->trace, start);
        assert_non_null(line);
        (void)snprintf(pauses[i - 1], sizeof(pauses[0]), "%.*s", (int)strcspn(line + 4, "\n"),
                       line + 4);
    }
    assert_true(strcmp(pauses[1], pauses[2]) != 0 || strcmp(pauses[2], pauses[3]) != 0);
    world_destroy(world);
}

/* Generations. */

static void wiped_data_raises_the_generation_and_all_come_back(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_wipe(world);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: create config generation=" WORLD_RAISED_BY_N1 "\n"
                        "n1: generation_raised from=1 to=" WORLD_RAISED_BY_N1
                        " reason=\"config is missing\"\n"
                        "n1: view_held epoch=1 missing=n1,n2 grace_ms=2000\n"
                        "n1: register weight=1\n");
    world_connect(world, 2);
    world_pass(world, 10000);
    world_expect(world, "n2: view_held epoch=4 missing=n2 grace_ms=2000\n"
                        "n2: register weight=1\n"
                        "n1: adopt " WORLD_RAISED_BY_N1 "/5 n1 n2\n"
                        "n2: adopt " WORLD_RAISED_BY_N1 "/5 n1 n2\n");
    world_destroy(world);
}

static void
a_newcomer_that_comes_first_after_a_wipe_does_not_fool_the_others(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_wipe(world);
    world_start(world, 3);
    world_connect(world, 3);
    world_run(world);
    world_expect(world, "n3: create config generation=1\n"
                        "n3: config_written generation=1 vnodes=8 replicas=2 seed=0\n"
                        "n3: register weight=1\n"
                        "n3: adopt 1/4 n3\n");
    world_connect(world, 1);
    world_connect(world, 2);
    world_pass(world, 10000);
    assert_true(world_traced(world, "generation_raised from=1 to=" WORLD_RAISED_BY_N1
                                    " reason=\"config was made anew\""));
    for (int i = 1; i <= 3; i++) {
        const struct rh_view *view = rh_membership_view(world->nodes[i].machine);
        assert_int_equal(view->members_count, 3);
        assert_true(view->epoch.generation == strtoull(WORLD_RAISED_BY_N1, NULL, 10));
        assert_true(rh_epoch_compare(view->epoch, world->nodes[1].epoch) == 0);
    }
    world_destroy(world);
}

static void data_of_an_older_copy_raises_the_generation(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    struct world_tree *copy = malloc(sizeof(*copy));
    assert_non_null(copy);
    *copy = world->tree;
    for (int i = 2; i <= 4; i++) {
        world_start(world, i);
        world_connect(world, i);
        world_run(world);
    }
    world_kill(world, 4);
    world_run(world);
    for (int i = 1; i <= 3; i++) {
        assert_true(world->nodes[i].epoch.pzxid == 108);
        world_disconnect(world, i);
    }
    world->tree = *copy; /* somebody put yesterday's data back: n1 was registered there */
    free(copy);
    world_expire_orphans(world);
    world_forget(world);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: set config generation=" WORLD_RAISED_BY_N1 "\n"
                        "n1: generation_raised from=1 to=" WORLD_RAISED_BY_N1
                        " reason=\"the epoch went back\"\n"
                        "n1: view_held epoch=104 missing=n2,n3 grace_ms=2000\n");
    world_expire(world, 2);
    world_expire(world, 3);
    world_connect(world, 2);
    world_connect(world, 3);
    world_pass(world, 10000);
    world_expect(world, "n2: view_held epoch=104 missing=n2,n3 grace_ms=2000\n"
                        "n2: register weight=1\n"
                        "n3: view_held epoch=104 missing=n2,n3 grace_ms=2000\n"
                        "n3: register weight=1\n"
                        "n1: adopt " WORLD_RAISED_BY_N1 "/109 n1 n2 n3\n"
                        "n2: adopt " WORLD_RAISED_BY_N1 "/109 n1 n2 n3\n"
                        "n3: adopt " WORLD_RAISED_BY_N1 "/109 n1 n2 n3\n");
    world_destroy(world);
}

static void a_list_that_stays_older_than_its_children_is_no_view(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_disconnect(world, 1);
    for (size_t i = 0; i < WORLD_ZNODES; i++) {
        if (strcmp(world->tree.znodes[i].path, "/members") == 0) {
            world->tree.znodes[i].pzxid = 104; /* and n2 was created by 105 */
        }
    }
    world->trace_reads = true;
    world_connect(world, 1);
    world_pass(world, 1200);
    world_expect(world, "n1: read config\n"
                        "n1: read request\n"
                        "n1: list\n"
                        "n1: list\n"
                        "n1: sync\n" /* after a pause; nothing that was known is trusted */
                        "n1: list\n"
                        "n1: read " N1 "\n"
                        "n1: read " N2 "\n"
                        "n1: sync\n"
                        "n1: list\n"
                        "n1: read " N1 "\n"
                        "n1: read " N2 "\n");
    world_write(world, "/members/x", "", 0);
    world_pass(world, 500);
    assert_true(world_traced(world, "n1: adopt 1/106 n1 n2\n"));
    world_destroy(world);
}

static void a_server_that_lags_is_not_taken_for_a_loss_of_data(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world_lag(world, 2); /* the server that n1 will be connected to */
    world_start(world, 3);
    world_connect(world, 3);
    world_run(world);
    world_disconnect(world, 1);
    world->nodes[1].stale = world->nodes[2].stale;
    world->nodes[2].stale = NULL;
    world_forget(world);
    world->trace_reads = true;
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: read config\n"
                        "n1: read request\n"
                        "n1: list\n"
                        "n1: sync\n"
                        "n1: read config\n"
                        "n1: read request\n"
                        "n1: list\n"
                        "n1: read n3.0000000001\n");
    assert_true(rh_membership_view(world->nodes[1].machine)->epoch.pzxid == 105);
    world_destroy(world);
}

static void a_config_that_vanishes_is_written_again_with_a_higher_generation(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_write(world, "/config", NULL, 0);
    world_pass(world, 10000);
    for (int i = 1; i <= 2; i++) {
        const struct rh_view *view = rh_membership_view(world->nodes[i].machine);
        assert_true(view->epoch.generation == strtoull(WORLD_RAISED_BY_N1, NULL, 10));
        assert_true(view->epoch.pzxid == 105);
        assert_int_equal(view->members_count, 2);
    }
    world_destroy(world);
}

static void a_higher_generation_of_others_is_taken(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_write(world, "/config",
                "{\"format\":1,\"generation\":7,\"vnodes\":8,\"replicas\":2,"
                "\"seed\":\"0000000000000000\"}",
                0);
    world_run(world);
    /* Whom they know is written down for those who come first in that generation. */
    world_expect(world, "n1: set config generation=7\n"
                        "n2: set config generation=7\n"
                        "n1: members_written generation=1 epoch=105 members=2\n"
                        "n1: adopt 7/105 n1 n2\n"
                        "n2: adopt 7/105 n1 n2\n");
    /* The same names could stand for other data then. */
    world->trace_reads = true;
    world_write(world, "/config",
                "{\"format\":1,\"generation\":8,\"vnodes\":8,\"replicas\":2,"
                "\"seed\":\"0000000000000000\"}",
                0);
    world_run(world);
    assert_true(world_traced(world, "n1: read " N1 "\n"));
    assert_true(world_traced(world, "n1: read " N2 "\n"));
    world->trace_reads = false;
    /* And a lower one is put right. */
    world_write(world, "/config",
                "{\"format\":1,\"generation\":6,\"vnodes\":8,\"replicas\":2,"
                "\"seed\":\"0000000000000000\"}",
                0);
    world_run(world);
    assert_true(world_traced(world, "set config generation=22231\n"));
    assert_true(world_traced(world, "n1: adopt 22231/105 n1 n2\n"));
    assert_true(world_traced(world, "n2: adopt 22231/105 n1 n2\n"));
    world_destroy(world);
}

/* Requests. */

static void ask(struct world *world, int node, unsigned number, const char *what)
{
    char path[64];
    char data[256];
    (void)snprintf(path, sizeof(path), "/requests/n%d", node);
    (void)snprintf(data, sizeof(data), "{\"number\":\"%016x\",\"kind\":%s,\"state\":\"asked\"}",
                   number, what);
    world_write(world, path, data, 0);
}

static void a_drain_takes_one_epoch_and_says_how_far_it_is(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    ask(world, 1, 1, "\"drain\"");
    world_progress(world, 1, 0, 0); /* nothing is asked yet */
    world_run_one(world, 1);
    assert_true(world_traced(world, "n1: request drain\n"));
    world_progress(world, 1, 0, 0); /* of the view before: does not count */
    world_run(world);
    world_expect(world, "n1: request_started kind=drain weight=0 number=0000000000000001\n"
                        "n1: request drain\n"
                        "n1: register weight=0 replaces=" N1 "\n"
                        "n2: adopt 1/107 n1:0 n2\n"
                        "n1: adopt 1/107 n1:0 n2\n"
                        "n1: set request drain working 0 0\n");
    world_progress(world, 1, 12, 34);
    world_run(world);
    world_expect(world, ""); /* not more often than twice a second */
    world_progress(world, 1, 11, 30);
    world_pass(world, 500);
    world_expect(world, "n1: set request drain working 11 30\n");
    world_progress(world, 1, 11, 30);
    world_pass(world, 500);
    world_expect(world, "");
    world_progress(world, 1, 0, 0);
    world_run(world);
    world_expect(world, "n1: request_done kind=drain weight=0 number=0000000000000001\n"
                        "n1: request none\n"
                        "n1: set request drain done 0 0\n");
    world_progress(world, 1, 5, 0);
    world_pass(world, 10000);
    world_expect(world, "");
    world_destroy(world);
}

static void join_takes_the_weight_of_the_file_and_weight_the_one_it_names(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_start_weight(world, 1, 2000);
    world_connect(world, 1);
    world_run(world);
    world_forget(world);
    ask(world, 1, 1, "\"weight\",\"weight\":0.5");
    world_run(world);
    assert_true(world_traced(world, "n1: adopt 1/106 n1:0.5\n"));
    world_forget(world);
    ask(world, 1, 2, "\"join\""); /* before the other is done: it takes its place */
    world_run(world);
    world_progress(world, 1, 0, 0);
    world_run(world);
    world_expect(world, "n1: request none\n"
                        "n1: request_started kind=join weight=2 number=0000000000000002\n"
                        "n1: request join\n"
                        "n1: register weight=2 replaces=n1.0000000001\n"
                        "n1: adopt 1/109 n1:2\n"
                        "n1: set request join working 0 0\n"
                        "n1: request_done kind=join weight=2 number=0000000000000002\n"
                        "n1: request none\n"
                        "n1: set request join done 0 0\n");
    world_destroy(world);
}

static void join_fails_where_the_file_says_weight_0(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_start_weight(world, 1, 0);
    world_connect(world, 1);
    world_run(world);
    world_forget(world);
    ask(world, 1, 1, "\"join\"");
    world_run(world);
    world_expect(world, "n1: request_failed kind=join weight=0 number=0000000000000001\n"
                        "n1: set request join failed 0 0 reason=cluster.yaml gives this node "
                        "weight 0: ask for a weight instead\n");
    world_destroy(world);
}

static void a_node_starts_as_the_last_request_left_it(void **state RH_UNUSED)
{
    static const struct {
        const char *request;
        const char *trace;
    } cases[] = {
        {"{\"number\":\"0000000000000001\",\"kind\":\"drain\",\"state\":\"done\"}",
         "n1: weight_from_request kind=drain weight=0 number=0000000000000001\n"
         "n1: register weight=0\n"
         "n1: adopt 1/105 n1:0\n"},
        {"{\"number\":\"0000000000000001\",\"kind\":\"weight\",\"weight\":3,\"state\":\"done\"}",
         "n1: weight_from_request kind=weight weight=3 number=0000000000000001\n"
         "n1: register weight=3\n"
         "n1: adopt 1/105 n1:3\n"},
        {"{\"number\":\"0000000000000001\",\"kind\":\"drain\",\"state\":\"failed\"}",
         "n1: register weight=1\n"
         "n1: adopt 1/105 n1\n"},
        {"{\"number\":\"0000000000000001\",\"kind\":\"drain\",\"state\":\"working\"}",
         "n1: weight_from_request kind=drain weight=0 number=0000000000000001\n"
         "n1: request drain\n"
         "n1: register weight=0\n"
         "n1: adopt 1/105 n1:0\n"
         "n1: set request drain working 0 0\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *world = world_create();
        world_write(world, "/requests/n1", cases[i].request, 0);
        world_write(world, "/config",
                    "{\"format\":1,\"generation\":1,\"vnodes\":8,\"replicas\":2,"
                    "\"seed\":\"0000000000000000\"}",
                    0);
        world_start(world, 1);
        world_connect(world, 1);
        world_run(world);
        world_expect(world, cases[i].trace);
        world_destroy(world);
    }
}

static void a_malformed_request_is_marked_failed_if_that_is_possible(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    world_write(world, "/requests/n1", "{\"number\":\"0000000000000001\",\"kind\":\"explode\"}", 0);
    world_run(world);
    world_expect(world, "n1: request_ignored reason=\"kind: \"explode\" is unknown\"\n"
                        "n1: set request {\"number\":\"0000000000000001\",\"kind\":\"explode\","
                        "\"state\":\"failed\",\"reason\":\"kind: \\\"explode\\\" is unknown\"}\n");
    world_write(world, "/requests/n1", "{", 0);
    world_run(world);
    world_expect(world, "n1: request_ignored reason=\"not JSON: string or '}' expected near end of "
                        "file at byte 1\"\n");
    ask(world, 1, 2, "\"drain\"");
    world_run(world);
    assert_true(world_traced(world, "n1: set request drain working 0 0\n"));
    world_destroy(world);
}

static void a_request_that_replaces_ours_is_never_overwritten(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    ask(world, 1, 1, "\"drain\"");
    world_run(world);
    world->nodes[1].deaf = true;
    world_pass(world, 1000);
    world_progress(world, 1, 5, 5);
    assert_int_equal(world->nodes[1].ops_count, 1); /* the write is on its way */
    world->nodes[1].watches[RH_MEMBERSHIP_WATCH_REQUEST] = false;
    ask(world, 1, 2, "\"weight\",\"weight\":4");
    world->nodes[1].deaf = false;
    world_forget(world);
    world_run(world);
    world_expect(world, "n1: request none\n"
                        "n1: request_started kind=weight weight=4 number=0000000000000002\n"
                        "n1: request weight\n"
                        "n1: register weight=4 replaces=n1.0000000001\n"
                        "n1: adopt 1/109 n1:4\n"
                        "n1: set request weight working 0 0\n");
    world_destroy(world);
}

static void a_report_whose_answer_was_lost_is_written_again(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    ask(world, 1, 1, "\"drain\"");
    world_run(world);
    world->nodes[1].deaf = true;
    world_progress(world, 1, 0, 0);
    world_disconnect(world, 1);
    world->nodes[1].deaf = false;
    world_connect(world, 1);
    world_pass(world, 500);
    assert_non_null(strstr(world_read(world, "/requests/n1"), "\"state\":\"done\""));
    world_destroy(world);
}

static void a_report_on_a_version_of_before_is_written_again(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    ask(world, 1, 1, "\"drain\"");
    world_run(world);
    /* Its first report is done unseen, and the next server does not show it yet. */
    world_lag(world, 1);
    char report[1024];
    (void)snprintf(report, sizeof(report), "%s", world_read(world, "/requests/n1"));
    world_write(world, "/requests/n1", report, 0);
    world_disconnect(world, 1);
    world_connect(world, 1);
    world_progress(world, 1, 0, 0);
    while (!world_traced(world, "n1: set request drain done")) {
        world_pass(world, 1);
    }
    world_catch_up(world, 1);
    world_pass(world, 2000);
    assert_non_null(strstr(world_read(world, "/requests/n1"), "\"state\":\"done\""));
    world_destroy(world);
}

static void who_is_not_registered_reports_nothing(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    ask(world, 1, 1, "\"drain\"");
    world_run(world);
    world_vanish(world, 1);
    world_start(world, 1);
    world_forget(world);
    world_connect(world, 1);
    world_pass(world, 5000);
    assert_true(world_traced(world, "n1: request drain\n"));
    assert_false(world_traced(world, "n1: set request"));
    world_probed(world, 1, RH_MEMBERSHIP_PROBE_DEAD);
    world_pass(world, 1000);
    assert_true(world_traced(world, "n1: set request drain working"));
    world_destroy(world);
}

static void a_request_that_vanishes_leaves_the_weight_as_it_is(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 1);
    ask(world, 1, 1, "\"drain\"");
    world_run(world);
    world_wipe(world);
    world_forget(world);
    world_connect(world, 1);
    world_pass(world, 5000);
    assert_true(world_traced(world, "n1: register weight=0\n"));
    assert_true(world_traced(world, "n1: request none\n"));
    world_destroy(world);
}

/* Leaving. */

static void leaving_takes_weight_0_first_and_then_the_registration(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_LEAVE};
    world_event(world, 1, &event);
    world_run(world);
    world_expect(world, "n1: register weight=0 replaces=" N1 "\n"
                        "n2: adopt 1/106 n1:0 n2\n"
                        "n1: adopt 1/106 n1:0 n2\n");
    ask(world, 1, 1, "\"join\""); /* for the next process */
    world_run(world);
    world_expect(world, "");
    event.kind = RH_MEMBERSHIP_LEAVE_FINISH;
    world_event(world, 1, &event);
    world_run(world);
    world_expect(world, "n1: unregister n1.0000000002\n"
                        "n1: left\n"
                        "n2: view_held epoch=108 missing=n1 grace_ms=2000\n");
    world_kill(world, 1);
    world_run(world);
    world_expect(world, "n2: adopt 1/108 n2\n");
    world_destroy(world);
}

static void leaving_without_zookeeper_or_registration_is_done_at_once(void **state RH_UNUSED)
{
    struct world *world = world_create();
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_LEAVE_FINISH};
    world_start(world, 1);
    world_event(world, 1, &event);
    world_expect(world, "n1: left\n");
    world_start(world, 2);
    world_connect(world, 2);
    world_run(world);
    world_forget(world);
    world_disconnect(world, 2);
    world_event(world, 2, &event);
    world_expect(world, "n2: left\n");
    world_start(world, 3);
    world_connect(world, 3);
    world_run(world);
    world_forget(world);
    world->nodes[3].deaf = true;
    world_event(world, 3, &event);
    world_expect(world, "n3: unregister n3.0000000001\n");
    world_disconnect(world, 3);
    world_expect(world, "n3: left\n");
    world_destroy(world);
}

static void who_is_leaving_does_not_register_again(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_LEAVE};
    world_event(world, 1, &event);
    world_run(world);
    world_expire(world, 1);
    world_connect(world, 1);
    world_forget(world);
    world_pass(world, 60000);
    assert_false(world_traced(world, "n1: register"));
    world_destroy(world);
}

static void a_registration_that_nobody_knew_of_is_replaced(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_start(world, 3);
    world_connect(world, 3);
    while (!world_traced(world, "n3: register weight=1\n")) {
        world_run_one(world, 3);
    }
    /* It is done, but the connection breaks before the answer comes, and the next server does not
     * know of it yet. */
    world_lag(world, 3);
    char data[sizeof(world->nodes[3].ops[0].data)];
    memcpy(data, world->nodes[3].ops[0].data, sizeof(data));
    world_write(world, "/members/n3.0000000042", data, world->nodes[3].session);
    world_disconnect(world, 3);
    world_forget(world);
    world_connect(world, 3);
    while (!world_traced(world, "n3: register weight=1\n")) {
        world_run_one(world, 3);
    }
    world_catch_up(world, 3);
    world_run(world);
    assert_true(world_traced(world, "n3: register weight=1 replaces="));
    assert_int_equal(world_members_count(world), 3);
    world_destroy(world);
}

/* Deadlines. One that lies in the past and does not move would keep the loop turning. */

static void no_tick_is_wanted_while_only_an_answer_is_missing(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_expire(world, 2);
    world_run(world);
    world_expect(world, "n1: view_held epoch=106 missing=n2 grace_ms=2000\n");
    world->nodes[1].deaf = true; /* ZooKeeper is slow */
    world_peer_epoch(world, 1, 1, 200);
    world->now_ms += 2500; /* the grace is over, the latest list not read */
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_TICK};
    world_event(world, 1, &event);
    assert_true(rh_membership_deadline_ms(world->nodes[1].machine) == UINT64_MAX);
    world->nodes[1].deaf = false;
    world_run(world);
    world_expect(world, "n1: adopt 1/106 n1\n");
    world_destroy(world);
}

static void who_is_leaving_probes_nobody(void **state RH_UNUSED)
{
    struct world *world = world_create();
    world_settle(world, 2);
    world_vanish(world, 1);
    world_start(world, 1);
    world_connect(world, 1);
    world_run(world);
    world_expect(world, "n1: probe n1 at h:7201\n");
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_LEAVE};
    world_event(world, 1, &event);
    assert_true(rh_membership_deadline_ms(world->nodes[1].machine) == UINT64_MAX);
    world_pass(world, 60000);
    world_expect(world, "");
    world_destroy(world);
}

/* Anything. */

static void disturb(struct world *world)
{
    int node = 1 + (int)world_random(world, 4);
    int peer = 1 + (int)world_random(world, 4);
    struct world_node *it = &world->nodes[node];
    switch (world_random(world, 14)) {
    case 0:
        if (it->machine != NULL) {
            world_kill(world, node);
        }
        return;
    case 1:
        if (it->machine == NULL) {
            world_start(world, node);
        }
        return;
    case 2:
    case 3:
        if (it->machine != NULL && !it->connected) {
            world_connect(world, node);
        }
        return;
    case 4:
        if (it->connected) {
            world_disconnect(world, node);
        }
        return;
    case 5:
        if (it->machine != NULL && it->session != 0) {
            world_expire(world, node);
        }
        return;
    case 6:
        if (node != peer && it->machine != NULL && it->linked[peer] != 0) {
            world_link(world, node, peer, false);
            world_dead(world, node, peer);
        }
        return;
    case 7:
        if (it->connected) {
            world_lag(world, node);
        }
        return;
    case 8:
        ask(world, node, 1 + world_random(world, 1000),
            world_random(world, 2) == 0 ? "\"join\"" : "\"weight\",\"weight\":0");
        return;
    case 9:
        world_progress(world, node, world_random(world, 2), 0);
        return;
    case 10:
        world_peer_epoch(world, node, world->nodes[peer].epoch.generation,
                         world->nodes[peer].epoch.pzxid);
        return;
    case 11:
        if (it->ops_count > 0) {
            world_run_one(world, node);
        }
        return;
    case 12:
        world_probed(world, node, (enum rh_membership_probe)(1 + world_random(world, 2)));
        return;
    default:
        world_pass(world, world_random(world, 3000));
        return;
    }
}

/* After all trouble has ended, everyone who lives is in one view that everyone has. */
static void check_peace(struct world *world, uint64_t seed)
{
    int alive = 0;
    for (int i = 1; i <= 4; i++) {
        struct world_node *node = &world->nodes[i];
        if (node->machine == NULL) {
            continue;
        }
        alive++;
        world_catch_up(world, i);
        if (!node->connected) {
            world_connect(world, i);
        }
    }
    world_expire_orphans(world);
    for (int round = 0; round < 40; round++) {
        world_pass(world, 2500);
        for (int i = 1; i <= 4; i++) {
            world_probed(world, i, RH_MEMBERSHIP_PROBE_DEAD);
        }
    }
    const struct rh_view *first = NULL;
    for (int i = 1; i <= 4; i++) {
        if (world->nodes[i].machine == NULL) {
            continue;
        }
        const struct rh_view *view = rh_membership_view(world->nodes[i].machine);
        if (view == NULL || (int)view->members_count != alive ||
            (first != NULL && rh_epoch_compare(first->epoch, view->epoch) != 0)) {
            if (!world->mute) {
                (void)fputs(world->trace, stderr);
            }
            fail_msg("RH_TEST_SEED=%llu: n%d is not in the view of all", (unsigned long long)seed,
                     i);
        }
        first = view;
    }
}

static void whatever_happens_all_end_in_one_view(void **state RH_UNUSED)
{
    const char *given = getenv("RH_TEST_SEED");
    uint64_t first = given == NULL ? 1 : strtoull(given, NULL, 10);
    uint64_t last = given == NULL ? 1000 : first;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct world *world = world_create();
        world->mute = given == NULL;
        world_trouble(world, seed, 120, seed % 3 == 0 ? 61 : -1, disturb);
        check_peace(world, seed);
        world_destroy(world);
    }
}

static void memory_that_is_short_only_delays(void **state RH_UNUSED)
{
    unsigned failures = 0;
    for (unsigned nth = 1; nth < 400; nth++) {
        struct world *world = world_create();
        world_settle(world, 1);
        world_start(world, 2);
        rh_test_allocation_fail(nth);
        world_connect(world, 2);
        world_pass(world, 5000);
        ask(world, 1, 1, "\"drain\"");
        world_pass(world, 1000);
        world_kill(world, 2);
        world_pass(world, 5000);
        bool failed = rh_test_allocation_failed();
        failures += failed;
        world_dead(world, 1, 2); /* evidence comes again */
        world_pass(world, 5000);
        const struct rh_view *view = rh_membership_view(world->nodes[1].machine);
        assert_int_equal(view->members_count, 1);
        assert_int_equal(view->members[0].weight_milli, 0);
        world_destroy(world);
        if (!failed) {
            break;
        }
    }
    assert_true(failures > 10);
}

static void creation_that_runs_out_of_memory_leaves_nothing(void **state RH_UNUSED)
{
    const struct rh_membership_options options = {.config_name = "x"};
    for (unsigned nth = 1;; nth++) {
        struct rh_membership *membership = NULL;
        rh_test_allocation_fail(nth);
        int rv = rh_membership_create(&options, &membership);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            rh_membership_destroy(membership);
            return;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
        assert_null(membership);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(the_first_node_writes_the_config_and_registers),
        RH_TEST(a_second_node_joins_and_both_adopt_one_view),
        RH_TEST(of_two_nodes_that_write_the_config_at_once_one_succeeds),
        RH_TEST(a_config_that_differs_is_fatal_and_the_field_is_named),
        RH_TEST(a_config_that_goes_bad_later_is_ignored_and_told_once),
        RH_TEST(nothing_is_adopted_before_this_node_is_in_it),
        RH_TEST(a_child_that_is_gone_when_it_is_read_means_list_again),
        RH_TEST(a_child_that_is_newer_than_the_list_means_list_again),
        RH_TEST(what_is_known_is_not_read_again),
        RH_TEST(a_known_name_with_other_data_is_read_again_in_a_new_session),
        RH_TEST(many_members_are_read_in_batches),
        RH_TEST(malformed_registrations_are_no_members_and_told_once),
        RH_TEST(more_children_than_the_limit_are_not_looked_at),
        RH_TEST(an_id_that_is_held_by_a_live_node_is_refused),
        RH_TEST(a_dead_holder_is_replaced_in_one_transaction),
        RH_TEST(a_holder_that_neither_answers_nor_is_dead_is_waited_for),
        RH_TEST(a_holder_that_changes_is_probed_anew),
        RH_TEST(of_two_registrations_the_newest_counts),
        RH_TEST(our_own_registration_of_an_older_session_is_replaced_unasked),
        RH_TEST(a_registration_whose_answer_was_lost_is_found),
        RH_TEST(a_late_answer_of_an_operation_that_is_over_is_ignored),
        RH_TEST(a_node_whose_session_expired_comes_back_and_nothing_moves),
        RH_TEST(a_mass_expiry_moves_nothing),
        RH_TEST(a_member_that_does_not_come_back_is_left_out_after_the_grace),
        RH_TEST(a_node_that_stays_out_adopts_a_view_without_itself),
        RH_TEST(waiting_ends_when_the_link_breaks),
        RH_TEST(a_member_without_a_link_is_not_waited_for),
        RH_TEST(a_link_of_before_says_nothing_of_a_member_that_came_back),
        RH_TEST(waiting_ends_when_a_peer_is_ahead),
        RH_TEST(a_peer_that_is_ahead_makes_us_ask_the_leader),
        RH_TEST(catching_up_asks_the_leader),
        RH_TEST(a_restarted_process_is_not_waited_for),
        RH_TEST(who_is_lost_later_is_waited_for_from_then),
        RH_TEST(while_zookeeper_is_away_the_view_stays),
        RH_TEST(while_zookeeper_is_away_a_held_view_is_taken_if_a_peer_has_it),
        RH_TEST(a_session_that_stands_changes_nothing_when_it_is_back),
        RH_TEST(a_dead_peer_is_evicted_and_not_waited_for),
        RH_TEST(of_two_nodes_that_evict_each_other_one_stays),
        RH_TEST(evidence_against_somebody_who_is_not_there_does_nothing),
        RH_TEST(who_is_evicted_though_alive_comes_back_after_growing_pauses),
        RH_TEST(pauses_differ_from_node_to_node),
        RH_TEST(wiped_data_raises_the_generation_and_all_come_back),
        RH_TEST(a_newcomer_that_comes_first_after_a_wipe_does_not_fool_the_others),
        RH_TEST(data_of_an_older_copy_raises_the_generation),
        RH_TEST(a_list_that_stays_older_than_its_children_is_no_view),
        RH_TEST(a_server_that_lags_is_not_taken_for_a_loss_of_data),
        RH_TEST(a_config_that_vanishes_is_written_again_with_a_higher_generation),
        RH_TEST(a_higher_generation_of_others_is_taken),
        RH_TEST(a_drain_takes_one_epoch_and_says_how_far_it_is),
        RH_TEST(join_takes_the_weight_of_the_file_and_weight_the_one_it_names),
        RH_TEST(join_fails_where_the_file_says_weight_0),
        RH_TEST(a_node_starts_as_the_last_request_left_it),
        RH_TEST(a_malformed_request_is_marked_failed_if_that_is_possible),
        RH_TEST(a_request_that_replaces_ours_is_never_overwritten),
        RH_TEST(a_report_whose_answer_was_lost_is_written_again),
        RH_TEST(a_report_on_a_version_of_before_is_written_again),
        RH_TEST(who_is_not_registered_reports_nothing),
        RH_TEST(a_request_that_vanishes_leaves_the_weight_as_it_is),
        RH_TEST(leaving_takes_weight_0_first_and_then_the_registration),
        RH_TEST(leaving_without_zookeeper_or_registration_is_done_at_once),
        RH_TEST(who_is_leaving_does_not_register_again),
        RH_TEST(a_registration_that_nobody_knew_of_is_replaced),
        RH_TEST(no_tick_is_wanted_while_only_an_answer_is_missing),
        RH_TEST(who_is_leaving_probes_nobody),
        RH_TEST(whatever_happens_all_end_in_one_view),
        RH_TEST(memory_that_is_short_only_delays),
        RH_TEST(creation_that_runs_out_of_memory_leaves_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
