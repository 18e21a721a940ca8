/* SPDX-License-Identifier: Apache-2.0 */
#include "node/id_window.h"
#include "tests/allocation.h"
#include "tests/random.h"
#include "tests/test.h"

#include <stdio.h>

static const struct rh_id_window_limits wide = {.ids_max = 1000, .age_ms_max = 50};

static void add(struct rh_id_window *window, const char *id, uint64_t seq, uint64_t op,
                uint64_t added_ms)
{
    assert_int_equal(rh_id_window_add(window, &wide, rh_bytes_text(id), seq, op, added_ms), 0);
}

static void expect(const struct rh_id_window *window, const char *id, uint64_t seq, uint64_t op)
{
    uint64_t found_seq = 0;
    uint64_t found_op = 0;
    bool found = rh_id_window_find(window, rh_bytes_text(id), &found_seq, &found_op);
    assert_int_equal(found, op > 0);
    assert_int_equal(found_seq, seq);
    assert_int_equal(found_op, op);
}

static void no_window_is_an_empty_one(void **state RH_UNUSED)
{
    expect(NULL, "a", 0, 0);
    assert_int_equal(rh_id_window_count(NULL), 0);
    assert_int_equal(rh_id_window_after(NULL, 0), 0);
    rh_id_window_expire(NULL, &wide, 1000);
    rh_id_window_cut(NULL, 0);
    rh_id_window_finish(NULL);
    rh_id_window_destroy(NULL);
}

static void an_id_is_found_with_what_it_got_until_it_is_too_old(void **state RH_UNUSED)
{
    struct rh_id_window window;
    rh_id_window_init(&window, 7);
    expect(&window, "a", 0, 0);
    add(&window, "a", 1, 4, 0);
    add(&window, "b", 2, 6, 10);
    rh_id_window_expire(&window, &wide, 50);
    expect(&window, "a", 1, 4);
    rh_id_window_expire(&window, &wide, 51);
    expect(&window, "a", 0, 0);
    expect(&window, "b", 2, 6);
    rh_id_window_finish(&window);
    assert_int_equal(rh_id_window_count(&window), 0);
    add(&window, "c", 1, 1, 0);
    expect(&window, "c", 1, 1);
    rh_id_window_finish(&window);
}

static void the_oldest_ids_go_when_there_are_too_many(void **state RH_UNUSED)
{
    const struct rh_id_window_limits limits = {.ids_max = 10, .age_ms_max = 50};
    struct rh_id_window window;
    rh_id_window_init(&window, 7);
    for (unsigned i = 0; i < 100; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%u", i);
        assert_int_equal(rh_id_window_add(&window, &limits, rh_bytes_text(id), i + 1, i + 2, 0), 0);
    }
    expect(&window, "89", 0, 0);
    expect(&window, "90", 91, 92);
    assert_int_equal(rh_id_window_count(&window), 10);
    rh_id_window_finish(&window);
}

/* An id of a sync may be older than this node's clock. */
static void an_id_may_have_been_added_before_the_clock_began(void **state RH_UNUSED)
{
    const uint64_t now_ms = 10;
    struct rh_id_window window;
    rh_id_window_init(&window, 7);
    add(&window, "a", 1, 1, now_ms - 40);
    rh_id_window_expire(&window, &wide, now_ms + 10);
    expect(&window, "a", 1, 1);
    assert_int_equal(now_ms + 10 - rh_id_window_get(&window, 0).added_ms, 50);
    rh_id_window_expire(&window, &wide, now_ms + 11);
    expect(&window, "a", 0, 0);
    rh_id_window_finish(&window);
}

static void ids_expire_in_their_order(void **state RH_UNUSED)
{
    struct rh_id_window window;
    rh_id_window_init(&window, 7);
    add(&window, "a", 1, 1, 30);
    add(&window, "b", 2, 2, 10);
    rh_id_window_expire(&window, &wide, 61);
    expect(&window, "b", 2, 2);
    rh_id_window_expire(&window, &wide, 81);
    assert_int_equal(rh_id_window_count(&window), 0);
    rh_id_window_finish(&window);
}

