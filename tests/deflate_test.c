/* SPDX-License-Identifier: Apache-2.0 */
#include "router/deflate.h"

#include "tests/allocation.h"
#include "tests/random.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SIZE_MAX_HERE 100000

/* ---- Negotiation ---- */

#define NO_CONTEXTS "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static void assert_answer(const char *offers, uint8_t bits_max, const char *expected)
{
    struct rh_deflate_terms terms;
    struct rh_buffer answer = {0};
    bool taken = rh_deflate_negotiate(rh_bytes_text(offers), bits_max, &terms);
    if (taken) {
        assert_int_equal(rh_deflate_answer(&terms, &answer), 0);
        assert_in_range(terms.server_bits, RH_DEFLATE_BITS_MIN, bits_max);
    }
    struct rh_bytes content = taken ? rh_buffer_content(&answer) : rh_bytes_text("none");
    if (!rh_bytes_equal_text(content, expected)) {
        fail_msg("<%s> is answered <%.*s>, expected <%s>", offers, RH_BYTES_ARG(content), expected);
    }
    rh_buffer_finish(&answer);
}

static void the_first_offer_that_can_be_met_is_taken(void **state RH_UNUSED)
{
    static const struct {
        const char *offers;
        const char *answer;
    } rows[] = {
        {"permessage-deflate", NO_CONTEXTS},
        {"permessage-deflate; client_max_window_bits", NO_CONTEXTS "; client_max_window_bits=12"},
        {"permessage-deflate;client_max_window_bits=9", NO_CONTEXTS "; client_max_window_bits=9"},
        {"permessage-deflate; client_max_window_bits=8", NO_CONTEXTS "; client_max_window_bits=8"},
        {"permessage-deflate; client_max_window_bits=\"15\"",
         NO_CONTEXTS "; client_max_window_bits=12"},
        {"permessage-deflate; client_max_window_bits=\"1\\0\"",
         NO_CONTEXTS "; client_max_window_bits=10"},
        {"permessage-deflate; server_max_window_bits=15",
         NO_CONTEXTS "; server_max_window_bits=12"},
        {"permessage-deflate; server_max_window_bits=9", NO_CONTEXTS "; server_max_window_bits=9"},
        {"permessage-deflate; server_max_window_bits=10; client_max_window_bits=11;"
         " server_no_context_takeover; client_no_context_takeover",
         NO_CONTEXTS "; server_max_window_bits=10; client_max_window_bits=11"},
        {" ,, permessage-deflate \t; server_max_window_bits \t=\t 9 ,",
         NO_CONTEXTS "; server_max_window_bits=9"},
        {"x-webkit-deflate-frame, permessage-deflate", NO_CONTEXTS},
        {"mux; max-channels=4; flow-control, permessage-deflate", NO_CONTEXTS},
        /* Declined, and the next one taken. */
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate", NO_CONTEXTS},
        {"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=11",
         NO_CONTEXTS "; server_max_window_bits=11"},
        {"permessage-deflate; server_max_window_bits=11, permessage-deflate",
         NO_CONTEXTS "; server_max_window_bits=11"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_answer(rows[i].offers, 12, rows[i].answer);
    }
    assert_answer("permessage-deflate; server_max_window_bits=12; client_max_window_bits", 15,
                  NO_CONTEXTS "; server_max_window_bits=12; client_max_window_bits=15");
}

static void an_offer_that_cannot_be_met_is_declined(void **state RH_UNUSED)
{
    static const char *const offers[] = {
        "",
        " , ,",
        "Permessage-Deflate",
        "permessage-deflated",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=9.0",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=99999999999999999999999",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=0",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        /* No list of extensions at all. */
        "permessage-deflate;",
        "permessage-deflate; =",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"9",
        "permessage-deflate; server_max_window_bits=\"9\\",
        "permessage-deflate; server_max_window_bits=\"9 \"",
        "permessage-deflate server_no_context_takeover",
        "permessage-deflate, \x01",
        "permessage-deflate, (",
    };
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        assert_answer(offers[i], 15, "none");
    }
}

