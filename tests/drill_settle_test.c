/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/settle.h"
#include "tests/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NODES 3

/* Three nodes at rest, which a test disturbs. */
struct world {
    struct rh_settle_node nodes[NODES];
    struct rh_probe_answer answers[NODES];
    bool without_zookeeper;
};

static json_t *make_ring(void)
{
    return json_pack("{s:i, s:i, s:s, s:[{s:s, s:i}, {s:s, s:i}, {s:s, s:f}]}", "generation", 1,
                     "epoch", 5, "digest", "d", "members", "node", "n1", "weight", 1, "node", "n2",
                     "weight", 1, "node", "n3", "weight", 1.5);
}

static json_t *make_status(void)
{
    return json_pack("{s:s, s:{s:s}, s:b, s:b, s:b, s:{s:b, s:i, s:i, s:i, s:i, s:i}}", "state",
                     "member", "zookeeper", "state", "connected", "registered", 1, "sweeping", 0,
                     "replication", 1, "copies", "settled", 1, "moving", 0, "claiming", 0,
                     "arriving", 0, "short", 0, "stalled", 0);
}

static void world_init(struct world *world)
{
    static const char *const ids[NODES] = {"n1", "n2", "n3"};
    *world = (struct world){.without_zookeeper = false};
    for (size_t i = 0; i < NODES; i++) {
        world->nodes[i] = (struct rh_settle_node){.id = ids[i], .has_admin = true};
        world->answers[i] =
            (struct rh_probe_answer){.id = ids[i], .ring = make_ring(), .status = make_status()};
    }
}

static void world_finish(struct world *world)
{
    for (size_t i = 0; i < NODES; i++) {
        json_decref(world->answers[i].ring);
        json_decref(world->answers[i].status);
    }
}

/* It has settled (NULL), or has not, and |missing| says why. Ends the world. */
static void check(struct world *world, const char *missing)
{
    struct rh_reason reason = {""};
    bool settled =
        rh_settled(world->nodes, world->answers, NODES, world->without_zookeeper, &reason);
    if (settled != (missing == NULL) || (missing != NULL && strcmp(reason.text, missing) != 0)) {
        print_error("gave %s, wanted %s\n", settled ? "settled" : reason.text, missing);
        fail();
    }
    world_finish(world);
}

static json_t *member(struct world *world, size_t node, size_t index)
{
    return json_array_get(json_object_get(world->answers[node].ring, "members"), index);
}

static void nodes_at_rest_have_settled(void **state RH_UNUSED)
{
    struct world world;
    world_init(&world);
    check(&world, NULL);
}

static void all_have_to_answer(void **state RH_UNUSED)
{
    struct world world;
    world_init(&world);
    json_decref(world.answers[1].ring);
    world.answers[1].ring = NULL;
    check(&world, "n2 does not answer");
    world_init(&world);
    json_decref(world.answers[2].status);
    world.answers[2].status = NULL;
    check(&world, "n3 does not answer");
    world_init(&world);
    json_decref(world.answers[2].status);
    world.answers[2].status = NULL;
    world.nodes[2].has_admin = false;
    check(&world, NULL);
}

static void all_have_to_hold_the_same_view(void **state RH_UNUSED)
{
    struct world world;
    world_init(&world);
    (void)json_object_set_new(world.answers[2].ring, "epoch", json_integer(6));
    check(&world, "n1 and n3 hold different views");
}

static void the_ring_must_have_whom_it_should_have(void **state RH_UNUSED)
{
    struct world world;
    world_init(&world);
    world.nodes[1].id = "n4";
    check(&world, "n4 is not in the ring");
    world_init(&world);
    for (size_t i = 0; i < NODES; i++) {
        (void)json_array_append_new(json_object_get(world.answers[i].ring, "members"),
                                    json_pack("{s:s, s:i}", "node", "n5", "weight", 1));
    }
    check(&world, "n5 is still in the ring");
    world_init(&world);
    world.nodes[0].drained = true;
    check(&world, "n1 has still weight");
    world_init(&world);
    (void)json_object_set_new(member(&world, 0, 0), "weight", json_integer(0));
    check(&world, "n1 has no weight");
    world_init(&world);
    world.nodes[2].weight_milli = 1500;
    check(&world, NULL);
    world_init(&world);
    world.nodes[2].weight_milli = 2000;
    check(&world, "n3 has another weight");
}

static void a_drained_node_is_outside(void **state RH_UNUSED)
{
    struct world world;
    world_init(&world);
    world.nodes[0].drained = true;
    (void)json_object_set_new(member(&world, 0, 0), "weight", json_integer(0));
    (void)json_object_set_new(world.answers[0].status, "state", json_string("outside"));
    check(&world, NULL);
}

static void no_channel_may_be_on_its_way(void **state RH_UNUSED)
{
    static const struct {
        const char *name;
        const char *missing;
    } rows[] = {
        {"moving", "n2 has 7 channels to hand over"},
        {"claiming", "n2 has 7 channels to take over"},
        {"arriving", "n2 has 7 channels that are to arrive"},
        {"short", "n2 has 7 channels short of copies"},
        {"stalled", "n2 has 7 channels that cannot commit"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world world;
        world_init(&world);
        json_t *copies = json_object_get(world.answers[1].status, "copies");
        (void)json_object_set_new(copies, rows[i].name, json_integer(7));
        check(&world, rows[i].missing);
    }
    struct world world;
    world_init(&world);
    (void)json_object_set_new(world.answers[1].status, "sweeping", json_true());
    check(&world, "n2 still looks through its channels");
    world_init(&world);
    (void)json_object_set_new(json_object_get(world.answers[1].status, "copies"), "settled",
                              json_false());
    check(&world, "n2 waits for reports in this view");
}

static void zookeeper_must_be_reached_if_it_runs(void **state RH_UNUSED)
{
    for (int without = 0; without < 2; without++) {
        struct world world;
        world_init(&world);
        world.without_zookeeper = without == 1;
        (void)json_object_set_new(json_object_get(world.answers[0].status, "zookeeper"), "state",
                                  json_string("disconnected"));
        check(&world, without == 1 ? NULL : "n1 does not reach ZooKeeper");
        world_init(&world);
        world.without_zookeeper = without == 1;
        (void)json_object_set_new(world.answers[0].status, "registered", json_false());
        check(&world, without == 1 ? NULL : "n1 is not registered");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(nodes_at_rest_have_settled),
        RH_TEST(all_have_to_answer),
        RH_TEST(all_have_to_hold_the_same_view),
        RH_TEST(the_ring_must_have_whom_it_should_have),
        RH_TEST(a_drained_node_is_outside),
        RH_TEST(no_channel_may_be_on_its_way),
        RH_TEST(zookeeper_must_be_reached_if_it_runs),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
