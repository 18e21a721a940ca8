/* SPDX-License-Identifier: Apache-2.0 */
#include "node/follows.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>

static struct rh_follows *follows;

static int apply(enum rh_entry_kind kind, const char *topic, uint64_t seq)
{
    struct rh_entry *entry = rh_entry_create(&(struct rh_entry_draft){
        .kind = kind,
        .topic = rh_bytes_text(topic),
        .position = {.incarnation = seq == 0 ? 0 : 7, .seq = seq},
        .payload = {.kind = RH_PAYLOAD_BINARY, .bytes = rh_bytes_text("payload")},
    });
    if (entry == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    int rv = rh_follows_apply(&follows, entry);
    rh_entry_give(entry);
    return rv;
}

static void expect(const char *expected)
{
    char text[256] = "";
    for (uint32_t i = 0; i < rh_follows_count(follows); i++) {
        const struct rh_follow *follow = follows->items[i];
        assert_ptr_equal(rh_follows_find(follows, rh_follow_topic(follow)), follow);
        (void)sprintf(text + strlen(text), "%.*s@%u ", RH_BYTES_ARG(rh_follow_topic(follow)),
                      (unsigned)follow->position.seq);
    }
    assert_string_equal(text, expected);
}

static void operations_make_the_table(void **state RH_UNUSED)
{
    expect("");
    assert_int_equal(apply(RH_ENTRY_FOLLOW, "a", 3), 0);
    assert_int_equal(apply(RH_ENTRY_FOLLOW, "b", 0), 0);
    assert_int_equal(apply(RH_ENTRY_MESSAGE, "a", 4), 0);
    expect("a@4 b@0 ");
    assert_int_equal(apply(RH_ENTRY_MESSAGE, "c", 1), 0); /* not followed any more */
    assert_int_equal(apply(RH_ENTRY_MESSAGE, "", 0), 0);
    assert_int_equal(apply(RH_ENTRY_UNFOLLOW, "c", 0), 0);
    expect("a@4 b@0 ");
    assert_int_equal(apply(RH_ENTRY_UNFOLLOW, "a", 0), 0);
    expect("b@0 ");
    assert_null(rh_follows_find(follows, rh_bytes_text("a")));
    assert_int_equal(apply(RH_ENTRY_UNFOLLOW, "b", 0), 0);
    assert_null(follows);
}

static void a_table_is_replaced_whole(void **state RH_UNUSED)
{
    struct rh_peer_follow items[100];
    char names[100][8];
    for (size_t i = 0; i < 100; i++) {
        (void)sprintf(names[i], "t%u", (unsigned)i);
        items[i] = (struct rh_peer_follow){.topic = rh_bytes_text(names[i]),
                                           .position = {.incarnation = 7, .seq = i + 1}};
    }
    assert_int_equal(apply(RH_ENTRY_FOLLOW, "a", 3), 0);
    assert_int_equal(rh_follows_replace(&follows, items, 100), 0);
    assert_int_equal(rh_follows_count(follows), 100);
    assert_int_equal(rh_follows_find(follows, rh_bytes_text("t41"))->position.seq, 42);
    assert_int_equal(rh_follows_replace(&follows, items, 1), 0);
    expect("t0@1 ");
    assert_int_equal(rh_follows_replace(&follows, NULL, 0), 0);
    assert_null(follows);
}

static void an_entry_says_where_it_came_from(void **state RH_UNUSED)
{
    struct rh_entry *entry = rh_entry_create(&(struct rh_entry_draft){
        .kind = RH_ENTRY_MESSAGE,
        .seq = 5,
        .id = rh_bytes_text("id"),
        .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text("text")},
        .topic = rh_bytes_text("room"),
        .position = {.incarnation = 7, .seq = 9},
    });
    assert_non_null(entry);
    assert_true(rh_bytes_equal_text(rh_entry_topic(entry), "room"));
    assert_true(rh_bytes_equal_text(rh_entry_id(entry), "id"));
    assert_true(rh_bytes_equal_text(rh_entry_payload(entry).bytes, "text"));
    assert_int_equal(rh_entry_position(entry).incarnation, 7);
    assert_int_equal(rh_entry_position(entry).seq, 9);
    assert_int_equal(rh_entry_version(entry), 0);
    assert_int_equal(rh_entry_content_type(entry).size, 0);
    rh_entry_give(entry);
}

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    for (unsigned nth = 1;; nth++) {
        rh_test_allocation_fail(nth);
        int rv = 0;
        for (unsigned i = 0; i < 10 && rv == 0; i++) {
            char topic[] = {(char)('a' + i), '\0'};
            rv = apply(RH_ENTRY_FOLLOW, topic, 1);
        }
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        rh_follows_destroy(follows);
        follows = NULL;
        if (!failed) {
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(operations_make_the_table),
        RH_TEST(a_table_is_replaced_whole),
        RH_TEST(an_entry_says_where_it_came_from),
        RH_TEST(memory_may_run_out_at_any_point),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
