/* SPDX-License-Identifier: Apache-2.0 */
#include "node/channel_log.h"
#include "tests/allocation.h"
#include "tests/random.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>

static const struct rh_channel_log_limits wide = {
    .messages_max = 1000, .bytes_max = 1U << 20, .age_ms_max = 3600000};

static struct rh_payload text(const char *bytes)
{
    return (struct rh_payload){.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text(bytes)};
}

/* A log, and what its channel knows of it. */
struct fixture {
    struct rh_channel_log log;
    uint64_t seq;
    uint64_t version;
};

static void init(struct fixture *fixture)
{
    *fixture = (struct fixture){0};
    rh_channel_log_init(&fixture->log, 1);
}

static void add(struct fixture *fixture, enum rh_entry_kind kind, const char *payload,
                int64_t time_ms)
{
    bool is_message = kind == RH_ENTRY_MESSAGE;
    uint64_t op = rh_channel_log_last_op(&fixture->log) + 1;
    fixture->seq += is_message ? 1 : 0;
    fixture->version += is_message ? 0 : 1;
    struct rh_entry *entry = rh_entry_create(&(struct rh_entry_draft){
        .kind = kind,
        .seq = fixture->seq,
        .version = is_message ? 0 : fixture->version,
        .in_window = is_message,
        .time_ms = time_ms,
        .id = rh_bytes_text(is_message ? "id" : ""),
        .payload = text(payload),
    });
    assert_non_null(entry);
    assert_int_equal(rh_channel_log_append(&fixture->log, entry), 0);
    assert_ptr_equal(rh_channel_log_get(&fixture->log, op), entry);
    assert_int_equal(rh_channel_log_last_op(&fixture->log), op);
}

/* A message that is committed at once. */
static void publish(struct fixture *fixture, const struct rh_channel_log_limits *limits,
                    const char *payload, int64_t time_ms)
{
    add(fixture, RH_ENTRY_MESSAGE, payload, time_ms);
    rh_channel_log_trim(&fixture->log, limits, rh_channel_log_last_op(&fixture->log), time_ms);
}

static void an_empty_log_begins_where_it_is_told(void **state RH_UNUSED)
{
    struct rh_channel_log *log = rh_channel_log_create(7);
    assert_non_null(log);
    assert_int_equal(log->first_op, 7);
    assert_int_equal(rh_channel_log_last_op(log), 6);
    assert_int_equal(rh_channel_log_first_seq(log, 4), 4);
    assert_null(rh_channel_log_get(log, 6));
    assert_null(rh_channel_log_get(log, 7));
    assert_null(rh_channel_log_find_seq(log, 7, NULL));
    rh_channel_log_destroy(log);
}

static void no_log_is_an_empty_one(void **state RH_UNUSED)
{
    assert_null(rh_channel_log_get(NULL, 1));
    assert_null(rh_channel_log_find_seq(NULL, 1, NULL));
    assert_int_equal(rh_channel_log_first_seq(NULL, 9), 9);
    rh_channel_log_trim(NULL, &wide, 1, 0);
    rh_channel_log_cut(NULL, 0);
    rh_channel_log_finish(NULL);
    rh_channel_log_destroy(NULL);
}

static void an_entry_is_what_it_was_made_of(void **state RH_UNUSED)
{
    const char json[] = "{}";
    const struct rh_entry_draft drafts[] = {
        {.kind = RH_ENTRY_MESSAGE,
         .seq = 3,
         .in_window = true,
         .time_ms = 5,
         .id = rh_bytes_text("some-id"),
         .payload = {.kind = RH_PAYLOAD_JSON, .bytes = rh_bytes_text(json)}},
        {.kind = RH_ENTRY_STATE,
         .seq = 3,
         .version = UINT64_MAX - 1,
         .time_ms = 6,
         .id = rh_bytes_text("text/plain"),
         .payload = {.kind = RH_PAYLOAD_BINARY, .bytes = rh_bytes("\0\1", 2)}},
        {.kind = RH_ENTRY_STATE_DELETE, .version = 2, .payload = {.kind = RH_PAYLOAD_BINARY}},
    };
    for (size_t i = 0; i < sizeof(drafts) / sizeof(drafts[0]); i++) {
        const struct rh_entry_draft *draft = &drafts[i];
        struct rh_entry *entry = rh_entry_create(draft);
        assert_non_null(entry);
        assert_int_equal(entry->entry_kind, draft->kind);
        assert_int_equal(entry->seq, draft->seq);
        assert_int_equal(rh_entry_version(entry), draft->version);
        assert_int_equal(entry->in_window, draft->in_window);
        assert_int_equal(entry->time_ms, draft->time_ms);
        assert_true(rh_bytes_equal(rh_entry_id(entry), draft->id));
        assert_int_equal(rh_entry_payload(entry).kind, draft->payload.kind);
        assert_true(rh_bytes_equal(rh_entry_payload(entry).bytes, draft->payload.bytes));
        assert_int_equal(rh_entry_bytes(entry), draft->id.size + draft->payload.bytes.size);
        rh_entry_give(entry);
    }
}

