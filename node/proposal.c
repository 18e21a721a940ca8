/* SPDX-License-Identifier: Apache-2.0 */
#include "node/proposal.h"

#include "base/buffer.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

static const struct {
    const char *name;
    enum rh_change_kind kind;
} kinds[] = {{"add", RH_CHANGE_ADD}, {"remove", RH_CHANGE_REMOVE}, {"weight", RH_CHANGE_WEIGHT}};

/* ---- one change ---- */

/* What is before the next |separator|, which is taken as well; all when there is none. */
static struct rh_bytes take_word(struct rh_bytes *text, char separator, bool *ret_more)
{
    struct rh_bytes word = rh_bytes(text->data, 0);
    while (word.size < text->size && text->data[word.size] != separator) {
        word.size++;
    }
    *ret_more = word.size < text->size;
    size_t taken = word.size + *ret_more;
    *text = rh_bytes(taken == 0 ? text->data : text->data + taken, text->size - taken);
    return word;
}

static bool is_zone(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
        if (!fits) {
            return false;
        }
    }
    return text.size < RH_ZONE_SIZE;
}

int rh_change_parse(enum rh_change_kind kind, struct rh_bytes text, struct rh_change *ret_change,
                    struct rh_reason *reason)
{
    struct rh_change change = {.kind = kind};
    struct rh_bytes rest = text;
    bool has_weight;
    bool has_zone = false;
    struct rh_bytes id = take_word(&rest, ':', &has_weight);
    if (!rh_node_id_valid(id)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "`%.*s`: a node id is 1 to 64 letters, digits, _ or -", RH_BYTES_ARG(text));
    }
    memcpy(change.id, id.data, id.size);
    if (kind == RH_CHANGE_REMOVE && has_weight) {
        return rh_fail(reason, RH_ERR_INVALID, "`%.*s`: a node is removed without a weight",
                       RH_BYTES_ARG(text));
    }
    if (kind == RH_CHANGE_WEIGHT && !has_weight) {
        return rh_fail(reason, RH_ERR_INVALID, "`%.*s`: the new weight is missing, as in %s:2",
                       RH_BYTES_ARG(text), change.id);
    }
    struct rh_bytes weight = has_weight ? take_word(&rest, ':', &has_zone) : rh_bytes(NULL, 0);
    if (has_weight &&
        (rh_weight_parse(weight, &change.weight_milli) != 0 || change.weight_milli == 0)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "`%.*s`: a weight is a number above 0, at most 1000, with at most three "
                       "decimals",
                       RH_BYTES_ARG(text));
    }
    if (has_zone && (kind != RH_CHANGE_ADD || !is_zone(rest))) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "`%.*s`: a zone is up to 64 letters, digits, dots, _ or -, of a node to add",
                       RH_BYTES_ARG(text));
    }
    *rh_bytes_write(change.zone, rest) = '\0';
    *ret_change = change;
    return 0;
}

/* ---- the text ---- */

static uint64_t check_of(struct rh_bytes text)
{
    return XXH3_64bits(text.data, text.size);
}

static int append_change(struct rh_buffer *out, const struct rh_change *change)
{
    char weight[RH_WEIGHT_TEXT_SIZE];
    rh_weight_format(change->weight_milli, weight);
    const char *name = kinds[change->kind].name;
    switch (change->kind) {
    case RH_CHANGE_ADD:
        return rh_buffer_format(out, "%s:%s:%s:%s", name, change->id, weight, change->zone);
    case RH_CHANGE_REMOVE:
        return rh_buffer_format(out, "%s:%s", name, change->id);
    case RH_CHANGE_WEIGHT:
        return rh_buffer_format(out, "%s:%s:%s", name, change->id, weight);
    }
    return RH_ERR_INVALID;
}

static int append_text(struct rh_buffer *out, const struct rh_proposal *proposal)
{
    int rv = rh_buffer_format(out, "%" PRIu64 ":%" PRId64 ":%016" PRIx64,
                              proposal->epoch.generation, proposal->epoch.pzxid, proposal->digest);
    for (size_t i = 0; i < proposal->changes_count && rv == 0; i++) {
        rv = rh_buffer_append_text(out, i == 0 ? "/" : ",");
        if (rv == 0) {
            rv = append_change(out, &proposal->changes[i]);
        }
    }
    return rv == 0 ? rh_buffer_format(out, "/%016" PRIx64, check_of(rh_buffer_content(out))) : rv;
}

int rh_proposal_format(const struct rh_proposal *proposal,
                       char ret_text[static RH_PROPOSAL_TEXT_SIZE], struct rh_reason *reason)
{
    struct rh_buffer out = {0};
    int rv = append_text(&out, proposal);
    if (rv == 0 && rh_buffer_size(&out) >= RH_PROPOSAL_TEXT_SIZE) {
        rv = rh_fail(reason, RH_ERR_TOO_LARGE,
                     "too many changes for one plan: its id would have more "
                     "than %d characters",
                     RH_PROPOSAL_TEXT_SIZE - 1);
    } else if (rv == 0) {
        *rh_bytes_write(ret_text, rh_buffer_content(&out)) = '\0';
    }
    rh_buffer_finish(&out);
    return rv == RH_ERR_NO_MEMORY ? rh_fail(reason, rv, "%s", rh_error_text(rv)) : rv;
}

static int parse_view(struct rh_bytes text, struct rh_proposal *proposal)
{
    bool more;
    uint64_t pzxid;
    int rv = rh_bytes_to_u64(take_word(&text, ':', &more), UINT64_MAX, &proposal->epoch.generation);
    if (rv == 0) {
        rv = rh_bytes_to_u64(take_word(&text, ':', &more), INT64_MAX, &pzxid);
    }
    if (rv == 0) {
        proposal->epoch.pzxid = (int64_t)pzxid;
        rv = rh_bytes_to_id64(text, &proposal->digest);
    }
    return rv;
}

