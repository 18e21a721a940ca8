/* SPDX-License-Identifier: Apache-2.0 */
#include "router/condition.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct rh_bytes trim(struct rh_bytes text)
{
    while (text.size > 0 && is_space(text.data[0])) {
        text = rh_bytes(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && is_space(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* Cuts the entity tag at the front of |text| off. False: there is none. */
static bool take_tag(struct rh_bytes *text, bool *ret_weak, struct rh_bytes *ret_tag)
{
    const char *at = text->data;
    size_t left = text->size;
    *ret_weak = left >= 2 && at[0] == 'W' && at[1] == '/';
    if (*ret_weak) {
        at += 2;
        left -= 2;
    }
    if (left < 2 || at[0] != '"') {
        return false;
    }
    size_t end = 1;
    while (end < left && at[end] != '"') {
        if ((unsigned char)at[end] <= 0x20 || at[end] == 0x7f) {
            return false;
        }
        end++;
    }
    if (end == left) {
        return false;
    }
    *ret_tag = rh_bytes(at + 1, end - 1);
    *text = rh_bytes(at + end + 1, left - end - 1);
    return true;
}

static uint64_t version_of(struct rh_bytes tag)
{
    uint64_t version = 0;
    bool is_ours =
        tag.size > 0 && tag.data[0] != '0' && rh_bytes_to_u64(tag, INT64_MAX, &version) == 0;
    return is_ours ? version : 0;
}

int rh_condition_parse(struct rh_bytes field, struct rh_condition *ret_condition)
{
    if (field.data == NULL) {
        *ret_condition = (struct rh_condition){.kind = RH_CONDITION_NONE};
        return 0;
    }
    bool weak;
    struct rh_bytes tag;
    struct rh_bytes rest = trim(field);
    if (rh_bytes_equal_text(rest, "*")) {
        *ret_condition = (struct rh_condition){.kind = RH_CONDITION_ANY};
        return 0;
    }
    if (!take_tag(&rest, &weak, &tag) || rest.size > 0) {
        return RH_ERR_INVALID;
    }
    *ret_condition = (struct rh_condition){
        .kind = RH_CONDITION_VERSION,
        .version = weak ? 0 : version_of(tag),
    };
    return 0;
}

bool rh_condition_lists(struct rh_bytes field, struct rh_bytes wanted)
{
    struct rh_bytes rest = trim(field);
    if (rh_bytes_equal_text(rest, "*")) {
        return true;
    }
    bool weak;
    struct rh_bytes tag;
    while (take_tag(&rest, &weak, &tag)) {
        if (rh_bytes_equal(tag, wanted)) {
            return true;
        }
        rest = trim(rest);
        if (rest.size == 0 || rest.data[0] != ',') {
            return false;
        }
        rest = trim(rh_bytes(rest.data + 1, rest.size - 1));
    }
    return false;
}

bool rh_condition_names(struct rh_bytes field, uint64_t version)
{
    char tag[24];
    (void)snprintf(tag, sizeof(tag), "%" PRIu64, version);
    return rh_condition_lists(field, rh_bytes_text(tag));
}
