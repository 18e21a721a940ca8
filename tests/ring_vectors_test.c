/* SPDX-License-Identifier: Apache-2.0 */

/* Reads tests/vectors/ring.txt, whose format docs/ring.md describes, and checks every answer. */

#include "ring/ring.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RINGS_MAX = 32, MEMBERS_MAX = 32, LINE_SIZE = 4096, FIELDS_MAX = 24, TEXT_SIZE = 600 };

/* One block of the file: what it says of a ring, and the ring once it is needed. */
struct block {
    char name[64];
    struct rh_ring_options options;
    size_t replicas;
    struct rh_ring_member members[MEMBERS_MAX];
    size_t members_count;
    struct rh_ring *ring;
};

struct reader {
    FILE *file;
    unsigned line;
    struct block blocks[RINGS_MAX];
    size_t blocks_count;
    struct rh_ring_arc *arcs;
    const struct block *before;
    const struct block *after;
    size_t arcs_count;
    size_t arcs_read;
    size_t keys_count;
    size_t differences_count;
};

static char *percent_decode(const char *text, size_t *ret_size)
{
    char *bytes = malloc(TEXT_SIZE);
    size_t size = 0;
    for (; *text != '\0'; text++) {
        assert_true(size + 1 < TEXT_SIZE);
        if (*text == '%') {
            const char digits[3] = {text[1], text[2], '\0'};
            bytes[size++] = (char)strtoul(digits, NULL, 16);
            text += 2;
        } else {
            bytes[size++] = *text;
        }
    }
    bytes[size] = '\0';
    *ret_size = size;
    return bytes;
}

static struct rh_ring *ring_of(struct block *block)
{
    if (block->ring == NULL) {
        assert_int_equal(
            rh_ring_create(&block->options, block->members, block->members_count, &block->ring), 0);
    }
    return block->ring;
}

static struct block *block_named(struct reader *reader, const char *name)
{
    size_t i = 0;
    while (i < reader->blocks_count && strcmp(reader->blocks[i].name, name) != 0) {
        i++;
    }
    assert_true(i < reader->blocks_count);
    return &reader->blocks[i];
}

static const char *id_of(const struct rh_ring *ring, uint32_t index)
{
    return index == RH_RING_NONE ? "." : rh_ring_member(ring, index)->id;
}

static void expect_hex(uint64_t found, const char *expected)
{
    char text[17];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)found);
    assert_string_equal(text, expected);
}

static void read_member(struct block *block, char **fields, size_t fields_count)
{
    size_t size = 0;
    assert_true(block->members_count < MEMBERS_MAX && block->ring == NULL);
    block->members[block->members_count++] = (struct rh_ring_member){
        .id = strdup(fields[1]),
        .zone = percent_decode(fields_count > 3 ? fields[3] : "", &size),
        .weight_milli = (uint32_t)strtoul(fields[2], NULL, 10),
    };
}

static void check_share(const struct rh_ring *ring, char **fields)
{
    double parts = rh_ring_share(ring, rh_ring_find(ring, fields[1])) * 9007199254740992.0;
    assert_true((uint64_t)parts == strtoull(fields[2], NULL, 10));
}

static void check_point(const struct rh_ring *ring, char **fields)
{
    char text[LINE_SIZE];
    int size = snprintf(text, sizeof(text), "%s#%s", fields[1], fields[2]);
    uint64_t hash = rh_ring_hash(ring, text, (size_t)size);
    expect_hex(hash, fields[3]);
    assert_string_equal(id_of(ring, rh_ring_owner(ring, hash)), fields[1]);
}

static void check_key(const struct rh_ring *ring, size_t replicas, char **fields,
                      size_t fields_count)
{
    size_t size = 0;
    uint32_t indices[RH_RING_REPLICAS_MAX];
    char *key = percent_decode(fields[1], &size);
    uint64_t hash = rh_ring_hash(ring, key, size);
    free(key);
    expect_hex(hash, fields[2]);
    size_t count = rh_ring_preference(ring, hash, replicas, indices);
    assert_int_equal(count, fields_count - 3);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(id_of(ring, indices[i]), fields[3 + i]);
    }
    assert_string_equal(id_of(ring, rh_ring_owner(ring, hash)), count == 0 ? "." : fields[3]);
}