static int parse_change(struct rh_bytes text, struct rh_proposal *proposal)
{
    bool more;
    struct rh_bytes name = take_word(&text, ':', &more);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!rh_bytes_equal_text(name, kinds[i].name)) {
            continue;
        }
        struct rh_change *change = &proposal->changes[proposal->changes_count++];
        int rv = rh_change_parse(kinds[i].kind, text, change, NULL);
        bool whole = change->kind == RH_CHANGE_REMOVE || change->weight_milli > 0;
        return rv == 0 && !whole ? RH_ERR_INVALID : rv;
    }
    return RH_ERR_INVALID;
}

static int parse_changes(struct rh_bytes text, struct rh_proposal *proposal)
{
    bool more = true;
    int rv = 0;
    while (more && rv == 0) {
        struct rh_bytes change = take_word(&text, ',', &more);
        rv = proposal->changes_count < RH_PROPOSAL_CHANGES_MAX ? parse_change(change, proposal)
                                                               : RH_ERR_INVALID;
    }
    return rv;
}

int rh_proposal_parse(struct rh_bytes text, struct rh_proposal *ret_proposal,
                      struct rh_reason *reason)
{
    const size_t tail = RH_ID64_SIZE; /* a slash and the check */
    uint64_t check;
    bool is_one =
        text.size > tail && text.size < RH_PROPOSAL_TEXT_SIZE &&
        text.data[text.size - tail] == '/' &&
        rh_bytes_to_id64(rh_bytes(text.data + text.size - tail + 1, tail - 1), &check) == 0;
    if (!is_one) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "this is not the id of a plan: `ringhop plan` prints "
                       "one");
    }
    struct rh_bytes rest = rh_bytes(text.data, text.size - tail);
    if (check != check_of(rest)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "the id of the plan is damaged: copy it whole, without spaces or line ends");
    }
    bool more;
    *ret_proposal = (struct rh_proposal){0};
    struct rh_bytes view = take_word(&rest, '/', &more);
    if (parse_view(view, ret_proposal) != 0 || parse_changes(rest, ret_proposal) != 0) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "the id of the plan is of another version of ringhop");
    }
    return 0;
}

/* ---- what it makes ---- */

/* The members of the ring to come, with a weight of 0 for those that are not in it. */
struct draft {
    struct rh_ring_member *members;
    size_t count;
    bool *touched; /* a change has named it */
};

static int find(const struct draft *draft, const char *id)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (strcmp(draft->members[i].id, id) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int apply(struct draft *draft, const struct rh_change *change, struct rh_reason *reason)
{
    int at = find(draft, change->id);
    bool inside = at >= 0 && draft->members[at].weight_milli > 0;
    if (at >= 0 && draft->touched[at]) {
        return rh_fail(reason, RH_ERR_CONFLICT, "%s is named twice", change->id);
    }
    if (change->kind == RH_CHANGE_ADD && inside) {
        return rh_fail(reason, RH_ERR_CONFLICT,
                       "%s cannot be added: it is in the ring already (--weight changes a weight)",
                       change->id);
    }
    if (change->kind != RH_CHANGE_ADD && !inside) {
        return rh_fail(reason, RH_ERR_CONFLICT,
                       "%s is not in the ring; `ringhop ring` lists who is", change->id);
    }
    if (at < 0) {
        at = (int)draft->count;
        draft->members[at] = (struct rh_ring_member){.id = change->id, .zone = change->zone};
        draft->count++;
    }
    draft->touched[at] = true;
    draft->members[at].weight_milli = change->kind == RH_CHANGE_REMOVE ? 0 : change->weight_milli;
    return 0;
}

int rh_changes_apply(const struct rh_view *view, const struct rh_change *changes,
                     size_t changes_count, struct rh_ring **ret_ring, struct rh_reason *reason)
{
    size_t room = view->members_count + changes_count + 1;
    struct draft draft = {.members = calloc(room, sizeof(*draft.members)),
                          .touched = calloc(room, sizeof(*draft.touched))};
    int rv = draft.members == NULL || draft.touched == NULL ? RH_ERR_NO_MEMORY : 0;
    for (size_t i = 0; i < view->members_count && rv == 0; i++) {
        draft.members[i] = *rh_ring_member(view->ring, (uint32_t)i);
        draft.count++;
    }
    for (size_t i = 0; i < changes_count && rv == 0; i++) {
        rv = apply(&draft, &changes[i], reason);
    }
    if (rv == 0) {
        const struct rh_ring_options options = {.seed = view->config.seed,
                                                .vnodes = view->config.vnodes};
        rv = rh_ring_create(&options, draft.members, draft.count, ret_ring);
        if (rv != 0) {
            (void)rh_fail(reason, rv, "such a ring cannot be built: %s", rh_error_text(rv));
        }
    }
    free(draft.members);
    free(draft.touched);
    return rv;
}

int rh_proposal_check(const struct rh_proposal *proposal, const struct rh_view *view,
                      struct rh_reason *reason)
{
    if (rh_epoch_compare(proposal->epoch, view->epoch) != 0) {
        return rh_fail(reason, RH_ERR_CONFLICT,
                       "the plan is of epoch %" PRIu64 ":%" PRId64 ", the cluster is in %" PRIu64
                       ":%" PRId64,
                       proposal->epoch.generation, proposal->epoch.pzxid, view->epoch.generation,
                       view->epoch.pzxid);
    }
    if (proposal->digest != rh_ring_digest(view->ring)) {
        return rh_fail(reason, RH_ERR_CONFLICT, "the plan is of another ring than this cluster's");
    }
    return 0;
}