static void entries_are_numbered_without_gap_and_kept_as_they_came(void **state RH_UNUSED)
{
    struct fixture fixture;
    init(&fixture);
    for (int i = 1; i <= 300; i++) {
        char payload[16];
        (void)snprintf(payload, sizeof(payload), "m%d", i);
        publish(&fixture, &wide, payload, i);
    }
    for (int i = 1; i <= 300; i++) {
        char payload[16];
        (void)snprintf(payload, sizeof(payload), "m%d", i);
        const struct rh_entry *entry = rh_channel_log_get(&fixture.log, (uint64_t)i);
        assert_non_null(entry);
        assert_int_equal(entry->seq, i);
        assert_true(rh_bytes_equal_text(rh_entry_payload(entry).bytes, payload));
        assert_true(rh_bytes_equal_text(rh_entry_id(entry), "id"));
    }
    assert_null(rh_channel_log_get(&fixture.log, 301));
    rh_channel_log_finish(&fixture.log);
}

static void the_oldest_go_when_there_are_too_many(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits three = {
        .messages_max = 3, .bytes_max = 1U << 20, .age_ms_max = 1000};
    struct fixture fixture;
    init(&fixture);
    for (int i = 1; i <= 100; i++) {
        publish(&fixture, &three, "x", i);
        assert_int_equal(fixture.log.count, i < 3 ? i : 3);
        assert_int_equal(rh_channel_log_last_op(&fixture.log), i);
        assert_int_equal(fixture.log.first_op, i < 3 ? 1 : i - 2);
        assert_int_equal(fixture.log.bytes, 3 * fixture.log.count);
    }
    rh_channel_log_finish(&fixture.log);
}

static void the_oldest_go_when_they_are_too_large_but_the_newest_stays(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits ten = {
        .messages_max = 100, .bytes_max = 10, .age_ms_max = 1000};
    struct fixture fixture;
    init(&fixture);
    publish(&fixture, &ten, "123", 1); /* 5 with its id */
    publish(&fixture, &ten, "123", 1);
    assert_int_equal(fixture.log.count, 2);
    publish(&fixture, &ten, "1", 1);
    assert_int_equal(fixture.log.first_op, 2);
    publish(&fixture, &ten, "12345678901234567890", 1);
    assert_int_equal(fixture.log.count, 1);
    assert_int_equal(fixture.log.first_op, 4);
    /* The newest is the newest message that is committed. */
    add(&fixture, RH_ENTRY_STATE, "12345678901234567890", 1);
    rh_channel_log_trim(&fixture.log, &ten, 5, 1);
    assert_int_equal(fixture.log.first_op, 4);
    add(&fixture, RH_ENTRY_MESSAGE, "1", 1);
    rh_channel_log_trim(&fixture.log, &ten, 5, 1);
    assert_int_equal(fixture.log.first_op, 4);
    rh_channel_log_trim(&fixture.log, &ten, 6, 1);
    assert_int_equal(fixture.log.first_op, 6);
    rh_channel_log_finish(&fixture.log);
}

static void old_entries_expire_and_numbers_go_on(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits limits = {
        .messages_max = 100, .bytes_max = 1000, .age_ms_max = 50};
    struct fixture fixture;
    struct rh_channel_log *log = &fixture.log;
    init(&fixture);
    publish(&fixture, &limits, "a", 0);
    publish(&fixture, &limits, "b", 30);
    rh_channel_log_trim(log, &limits, 2, 50);
    assert_int_equal(log->count, 2);
    rh_channel_log_trim(log, &limits, 2, 51);
    assert_int_equal(log->first_op, 2);
    rh_channel_log_trim(log, &limits, 2, 1000);
    assert_int_equal(log->count, 0);
    assert_int_equal(log->first_op, 3);
    assert_int_equal(rh_channel_log_last_op(log), 2);
    publish(&fixture, &limits, "c", 1000);
    assert_int_equal(rh_channel_log_last_op(log), 3);
    rh_channel_log_finish(log);
}

