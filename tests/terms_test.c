/* SPDX-License-Identifier: Apache-2.0 */
#include "node/terms.h"
#include "tests/allocation.h"
#include "tests/random.h"
#include "tests/test.h"

#include <string.h>

static struct rh_term term(uint32_t turn)
{
    return (struct rh_term){.pzxid = 5, .generation = 1, .turn = turn};
}

static void push(struct rh_terms **terms, uint64_t first_op, uint32_t turn)
{
    assert_int_equal(rh_terms_push(terms, first_op, term(turn)), 0);
}

static uint32_t turn_at(const struct rh_terms *terms, uint64_t op)
{
    return rh_terms_at(terms, op).turn;
}

static void no_list_knows_no_term(void **state RH_UNUSED)
{
    struct rh_terms *terms = NULL;
    struct rh_terms *copy = NULL;
    const struct rh_term none = rh_terms_at(NULL, 7);
    assert_true(rh_term_equal(none, (struct rh_term){0}));
    rh_terms_cut(&terms, 0);
    assert_null(terms);
    rh_terms_trim(NULL, 1);
    assert_int_equal(rh_terms_copy(NULL, &copy), 0);
    assert_null(copy);
    rh_terms_destroy(NULL);
}

static void operations_have_the_term_that_began_last(void **state RH_UNUSED)
{
    struct rh_terms *terms = NULL;
    push(&terms, 1, 1);
    push(&terms, 2, 1);
    assert_int_equal(terms->count, 1);
    push(&terms, 4, 2);
    push(&terms, 5, 7);
    static const uint32_t turns[] = {0, 1, 1, 1, 2, 7, 7};
    for (uint64_t op = 0; op < 7; op++) {
        assert_int_equal(turn_at(terms, op), turns[op]);
    }
    rh_terms_destroy(terms);
}

static void a_cut_forgets_what_began_above_it(void **state RH_UNUSED)
{
    struct rh_terms *terms = NULL;
    push(&terms, 3, 1);
    push(&terms, 5, 2);
    rh_terms_cut(&terms, 5);
    assert_int_equal(turn_at(terms, 9), 2);
    rh_terms_cut(&terms, 4);
    assert_int_equal(turn_at(terms, 9), 1);
    push(&terms, 5, 3);
    assert_int_equal(turn_at(terms, 5), 3);
    rh_terms_cut(&terms, 2);
    assert_null(terms);
}

static void a_trim_keeps_the_term_before_the_log_and_the_last_one(void **state RH_UNUSED)
{
    struct rh_terms *terms = NULL;
    push(&terms, 1, 1);
    push(&terms, 5, 2);
    push(&terms, 8, 3);
    rh_terms_trim(terms, 1);
    rh_terms_trim(terms, 5);
    assert_int_equal(turn_at(terms, 4), 1);
    rh_terms_trim(terms, 6);
    assert_int_equal(turn_at(terms, 4), 0);
    assert_int_equal(turn_at(terms, 5), 2);
    rh_terms_trim(terms, 100);
    assert_int_equal(terms->count, 1);
    assert_int_equal(turn_at(terms, 7), 0);
    assert_int_equal(turn_at(terms, 99), 3);
    rh_terms_destroy(terms);
}

static void a_full_list_forgets_its_first_entry(void **state RH_UNUSED)
{
    struct rh_terms *terms = NULL;
    for (uint32_t i = 1; i <= RH_PEER_TERMS_MAX + 2; i++) {
        push(&terms, i, i);
    }
    assert_int_equal(terms->count, RH_PEER_TERMS_MAX);
    assert_int_equal(turn_at(terms, 2), 0);
    assert_int_equal(turn_at(terms, 3), 3);
    assert_int_equal(turn_at(terms, RH_PEER_TERMS_MAX + 2), RH_PEER_TERMS_MAX + 2);
    rh_terms_destroy(terms);
}

static void a_list_that_gets_no_memory_is_as_before(void **state RH_UNUSED)
{
    struct rh_terms *terms = NULL;
    struct rh_terms *copy = NULL;
    rh_test_allocation_fail(1);
    assert_int_equal(rh_terms_push(&terms, 1, term(1)), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    assert_null(terms);
    push(&terms, 1, 1);
    rh_test_allocation_fail(1);
    assert_int_equal(rh_terms_push(&terms, 2, term(2)), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    assert_int_equal(turn_at(terms, 2), 1);
    rh_test_allocation_fail(1);
    assert_int_equal(rh_terms_copy(terms, &copy), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    assert_null(copy);
    rh_terms_destroy(terms);
}

/* ---- compared with a model: the turn of each operation ---- */

#define OPS_MAX 2000

static void a_list_is_as_its_model(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(31);
    static uint32_t turns[OPS_MAX]; /* by op */
    struct rh_terms *terms = NULL;
    uint64_t known_op = 1; /* from here on the list must know, if it was not cut below */
    uint64_t op = 0;
    uint32_t turn = 1;
    memset(turns, 0, sizeof(turns));
    while (op + 1 < OPS_MAX) {
        size_t what = rh_test_below(&seed, 20);
        if (what < 14) {
            turn += rh_test_below(&seed, 3) == 0 ? 1 : 0;
            op++;
            turns[op] = turn;
            push(&terms, op, turn);
        } else if (what < 16) {
            uint64_t first_op = known_op + rh_test_below(&seed, (size_t)(op - known_op) + 2);
            rh_terms_trim(terms, first_op);
            known_op = first_op > known_op + 1 ? first_op - 1 : known_op;
            assert_true(terms == NULL || terms->count == 1 || terms->items[1].first_op >= first_op);
        } else if (what == 16 && op > known_op) {
            op = known_op + rh_test_below(&seed, (size_t)(op - known_op));
            rh_terms_cut(&terms, op);
            turn++;
        } else if (what == 17) {
            struct rh_terms *copy = NULL;
            assert_int_equal(rh_terms_copy(terms, &copy), 0);
            rh_terms_destroy(terms);
            terms = copy;
        }
        for (uint64_t at = known_op; at <= op; at++) {
            assert_int_equal(turn_at(terms, at), turns[at]);
        }
        assert_int_equal(turn_at(terms, op + 5), turns[op]);
    }
    rh_terms_destroy(terms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(no_list_knows_no_term),
        RH_TEST(operations_have_the_term_that_began_last),
        RH_TEST(a_cut_forgets_what_began_above_it),
        RH_TEST(a_trim_keeps_the_term_before_the_log_and_the_last_one),
        RH_TEST(a_full_list_forgets_its_first_entry),
        RH_TEST(a_list_that_gets_no_memory_is_as_before),
        RH_TEST(a_list_is_as_its_model),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
