/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/recovery.h"
#include "tests/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A record is "n1:a1 n2:b2", a view likewise; registration names are n1.<instance>, so a process
 * that registers again with another instance is another chain. */

static struct rh_record_member record_members[8];

static size_t parse(const char *text, char ids[8][8], uint64_t instances[8])
{
    size_t count = 0;
    int used = 0;
    for (; sscanf(text, " %7[^:]:%" SCNx64 "%n", ids[count], &instances[count], &used) == 2;
         text += used) {
        count++;
    }
    return count;
}

static void address_of(const char *id, char *out, size_t out_size)
{
    (void)snprintf(out, out_size, "%s:1", id);
}

static struct rh_record record_of(uint64_t generation, const char *text)
{
    char ids[8][8];
    uint64_t instances[8];
    struct rh_record record = {.last = {.generation = generation, .pzxid = 57},
                               .members = record_members,
                               .members_count = parse(text, ids, instances)};
    for (size_t i = 0; i < record.members_count; i++) {
        struct rh_record_member *member = &record_members[i];
        *member = (struct rh_record_member){.instance = instances[i]};
        strcpy(member->id, ids[i]);
        address_of(ids[i], member->peer, sizeof(member->peer));
        (void)snprintf(member->origin, sizeof(member->origin), "%s.%010" PRIu64, ids[i],
                       instances[i]);
    }
    return record;
}

static struct rh_view *view_of(uint64_t generation, const char *text)
{
    char ids[8][8];
    uint64_t instances[8];
    struct rh_registration members[8];
    struct rh_registration_name names[8];
    int64_t czxids[8];
    const struct rh_shared_config config = {
        .generation = generation, .format = RH_CONFIG_FORMAT, .vnodes = 8, .replicas = 2};
    size_t count = parse(text, ids, instances);
    for (size_t i = 0; i < count; i++) {
        members[i] = (struct rh_registration){.instance = instances[i], .weight_milli = 1000};
        strcpy(members[i].id, ids[i]);
        address_of(ids[i], members[i].peer, sizeof(members[i].peer));
        (void)snprintf(names[i].text, sizeof(names[i].text), "%s.%010" PRIu64, ids[i],
                       instances[i]);
        czxids[i] = (int64_t)i + 1;
    }
    const struct rh_view_source source = {
        .epoch = {.generation = generation, .pzxid = 60},
        .config = &config,
        .members = members,
        .czxids = czxids,
        .names = names,
        .members_count = count,
    };
    struct rh_view *view = NULL;
    assert_int_equal(rh_view_build(&source, &view), 0);
    return view;
}

static enum rh_recovery_state judge(struct rh_view *view, const struct rh_record *record,
                                    char missing[static 64])
{
    struct rh_recovery recovery;
    missing[0] = '\0';
    assert_int_equal(rh_recovery_judge(view, record, &recovery), 0);
    for (size_t i = 0; i < recovery.missing_count; i++) {
        (void)snprintf(missing + strlen(missing), 64 - strlen(missing), "%s ",
                       record->members[recovery.missing[i]].id);
    }
    enum rh_recovery_state state = recovery.state;
    rh_recovery_finish(&recovery);
    return state;
}

