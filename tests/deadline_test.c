/* SPDX-License-Identifier: Apache-2.0 */
#include "router/deadline.h"
#include "tests/test.h"

#include <stdlib.h>

enum { OBJECTS = 100 };

static void the_first_is_always_the_next_to_pass(void **state RH_UNUSED)
{
    struct rh_deadline_list list;
    struct rh_deadline deadlines[OBJECTS];
    bool armed[OBJECTS] = {false};
    uint64_t now_ms = 5;
    rh_deadline_list_init(&list, 50);
    for (size_t i = 0; i < OBJECTS; i++) {
        rh_deadline_init(&deadlines[i]);
    }
    assert_null(rh_deadline_first(&list));
    unsigned random = 1;
    for (unsigned round = 0; round < 10000; round++) {
        random = random * 1103515245U + 12345U;
        size_t i = (random >> 16) % OBJECTS;
        armed[i] = (random >> 8) % 3 != 0;
        if (armed[i]) {
            rh_deadline_arm(&list, &deadlines[i], now_ms);
            assert_true(deadlines[i].at_ms == now_ms + 50);
        } else {
            rh_deadline_disarm(&deadlines[i]);
        }
        uint64_t least_ms = UINT64_MAX;
        for (size_t j = 0; j < OBJECTS; j++) {
            least_ms = armed[j] && deadlines[j].at_ms < least_ms ? deadlines[j].at_ms : least_ms;
        }
        const struct rh_deadline *first = rh_deadline_first(&list);
        assert_true(first == NULL ? least_ms == UINT64_MAX : first->at_ms == least_ms);
        now_ms += random % 2;
    }
}

static void a_deadline_moves_from_one_list_to_another(void **state RH_UNUSED)
{
    struct rh_deadline_list head;
    struct rh_deadline_list body;
    struct rh_deadline deadline;
    rh_deadline_list_init(&head, 10);
    rh_deadline_list_init(&body, 20);
    rh_deadline_init(&deadline);
    rh_deadline_arm(&head, &deadline, 100);
    rh_deadline_arm(&body, &deadline, 105);
    assert_null(rh_deadline_first(&head));
    assert_ptr_equal(rh_deadline_first(&body), &deadline);
    assert_true(deadline.at_ms == 125);
    rh_deadline_disarm(&deadline);
    rh_deadline_disarm(&deadline);
    assert_null(rh_deadline_first(&body));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(the_first_is_always_the_next_to_pass),
        RH_TEST(a_deadline_moves_from_one_list_to_another),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