static void an_id_that_comes_again_counts_as_it_came_last(void **state RH_UNUSED)
{
    struct rh_id_window window;
    rh_id_window_init(&window, 7);
    add(&window, "a", 1, 1, 0);
    add(&window, "b", 2, 2, 0);
    add(&window, "c", 3, 3, 0);
    add(&window, "b", 4, 9, 0);
    assert_int_equal(rh_id_window_count(&window), 3);
    expect(&window, "b", 4, 9);
    static const uint64_t ops[] = {1, 3, 9};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rh_id_window_get(&window, i).op, ops[i]);
    }
    rh_id_window_cut(&window, 8);
    expect(&window, "b", 0, 0);
    expect(&window, "c", 3, 3);
    rh_id_window_finish(&window);
}

static void a_cut_takes_ids_back(void **state RH_UNUSED)
{
    struct rh_id_window window;
    rh_id_window_init(&window, 7);
    add(&window, "a", 1, 1, 0);
    add(&window, "b", 2, 5, 0);
    add(&window, "c", 3, 6, 0);
    rh_id_window_cut(&window, 6);
    assert_int_equal(rh_id_window_count(&window), 3);
    rh_id_window_cut(&window, 4);
    assert_int_equal(rh_id_window_count(&window), 1);
    expect(&window, "a", 1, 1);
    add(&window, "b", 2, 2, 0);
    expect(&window, "b", 2, 2);
    rh_id_window_cut(&window, 0);
    assert_int_equal(rh_id_window_count(&window), 0);
    rh_id_window_finish(&window);
}

static void a_window_that_gets_no_memory_is_as_before(void **state RH_UNUSED)
{
    for (unsigned nth = 1;; nth++) {
        rh_test_allocation_fail(nth);
        struct rh_id_window *window = rh_id_window_create(7);
        int rv = window == NULL ? RH_ERR_NO_MEMORY
                                : rh_id_window_add(window, &wide, rh_bytes_text("a"), 1, 1, 0);
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        expect(window, "a", failed ? 0 : 1, failed ? 0 : 1);
        rh_id_window_destroy(window);
        if (!failed) {
            assert_int_equal(nth, 5); /* window, buckets, order, record */
            return;
        }
    }
}

static void a_window_that_cannot_grow_is_as_before(void **state RH_UNUSED)
{
    static const char *const ids[] = {"a", "b", "c", "d"};
    for (unsigned nth = 1;; nth++) {
        struct rh_id_window window;
        rh_id_window_init(&window, 7);
        for (unsigned i = 0; i < 4; i++) {
            add(&window, ids[i], i + 1, i + 1, 0);
        }
        rh_test_allocation_fail(nth);
        int rv = rh_id_window_add(&window, &wide, rh_bytes_text("a"), 5, 5, 0);
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        expect(&window, "a", failed ? 1 : 5, failed ? 1 : 5);
        for (unsigned i = 1; i < 4; i++) {
            expect(&window, ids[i], i + 1, i + 1);
        }
        rh_id_window_finish(&window);
        if (!failed) {
            assert_int_equal(nth, 3); /* order, record */
            return;
        }
    }
}

/* ---- compared with a model: an array in order of op ---- */

#define IDS_MAX 40

struct item {
    unsigned number;
    uint64_t seq;
    uint64_t op;
    uint64_t added_ms;
};

struct model {
    struct item items[IDS_MAX + 1];
    size_t count;
};

static void model_remove(struct model *model, size_t index)
{
    model->count--;
    memmove(&model->items[index], &model->items[index + 1],
            (model->count - index) * sizeof(struct item));
}