static void end_difference(struct reader *reader)
{
    assert_int_equal(reader->arcs_read, reader->arcs_count);
    free(reader->arcs);
    reader->arcs = NULL;
    reader->arcs_count = reader->arcs_read = 0;
}

static void begin_difference(struct reader *reader, char **fields)
{
    end_difference(reader);
    reader->before = block_named(reader, fields[1]);
    reader->after = block_named(reader, fields[2]);
    assert_int_equal(rh_ring_difference(reader->before->ring, reader->after->ring, &reader->arcs,
                                        &reader->arcs_count),
                     0);
    reader->differences_count++;
}

static void check_arc(struct reader *reader, char **fields)
{
    assert_true(reader->arcs_read < reader->arcs_count);
    const struct rh_ring_arc *arc = &reader->arcs[reader->arcs_read++];
    expect_hex(arc->first, fields[1]);
    expect_hex(arc->last, fields[2]);
    assert_string_equal(id_of(reader->before->ring, arc->before), fields[3]);
    assert_string_equal(id_of(reader->after->ring, arc->after), fields[4]);
}

static void begin_ring(struct reader *reader, const char *name)
{
    assert_true(reader->blocks_count < RINGS_MAX);
    struct block *block = &reader->blocks[reader->blocks_count++];
    snprintf(block->name, sizeof(block->name), "%s", name);
}

static void read_line(struct reader *reader, char **fields, size_t count)
{
    const char *word = fields[0];
    if (strcmp(word, "ring") == 0 && count == 2) {
        begin_ring(reader, fields[1]);
        return;
    }
    assert_true(reader->blocks_count > 0);
    struct block *block = &reader->blocks[reader->blocks_count - 1];
    if (strcmp(word, "seed") == 0 && count == 2) {
        block->options.seed = strtoull(fields[1], NULL, 10);
    } else if (strcmp(word, "vnodes") == 0 && count == 2) {
        block->options.vnodes = (uint32_t)strtoul(fields[1], NULL, 10);
    } else if (strcmp(word, "replicas") == 0 && count == 2) {
        block->replicas = strtoul(fields[1], NULL, 10);
    } else if (strcmp(word, "member") == 0 && count >= 3) {
        read_member(block, fields, count);
    } else if (strcmp(word, "points") == 0 && count == 2) {
        assert_int_equal(rh_ring_points_count(ring_of(block)), strtoul(fields[1], NULL, 10));
    } else if (strcmp(word, "digest") == 0 && count == 2) {
        expect_hex(rh_ring_digest(ring_of(block)), fields[1]);
    } else if (strcmp(word, "share") == 0 && count == 3) {
        check_share(ring_of(block), fields);
    } else if (strcmp(word, "point") == 0 && count == 4) {
        check_point(ring_of(block), fields);
    } else if (strcmp(word, "key") == 0 && count >= 3) {
        check_key(ring_of(block), block->replicas, fields, count);
        reader->keys_count++;
    } else if (strcmp(word, "difference") == 0 && count == 3) {
        begin_difference(reader, fields);
    } else if (strcmp(word, "arc") == 0 && count == 5) {
        check_arc(reader, fields);
    } else {
        fail_msg("line %u: %s?", reader->line, word);
    }
}

static void the_golden_placements_hold(void **state RH_UNUSED)
{
    static struct reader reader;
    static char line[LINE_SIZE];
    reader.file = fopen("tests/vectors/ring.txt", "re");
    assert_non_null(reader.file);
    while (fgets(line, sizeof(line), reader.file) != NULL) {
        char *fields[FIELDS_MAX];
        size_t count = 0;
        reader.line++;
        for (char *field = strtok(line, " \n"); field != NULL; field = strtok(NULL, " \n")) {
            assert_true(count < FIELDS_MAX);
            fields[count++] = field;
        }
        if (count > 0 && fields[0][0] != '#') {
            read_line(&reader, fields, count);
        }
    }
    end_difference(&reader);
    fclose(reader.file);
    assert_true(reader.keys_count > 100 && reader.differences_count > 4);
    for (size_t i = 0; i < reader.blocks_count; i++) {
        struct block *block = &reader.blocks[i];
        rh_ring_destroy(block->ring);
        for (size_t k = 0; k < block->members_count; k++) {
            free((void *)(uintptr_t)block->members[k].id);
            free((void *)(uintptr_t)block->members[k].zone);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(the_golden_placements_hold),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