static void every_beginning_of_an_offer_is_read_within_its_bounds(void **state RH_UNUSED)
{
    static const char text[] =
        "a; b=\"\\c\", permessage-deflate; server_max_window_bits=\"1\\0\" ,x";
    for (size_t size = 0; size < sizeof(text); size++) {
        char *exact = malloc(size + 1); /* so that a sanitizer sees a byte too many */
        char *end = exact + 1;
        memcpy(end, text, size);
        struct rh_deflate_terms terms;
        bool taken = rh_deflate_negotiate(rh_bytes(end, size), 15, &terms);
        assert_true(!taken || terms.server_bits == 10 || size < 59);
        free(exact);
    }
}

/* ---- Payloads: a client that is zlib itself ---- */

/* Deflates as a client may: |flush| ends it. The caller finishes |out|. */
static void deflate_raw(struct rh_bytes payload, int bits, int flush, struct rh_buffer *out)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)payload.data;
    stream.avail_in = (unsigned)payload.size;
    int rv = Z_OK;
    do {
        char *room = rh_buffer_reserve(out, 65536);
        stream.next_out = (Bytef *)room;
        stream.avail_out = 65536;
        rv = deflate(&stream, flush);
        assert_true(rv == Z_OK || rv == Z_STREAM_END);
        rh_buffer_commit(out, 65536 - stream.avail_out);
    } while (stream.avail_out == 0);
    (void)deflateEnd(&stream);
    if (flush == Z_SYNC_FLUSH) {
        rh_buffer_truncate(out, rh_buffer_size(out) - 4);
    }
}