static void model_add(struct model *model, const struct item *item)
{
    for (size_t i = 0; i < model->count; i++) {
        if (model->items[i].number == item->number) {
            model_remove(model, i);
            break;
        }
    }
    model->items[model->count++] = *item;
    if (model->count > IDS_MAX) {
        model_remove(model, 0);
    }
}

static struct rh_bytes name_of(unsigned number, char name[16])
{
    (void)snprintf(name, 16, "id-%u", number);
    return rh_bytes_text(name);
}

static void expect_model(const struct rh_id_window *window, const struct model *model,
                         uint64_t *seed)
{
    char name[16];
    assert_int_equal(rh_id_window_count(window), model->count);
    for (size_t i = 0; i < model->count; i++) {
        const struct item *item = &model->items[i];
        struct rh_id_window_item found = rh_id_window_get(window, i);
        assert_true(rh_bytes_equal(found.id, name_of(item->number, name)));
        assert_int_equal(found.seq, item->seq);
        assert_int_equal(found.op, item->op);
        assert_int_equal(found.added_ms, item->added_ms);
        expect(window, name, item->seq, item->op);
    }
    unsigned number = (unsigned)rh_test_below(seed, 100);
    uint64_t op = 0;
    uint64_t seq = 0;
    bool held = false;
    for (size_t i = 0; i < model->count; i++) {
        held = held || model->items[i].number == number;
    }
    assert_int_equal(rh_id_window_find(window, name_of(number, name), &seq, &op), held);
    uint64_t above = model->count == 0 ? 3 : model->items[0].op + rh_test_below(seed, 120) - 10;
    size_t after = 0;
    while (after < model->count && model->items[after].op <= above) {
        after++;
    }
    assert_int_equal(rh_id_window_after(window, above), after);
}

static void a_window_is_as_its_model(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(23);
    const struct rh_id_window_limits limits = {.ids_max = IDS_MAX, .age_ms_max = 60};
    struct rh_id_window window;
    struct model model = {.count = 0};
    uint64_t now_ms = 0;
    uint64_t op = 10; /* `above` of expect_model() does not go below 0 */
    char name[16];
    rh_id_window_init(&window, seed);
    for (unsigned i = 0; i < 20000; i++) {
        now_ms += rh_test_below(&seed, 2);
        size_t what = rh_test_below(&seed, 40);
        if (what < 30) {
            op += 1 + rh_test_below(&seed, 3);
            const struct item item = {.number = (unsigned)rh_test_below(&seed, 100),
                                      .seq = rh_test_random(&seed),
                                      .op = op,
                                      .added_ms = now_ms - rh_test_below(&seed, 30)};
            model_add(&model, &item);
            assert_int_equal(rh_id_window_add(&window, &limits, name_of(item.number, name),
                                              item.seq, item.op, item.added_ms),
                             0);
        } else if (what < 38) {
            while (model.count > 0 && now_ms - model.items[0].added_ms > limits.age_ms_max) {
                model_remove(&model, 0);
            }
            rh_id_window_expire(&window, &limits, now_ms);
        } else {
            op -= rh_test_below(&seed, op - 10 < 12 ? 1 : 12);
            while (model.count > 0 && model.items[model.count - 1].op > op) {
                model.count--;
            }
            rh_id_window_cut(&window, op);
        }
        expect_model(&window, &model, &seed);
    }
    rh_id_window_finish(&window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(no_window_is_an_empty_one),
        RH_TEST(an_id_is_found_with_what_it_got_until_it_is_too_old),
        RH_TEST(the_oldest_ids_go_when_there_are_too_many),
        RH_TEST(an_id_may_have_been_added_before_the_clock_began),
        RH_TEST(ids_expire_in_their_order),
        RH_TEST(an_id_that_comes_again_counts_as_it_came_last),
        RH_TEST(a_cut_takes_ids_back),
        RH_TEST(a_window_that_gets_no_memory_is_as_before),
        RH_TEST(a_window_that_cannot_grow_is_as_before),
        RH_TEST(a_window_is_as_its_model),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