static void what_is_not_committed_stays(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits tight = {.messages_max = 1, .bytes_max = 1, .age_ms_max = 1};
    struct fixture fixture;
    struct rh_channel_log *log = &fixture.log;
    init(&fixture);
    add(&fixture, RH_ENTRY_STATE, "s", 0);
    add(&fixture, RH_ENTRY_MESSAGE, "a", 0);
    add(&fixture, RH_ENTRY_STATE_DELETE, "", 0);
    add(&fixture, RH_ENTRY_MESSAGE, "b", 0);
    for (uint64_t commit = 0; commit <= 4; commit++) {
        rh_channel_log_trim(log, &tight, commit, 1000);
        assert_int_equal(log->first_op, commit + 1);
        assert_int_equal(rh_channel_log_last_op(log), 4);
    }
    assert_int_equal(log->bytes, 0);
    assert_int_equal(log->messages, 0);
    rh_channel_log_finish(log);
}

static void state_goes_with_the_message_before_it(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits two = {
        .messages_max = 2, .bytes_max = 1U << 20, .age_ms_max = 1000};
    struct fixture fixture;
    struct rh_channel_log *log = &fixture.log;
    init(&fixture);
    add(&fixture, RH_ENTRY_STATE, "s", 0);
    rh_channel_log_trim(log, &two, 1, 0);
    assert_int_equal(log->count, 0);
    add(&fixture, RH_ENTRY_MESSAGE, "a", 0);
    add(&fixture, RH_ENTRY_STATE, "s", 0);
    add(&fixture, RH_ENTRY_MESSAGE, "b", 0);
    rh_channel_log_trim(log, &two, 4, 0);
    assert_int_equal(log->first_op, 2);
    add(&fixture, RH_ENTRY_MESSAGE, "c", 0);
    rh_channel_log_trim(log, &two, 5, 0);
    assert_int_equal(log->first_op, 4);
    /* Four operations at most. */
    add(&fixture, RH_ENTRY_STATE, "s", 0);
    add(&fixture, RH_ENTRY_STATE, "s", 0);
    rh_channel_log_trim(log, &two, 7, 0);
    assert_int_equal(log->first_op, 4);
    add(&fixture, RH_ENTRY_STATE, "s", 0);
    rh_channel_log_trim(log, &two, 8, 0);
    assert_int_equal(log->first_op, 5);
    rh_channel_log_finish(log);
}

static void a_message_is_found_by_its_seq_among_state(void **state RH_UNUSED)
{
    struct fixture fixture;
    struct rh_channel_log *log = &fixture.log;
    uint64_t op = 0;
    init(&fixture);
    add(&fixture, RH_ENTRY_MESSAGE, "a", 0);
    assert_ptr_equal(rh_channel_log_find_seq(log, 1, &op), rh_channel_log_get(log, 1));
    assert_int_equal(op, 1);
    add(&fixture, RH_ENTRY_STATE, "s", 0);
    add(&fixture, RH_ENTRY_STATE, "t", 0);
    add(&fixture, RH_ENTRY_MESSAGE, "b", 0);
    assert_ptr_equal(rh_channel_log_find_seq(log, 1, &op), rh_channel_log_get(log, 1));
    assert_int_equal(op, 1);
    assert_ptr_equal(rh_channel_log_find_seq(log, 2, &op), rh_channel_log_get(log, 4));
    assert_int_equal(op, 4);
    assert_null(rh_channel_log_find_seq(log, 0, &op));
    assert_null(rh_channel_log_find_seq(log, 3, &op));
    assert_int_equal(op, 4);
    rh_channel_log_finish(log);
}

static void a_cut_takes_numbers_back(void **state RH_UNUSED)
{
    struct fixture fixture;
    struct rh_channel_log *log = &fixture.log;
    init(&fixture);
    publish(&fixture, &wide, "a", 0);
    publish(&fixture, &wide, "b", 0);
    publish(&fixture, &wide, "c", 0);
    rh_channel_log_cut(log, 3);
    assert_int_equal(log->count, 3);
    rh_channel_log_cut(log, 1);
    assert_int_equal(log->count, 1);
    assert_int_equal(log->bytes, 3);
    assert_int_equal(rh_channel_log_last_op(log), 1);
    fixture.seq = 1;
    publish(&fixture, &wide, "d", 0);
    assert_true(rh_bytes_equal_text(rh_entry_payload(rh_channel_log_get(log, 2)).bytes, "d"));
    /* Below what is held. */
    rh_channel_log_trim(log, &(struct rh_channel_log_limits){.messages_max = 1}, 2, 1000);
    assert_int_equal(log->first_op, 3);
    rh_channel_log_cut(log, 1);
    assert_int_equal(log->first_op, 2);
    rh_channel_log_cut(log, 0);
    assert_int_equal(log->first_op, 1);
    assert_int_equal(rh_channel_log_last_op(log), 0);
    rh_channel_log_finish(log);
}