static void who_is_missing_is_told_from_who_speaks_for_all(void **state RH_UNUSED)
{
    static const struct {
        uint64_t recorded; /* generation of the record */
        const char *record;
        uint64_t generation; /* of the view */
        const char *view;
        enum rh_recovery_state state;
        const char *missing;
    } rows[] = {
        {0, "", 1, "", RH_RECOVERY_UNRECORDED, ""},
        {0, "", 1, "n1:1", RH_RECOVERY_UNRECORDED, ""},
        {0, "", 2, "n1:1", RH_RECOVERY_UNKNOWN, ""},
        {1, "", 1, "", RH_RECOVERY_STOPPED, ""},
        {1, "", 1, "n1:1", RH_RECOVERY_STOPPED, ""},
        {1, "n1:1 n2:2", 1, "n2:2", RH_RECOVERY_ALIVE, ""},
        {1, "n1:1 n2:2", 1, "n1:1 n2:2", RH_RECOVERY_ALIVE, ""},
        {1, "n1:1 n2:2", 1, "", RH_RECOVERY_MISSING, "n1 n2 "},
        {1, "n1:1 n2:2", 1, "n3:3", RH_RECOVERY_MISSING, "n1 n2 "},
        {1, "n1:1 n2:2", 1, "n1:7", RH_RECOVERY_MISSING, "n2 "}, /* restarted at its port */
        {1, "n1:1 n2:2", 1, "n1:7 n2:8", RH_RECOVERY_SETTLED, ""},
        {1, "n1:1 n2:2", 2, "n1:1 n3:3", RH_RECOVERY_MISSING, "n2 "}, /* names mean nothing */
        {1, "n1:1 n2:2", 2, "n1:1 n2:2", RH_RECOVERY_SETTLED, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char missing[64];
        struct rh_record record = record_of(rows[i].recorded, rows[i].record);
        struct rh_view *view = view_of(rows[i].generation, rows[i].view);
        enum rh_recovery_state found = judge(view, &record, missing);
        if (found != rows[i].state || strcmp(missing, rows[i].missing) != 0) {
            print_error("row %zu: state %d, missing \"%s\"\n", i, (int)found, missing);
            fail();
        }
        rh_view_give(view);
    }
}

static void who_is_given_up_is_not_missing_any_more(void **state RH_UNUSED)
{
    char missing[64];
    struct rh_record record = record_of(1, "n1:1 n2:2 n3:3");
    struct rh_view *view = view_of(1, "n2:9");
    struct rh_recovery recovery;
    record.forgotten = calloc(1, sizeof(*record.forgotten));
    record.forgotten[0] = 3;
    record.forgotten_count = 1;
    assert_int_equal(judge(view, &record, missing), RH_RECOVERY_MISSING);
    assert_string_equal(missing, "n1 ");
    assert_int_equal(rh_recovery_judge(view, &record, &recovery), 0);
    assert_int_equal(rh_recovery_forget(&recovery, &record), 0);
    assert_int_equal(record.forgotten_count, 2);
    assert_true(rh_record_forgets(&record, 1) && rh_record_forgets(&record, 3));
    assert_int_equal(judge(view, &record, missing), RH_RECOVERY_SETTLED);
    rh_recovery_finish(&recovery);
    free(record.forgotten);
    rh_view_give(view);
}

static void those_whom_nobody_knows_are_given_up_together(void **state RH_UNUSED)
{
    char missing[64];
    struct rh_record record = {0};
    struct rh_view *view = view_of(2, "n1:1");
    struct rh_recovery recovery;
    assert_int_equal(rh_recovery_judge(view, &record, &recovery), 0);
    assert_int_equal(rh_recovery_forget(&recovery, &record), 0);
    assert_true(rh_record_forgets(&record, RH_FORGOTTEN_UNKNOWN));
    assert_int_equal(judge(view, &record, missing), RH_RECOVERY_SETTLED);
    rh_recovery_finish(&recovery);
    free(record.forgotten);
    rh_view_give(view);
}

static void a_full_list_is_not_overrun(void **state RH_UNUSED)
{
    struct rh_record record = record_of(1, "n1:1 n2:2");
    struct rh_view *view = view_of(1, "");
    struct rh_recovery recovery;
    uint64_t *forgotten = calloc(RH_RECORD_FORGOTTEN_MAX, sizeof(*forgotten));
    record.forgotten = forgotten;
    record.forgotten_count = RH_RECORD_FORGOTTEN_MAX - 1;
    memset(forgotten, 0xff, RH_RECORD_FORGOTTEN_MAX * sizeof(*forgotten));
    assert_int_equal(rh_recovery_judge(view, &record, &recovery), 0);
    assert_int_equal(rh_recovery_forget(&recovery, &record), RH_ERR_TOO_LARGE);
    assert_int_equal(record.forgotten_count, RH_RECORD_FORGOTTEN_MAX - 1);
    rh_recovery_finish(&recovery);
    free(record.forgotten);
    rh_view_give(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(who_is_missing_is_told_from_who_speaks_for_all),
        RH_TEST(who_is_given_up_is_not_missing_any_more),
        RH_TEST(those_whom_nobody_knows_are_given_up_together),
        RH_TEST(a_full_list_is_not_overrun),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