/* Inflates with no larger window than |bits|, and demands |payload|. */
static void assert_inflates_to(struct rh_bytes deflated, int bits, struct rh_bytes payload)
{
    z_stream stream = {0};
    unsigned char *out = malloc(payload.size + 1);
    assert_int_equal(inflateInit2(&stream, -bits), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)deflated.data;
    stream.avail_in = (unsigned)deflated.size;
    stream.next_out = out;
    stream.avail_out = (unsigned)payload.size + 1;
    assert_int_equal(inflate(&stream, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(stream.avail_in, 0);
    assert_int_equal(stream.avail_out, 1);
    assert_memory_equal(out, payload.data, payload.size);
    (void)inflateEnd(&stream);
    free(out);
}

/* The examples of RFC 7692, 7.2.3. */
static void the_examples_of_the_standard_inflate(void **state RH_UNUSED)
{
    static const struct {
        const char *section;
        const char *deflated;
        size_t size;
        const char *payload; /* NULL: cannot be inflated */
    } rows[] = {
        {"7.2.3.1", "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello"},
        /* It refers to the message before it, which is not agreed on here. */
        {"7.2.3.2", "\xf2\x00\x11\x00\x00", 5, NULL},
        {"7.2.3.3", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11, "Hello"},
        {"7.2.3.4", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, "Hello"},
        {"7.2.3.5", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13, "Hello"},
        {"7.2.3.6", "\x00", 1, ""},
    };
    struct rh_inflater inflater = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_bytes payload;
        print_message("# %s\n", rows[i].section);
        int rv = rh_inflater_run(&inflater, rh_bytes(rows[i].deflated, rows[i].size), SIZE_MAX_HERE,
                                 &payload);
        assert_int_equal(rv, rows[i].payload == NULL ? RH_ERR_INVALID : 0);
        assert_true(rv != 0 || rh_bytes_equal_text(payload, rows[i].payload));
    }
    rh_inflater_finish(&inflater);
}

/* Words with some repetition; |kinds| of 256 is noise. */
static struct rh_bytes make_payload(char *out, size_t size, size_t kinds, uint64_t *seed)
{
    for (size_t i = 0; i < size; i++) {
        bool repeat = i > 20 && rh_test_below(seed, 4) != 0 && kinds < 256;
        out[i] = repeat ? out[i - 1 - rh_test_below(seed, i < 20000 ? i : 20000)]
                        : (char)rh_test_below(seed, kinds);
    }
    return rh_bytes(out, size);
}

static void what_is_deflated_inflates_to_the_same_in_the_window_agreed_on(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(1);
    static char data[SIZE_MAX_HERE];
    struct rh_deflater deflater = {.level = 6};
    struct rh_inflater inflater = {0};
    size_t deflated_count = 0;
    for (unsigned round = 0; round < 400; round++) {
        size_t size = rh_test_below(&seed, round % 4 == 0 ? SIZE_MAX_HERE : 2000);
        struct rh_bytes payload = make_payload(data, size, round % 5 == 0 ? 256 : 20, &seed);
        uint8_t bits = (uint8_t)(RH_DEFLATE_BITS_MIN + round % RH_DEFLATE_BITS_COUNT);
        struct rh_bytes deflated;
        struct rh_bytes back;
        int rv = rh_deflater_run(&deflater, bits, payload, &deflated);
        if (rv != 0) {
            assert_int_equal(rv, RH_ERR_FULL);
            assert_true(size < 100 || round % 5 == 0);
            continue;
        }
        deflated_count++;
        assert_true(deflated.size < payload.size);
        assert_inflates_to(deflated, bits, payload);
        assert_int_equal(rh_inflater_run(&inflater, deflated, size, &back), 0);
        assert_true(rh_bytes_equal(back, payload));
    }
    assert_true(deflated_count > 250);
    rh_deflater_finish(&deflater);
    rh_inflater_finish(&inflater);
}

static void what_does_not_become_smaller_is_not_deflated(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(2);
    char data[5000];
    struct rh_deflater deflater = {.level = 9};
    struct rh_bytes deflated;
    assert_int_equal(rh_deflater_run(&deflater, 15, rh_bytes(NULL, 0), &deflated), RH_ERR_FULL);
    assert_int_equal(rh_deflater_run(&deflater, 15, rh_bytes_text("Hello"), &deflated),
                     RH_ERR_FULL);
    struct rh_bytes noise = make_payload(data, sizeof(data), 256, &seed);
    assert_int_equal(rh_deflater_run(&deflater, 15, noise, &deflated), RH_ERR_FULL);
    /* Nothing of it is left for the next one. */
    memset(data, 'a', sizeof(data));
    struct rh_bytes payload = rh_bytes(data, sizeof(data));
    assert_int_equal(rh_deflater_run(&deflater, 15, payload, &deflated), 0);
    assert_inflates_to(deflated, 15, payload);
    rh_deflater_finish(&deflater);
}

static void payloads_of_any_window_and_end_inflate(void **state RH_UNUSED)
{
    static char data[70000];
    uint64_t seed = rh_test_seed(3);
    struct rh_bytes payload = make_payload(data, sizeof(data), 20, &seed);
    struct rh_inflater inflater = {0};
    for (int bits = RH_DEFLATE_BITS_MIN; bits <= RH_DEFLATE_BITS_MAX; bits++) {
        for (int last = 0; last < 2; last++) {
            struct rh_buffer deflated = {0};
            struct rh_bytes back;
            deflate_raw(payload, bits, last ? Z_FINISH : Z_SYNC_FLUSH, &deflated);
            if (last) { /* RFC 7692, 7.2.3.4 */
                assert_int_equal(rh_buffer_append(&deflated, "", 1), 0);
            }
            assert_int_equal(
                rh_inflater_run(&inflater, rh_buffer_content(&deflated), sizeof(data), &back), 0);
            assert_true(rh_bytes_equal(back, payload));
            rh_buffer_finish(&deflated);
        }
    }
    rh_inflater_finish(&inflater);
}

static void
a_bomb_is_refused_at_the_limit_and_takes_no_more_memory_than_that(void **state RH_UNUSED)
{
    size_t size = 64U << 20;
    char *zeros = calloc(1, size);
    struct rh_buffer bomb = {0};
    struct rh_inflater inflater = {0};
    struct rh_bytes payload;
    deflate_raw(rh_bytes(zeros, size), 15, Z_SYNC_FLUSH, &bomb);
    assert_true(rh_buffer_size(&bomb) < size / 500);
    assert_int_equal(rh_inflater_run(&inflater, rh_buffer_content(&bomb), SIZE_MAX_HERE, &payload),
                     RH_ERR_TOO_LARGE);
    assert_true(inflater.output.capacity <= 4 * (size_t)SIZE_MAX_HERE);
    assert_int_equal(rh_inflater_run(&inflater, rh_buffer_content(&bomb), size - 1, &payload),
                     RH_ERR_TOO_LARGE);
    assert_int_equal(rh_inflater_run(&inflater, rh_buffer_content(&bomb), size, &payload), 0);
    assert_int_equal(payload.size, size);
    /* What a large one needed is not kept. */
    assert_int_equal(rh_inflater_run(&inflater, rh_bytes("\x00", 1), 10, &payload), 0);
    assert_true(inflater.output.capacity <= 65536);
    rh_inflater_finish(&inflater);
    rh_buffer_finish(&bomb);
    free(zeros);
}

static void a_payload_that_ends_too_early_or_is_damaged_is_refused(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(4);
    char data[300];
    struct rh_buffer deflated = {0};
    struct rh_inflater inflater = {0};
    struct rh_bytes payload;
    deflate_raw(make_payload(data, sizeof(data), 20, &seed), 15, Z_SYNC_FLUSH, &deflated);
    struct rh_bytes whole = rh_buffer_content(&deflated);
    /* The bytes that end every message may happen to complete what was cut off; not often. */
    unsigned refused = 0;
    for (size_t size = 0; size + 1 < whole.size; size++) {
        int rv = rh_inflater_run(&inflater, rh_bytes(whole.data, size), 1000, &payload);
        assert_true(rv == RH_ERR_INVALID || (rv == 0 && payload.size < sizeof(data)));
        refused += rv != 0;
    }
    assert_true(refused > whole.size * 3 / 4);
    refused = 0;
    for (unsigned round = 0; round < 2000; round++) {
        char noise[64];
        for (size_t i = 0; i < sizeof(noise); i++) {
            noise[i] = (char)rh_test_random(&seed);
        }
        int rv = rh_inflater_run(&inflater, rh_bytes(noise, rh_test_below(&seed, sizeof(noise))),
                                 1000, &payload);
        assert_true(rv == 0 || rv == RH_ERR_INVALID || rv == RH_ERR_TOO_LARGE);
        refused += rv != 0;
    }
    assert_true(refused > 1500);
    /* And the next one is taken as if nothing had been. */
    assert_int_equal(rh_inflater_run(&inflater, whole, sizeof(data), &payload), 0);
    assert_memory_equal(payload.data, data, sizeof(data));
    rh_inflater_finish(&inflater);
    rh_buffer_finish(&deflated);
}

static void want_of_memory_is_said_and_leaves_both_usable(void **state RH_UNUSED)
{
    char data[3000];
    memset(data, 'x', sizeof(data));
    struct rh_bytes payload = rh_bytes(data, sizeof(data));
    for (unsigned nth = 1;; nth++) {
        struct rh_deflater deflater = {.level = 6};
        struct rh_inflater inflater = {0};
        struct rh_bytes deflated;
        struct rh_bytes back;
        rh_test_allocation_fail(nth);
        int rv = rh_deflater_run(&deflater, 10, payload, &deflated);
        if (rv == 0) {
            rv = rh_inflater_run(&inflater, deflated, sizeof(data), &back);
        }
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        assert_int_equal(rh_deflater_run(&deflater, 10, payload, &deflated), 0);
        assert_int_equal(rh_inflater_run(&inflater, deflated, sizeof(data), &back), 0);
        assert_true(rh_bytes_equal(back, payload));
        rh_deflater_finish(&deflater);
        rh_inflater_finish(&inflater);
        if (!failed) {
            assert_true(nth > 6);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(the_first_offer_that_can_be_met_is_taken),
        RH_TEST(an_offer_that_cannot_be_met_is_declined),
        RH_TEST(every_beginning_of_an_offer_is_read_within_its_bounds),
        RH_TEST(the_examples_of_the_standard_inflate),
        RH_TEST(what_is_deflated_inflates_to_the_same_in_the_window_agreed_on),
        RH_TEST(what_does_not_become_smaller_is_not_deflated),
        RH_TEST(payloads_of_any_window_and_end_inflate),
        RH_TEST(a_bomb_is_refused_at_the_limit_and_takes_no_more_memory_than_that),
        RH_TEST(a_payload_that_ends_too_early_or_is_damaged_is_refused),
        RH_TEST(want_of_memory_is_said_and_leaves_both_usable),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