static void an_entry_that_is_held_outlives_its_place_in_the_log(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits one = {
        .messages_max = 1, .bytes_max = 1000, .age_ms_max = 1000};
    struct fixture fixture;
    init(&fixture);
    publish(&fixture, &one, "first", 0);
    struct rh_entry *held = rh_entry_take(rh_channel_log_get(&fixture.log, 1));
    publish(&fixture, &one, "second", 0);
    assert_null(rh_channel_log_get(&fixture.log, 1));
    assert_true(rh_bytes_equal_text(rh_entry_payload(held).bytes, "first"));
    rh_entry_give(held);
    rh_channel_log_finish(&fixture.log);
}

static void a_log_that_gets_no_memory_is_as_before(void **state RH_UNUSED)
{
    const struct rh_entry_draft draft = {.seq = 9, .id = rh_bytes_text("i"), .payload = text("x")};
    for (unsigned nth = 1;; nth++) {
        rh_test_allocation_fail(nth);
        struct rh_channel_log *log = rh_channel_log_create(9);
        struct rh_entry *entry = rh_entry_create(&draft);
        int rv =
            log != NULL && entry != NULL ? rh_channel_log_append(log, entry) : RH_ERR_NO_MEMORY;
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        if (log != NULL) {
            assert_int_equal(log->count, failed ? 0 : 1);
            assert_int_equal(rh_channel_log_last_op(log), failed ? 8 : 9);
        }
        if (failed) {
            rh_entry_give(entry);
        }
        rh_channel_log_destroy(log);
        if (!failed) {
            assert_int_equal(nth, 4); /* log, entry, slots */
            return;
        }
    }
}

/* A log that must grow keeps what it has. */
static void a_log_that_cannot_grow_is_as_before(void **state RH_UNUSED)
{
    struct fixture fixture;
    init(&fixture);
    for (int i = 0; i < 4; i++) {
        publish(&fixture, &wide, "x", 0);
    }
    struct rh_entry *entry = rh_entry_create(
        &(struct rh_entry_draft){.seq = 5, .id = rh_bytes_text("i"), .payload = text("y")});
    rh_test_allocation_fail(1);
    assert_int_equal(rh_channel_log_append(&fixture.log, entry), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    assert_int_equal(fixture.log.count, 4);
    assert_int_equal(fixture.log.bytes, 12);
    assert_int_equal(rh_channel_log_append(&fixture.log, entry), 0);
    assert_int_equal(fixture.log.bytes, 14);
    rh_channel_log_finish(&fixture.log);
}

/* ---- compared with a model: an array of all operations, and where the log begins ---- */

#define MODEL_MAX 4000

struct model {
    struct {
        bool is_message;
        uint64_t seq;
        int64_t time_ms;
        uint64_t bytes;
    } ops[MODEL_MAX]; /* by op; 0 is unused */
    uint64_t first_op;
    uint64_t last_op;
};

/* What is held from |op| on, in messages and bytes; the last message up to |commit|. */
static void model_count(const struct model *model, uint64_t op, uint64_t commit,
                        uint64_t *ret_messages, uint64_t *ret_bytes, uint64_t *ret_newest)
{
    *ret_messages = *ret_bytes = *ret_newest = 0;
    for (; op <= model->last_op; op++) {
        *ret_messages += model->ops[op].is_message ? 1 : 0;
        *ret_bytes += model->ops[op].bytes;
        if (model->ops[op].is_message && op <= commit) {
            *ret_newest = op;
        }
    }
}

/* The lowest first_op that the limits allow, looked at from every place. */
static void model_trim(struct model *model, const struct rh_channel_log_limits *limits,
                       uint64_t commit, int64_t time_ms)
{
    for (; model->first_op <= model->last_op && model->first_op <= commit; model->first_op++) {
        uint64_t op = model->first_op;
        uint64_t messages = 0;
        uint64_t bytes = 0;
        uint64_t newest = 0;
        model_count(model, op, commit, &messages, &bytes, &newest);
        bool fits = messages <= limits->messages_max &&
                    model->last_op - op + 1 <= 2 * (uint64_t)limits->messages_max &&
                    (bytes <= limits->bytes_max || op == newest) &&
                    time_ms - model->ops[op].time_ms <= (int64_t)limits->age_ms_max;
        if (model->ops[op].is_message && fits) {
            return;
        }
    }
}

static void expect_model(const struct rh_channel_log *log, const struct model *model,
                         uint64_t next_seq)
{
    uint64_t messages = 0;
    uint64_t bytes = 0;
    uint64_t newest = 0;
    uint64_t first_seq = next_seq;
    model_count(model, model->first_op, model->last_op, &messages, &bytes, &newest);
    assert_int_equal(log->first_op, model->first_op);
    assert_int_equal(rh_channel_log_last_op(log), model->last_op);
    assert_int_equal(log->messages, messages);
    assert_int_equal(log->bytes, bytes);
    for (uint64_t op = model->last_op; op >= model->first_op; op--) {
        assert_int_equal(rh_channel_log_get(log, op)->seq, model->ops[op].seq);
        if (model->ops[op].is_message) {
            uint64_t found = 0;
            first_seq = model->ops[op].seq;
            assert_ptr_equal(rh_channel_log_find_seq(log, first_seq, &found),
                             rh_channel_log_get(log, op));
            assert_int_equal(found, op);
        }
    }
    assert_int_equal(rh_channel_log_first_seq(log, next_seq), first_seq);
    assert_null(rh_channel_log_find_seq(log, first_seq - 1, NULL));
    assert_null(rh_channel_log_find_seq(log, next_seq, NULL));
    assert_null(rh_channel_log_get(log, model->first_op - 1));
    assert_null(rh_channel_log_get(log, model->last_op + 1));
}

static void a_log_is_as_its_model(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(17);
    const struct rh_channel_log_limits limits = {
        .messages_max = 12, .bytes_max = 90, .age_ms_max = 40};
    static struct model model;
    struct fixture fixture;
    int64_t time_ms = 0;
    uint64_t commit = 0;
    size_t states_of_ten = 0;
    init(&fixture);
    model = (struct model){.first_op = 1};
    while (model.last_op + 1 < MODEL_MAX) {
        if (rh_test_below(&seed, 200) == 0) {
            states_of_ten = rh_test_below(&seed, 9);
        }
        time_ms += (int64_t)rh_test_below(&seed, 6);
        size_t what = rh_test_below(&seed, 20);
        if (what < 12) {
            static const char bytes[] = "0123456789012345678901234567890123456789";
            bool is_message = rh_test_below(&seed, 10) >= states_of_ten;
            const char *payload = bytes + (rh_test_below(&seed, 4) == 0
                                               ? rh_test_below(&seed, sizeof(bytes))
                                               : sizeof(bytes) - 1 - rh_test_below(&seed, 8));
            add(&fixture, is_message ? RH_ENTRY_MESSAGE : RH_ENTRY_STATE, payload, time_ms);
            model.last_op++;
            model.ops[model.last_op].is_message = is_message;
            model.ops[model.last_op].seq = fixture.seq;
            model.ops[model.last_op].time_ms = time_ms;
            model.ops[model.last_op].bytes = strlen(payload) + (is_message ? 2 : 0);
        } else if (what < 18) {
            commit += rh_test_below(&seed, (size_t)(model.last_op - commit + 1));
            rh_channel_log_trim(&fixture.log, &limits, commit, time_ms);
            model_trim(&model, &limits, commit, time_ms);
        } else if (what == 18 && model.last_op > commit) {
            model.last_op -= rh_test_below(&seed, (size_t)(model.last_op - commit + 1));
            rh_channel_log_cut(&fixture.log, model.last_op);
            fixture.seq = model.ops[model.last_op].seq;
        }
        expect_model(&fixture.log, &model, fixture.seq + 1);
    }
    rh_channel_log_finish(&fixture.log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(an_empty_log_begins_where_it_is_told),
        RH_TEST(no_log_is_an_empty_one),
        RH_TEST(an_entry_is_what_it_was_made_of),
        RH_TEST(entries_are_numbered_without_gap_and_kept_as_they_came),
        RH_TEST(the_oldest_go_when_there_are_too_many),
        RH_TEST(the_oldest_go_when_they_are_too_large_but_the_newest_stays),
        RH_TEST(old_entries_expire_and_numbers_go_on),
        RH_TEST(what_is_not_committed_stays),
        RH_TEST(state_goes_with_the_message_before_it),
        RH_TEST(a_message_is_found_by_its_seq_among_state),
        RH_TEST(a_cut_takes_numbers_back),
        RH_TEST(an_entry_that_is_held_outlives_its_place_in_the_log),
        RH_TEST(a_log_that_gets_no_memory_is_as_before),
        RH_TEST(a_log_that_cannot_grow_is_as_before),
        RH_TEST(a_log_is_as_its_model),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
