/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"
#include "node/core_internal.h"

#include <stdlib.h>

/*
 * Who follows a topic. The topic does not know (docs/topics.md): each node knows of the channels that
 * it serves, so all members are asked, and the answers are put together here.
 *
 *   (asked) --all have answered, or WAIT_MS later--> answered, with the names of who was silent
 */

#define WAIT_MS     2000U
#define AT_ONCE_MAX 64U /* questions of clients of this node */

/* One of the nodes that are asked. */
struct asked {
    struct rh_node_ref ref;
    uint32_t count; /* ANSWERED */
    enum { UNREACHABLE, ASKED, ANSWERED } state;
};

/* A question that is not answered yet. */
struct rh_gathering {
    struct rh_list link; /* rh_topics::gatherings, by deadline */
    uint64_t number;
    uint64_t request; /* the caller's */
    uint64_t deadline_ms;
    uint32_t limit;
    uint32_t waiting; /* nodes that are ASKED */
    uint32_t keys_count;
    struct rh_buffer keys; /* each with its size before it, in two bytes */
    size_t asked_count;
    struct asked asked[];
};

static struct rh_gathering *gathering_of(struct rh_list *link)
{
    return rh_container_of(link, struct rh_gathering, link);
}

static void destroy(struct rh_core *core, struct rh_gathering *gathering)
{
    rh_list_remove(&gathering->link);
    core->topics.gatherings_count--;
    rh_buffer_finish(&gathering->keys);
    free(gathering);
}

void rh_core_followers_finish(struct rh_core *core)
{
    while (!rh_list_empty(&core->topics.gatherings)) {
        destroy(core, gathering_of(core->topics.gatherings.next));
    }
}

/* ---- the answer ---- */

static int compare_keys(const void *left, const void *right)
{
    const struct rh_bytes *a = left;
    const struct rh_bytes *b = right;
    int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* The keys in order, each once: one whose channel went from a node to another between their answers
 * was named by both. */
static size_t sorted_keys(struct rh_core *core, const struct rh_gathering *gathering,
                          struct rh_bytes **ret_keys)
{
    struct rh_bytes all = rh_core_scratch_bytes(core, rh_buffer_content(&gathering->keys));
    struct rh_bytes *keys = rh_core_scratch(core, gathering->keys_count, sizeof(*keys));
    const char *at = all.data;
    for (uint32_t i = 0; i < gathering->keys_count; i++) {
        uint16_t size;
        memcpy(&size, at, sizeof(size));
        keys[i] = rh_bytes(at + sizeof(size), size);
        at += sizeof(size) + size;
    }
    if (gathering->keys_count > 0) {
        qsort(keys, gathering->keys_count, sizeof(*keys), compare_keys);
    }
    size_t count = 0;
    for (uint32_t i = 0; i < gathering->keys_count; i++) {
        if (count == 0 || !rh_bytes_equal(keys[i], keys[count - 1])) {
            keys[count++] = keys[i];
        }
    }
    *ret_keys = keys;
    return count;
}

static void answer(struct rh_core *core, struct rh_gathering *gathering)
{
    struct rh_bytes *keys = NULL;
    size_t keys_count = sorted_keys(core, gathering, &keys);
    struct rh_followers_node *nodes = rh_core_scratch(core, gathering->asked_count, sizeof(*nodes));
    uint64_t count = 0;
    for (size_t i = 0; i < gathering->asked_count; i++) {
        const struct asked *asked = &gathering->asked[i];
        nodes[i] = (struct rh_followers_node){.count = asked->count,
                                              .is_missing = asked->state != ANSWERED};
        memcpy(nodes[i].id, asked->ref.id, RH_NODE_ID_SIZE);
        count += asked->count;
    }
    count -= gathering->keys_count - keys_count;
    struct rh_action *action = rh_core_act(core, RH_ACTION_FOLLOWERS);
    action->followers.request = gathering->request;
    action->followers.result = (struct rh_followers_result){
        .count = count,
        .keys = keys,
        .keys_count = keys_count,
        .nodes = nodes,
        .nodes_count = gathering->asked_count,
    };
    destroy(core, gathering);
}

/* ---- gathering ---- */

static void keep(struct rh_gathering *gathering, struct rh_bytes key)
{
    uint16_t size = (uint16_t)key.size;
    if (gathering->keys_count >= gathering->limit ||
        rh_buffer_size(&gathering->keys) > RH_PEER_BATCH_SIZE) {
        return;
    }
    char *out = rh_buffer_reserve(&gathering->keys, sizeof(size) + size);
    if (out == NULL) {
        return; /* one less is named, which the count tells */
    }
    memcpy(out, &size, sizeof(size));
    memcpy(out + sizeof(size), key.data, size);
    rh_buffer_commit(&gathering->keys, sizeof(size) + size);
    gathering->keys_count++;
}

static void take(struct rh_gathering *gathering, struct asked *asked,
                 const struct rh_peer_followers_answer *said)
{
    asked->state = ANSWERED;
    asked->count = said->count;
    gathering->waiting--;
    for (size_t i = 0; i < said->followers_count; i++) {
        keep(gathering, said->followers[i]);
    }
}

/* What this node knows. */
static struct rh_peer_followers_answer look_up(struct rh_core *core, uint64_t request,
                                               struct rh_bytes topic, uint32_t limit)
{
    struct rh_peer_followers_answer answer = {.request = request};
    answer.followers =
        rh_core_feed_followers(core, topic, limit, &answer.followers_count, &answer.count);
    return answer;
}

/* Another version of the software might take the question for a broken frame, and close the link. */
static bool can_be_asked(const struct rh_core *core, uint32_t member)
{
    const struct rh_registration *members = core->view->members;
    return core->members[member] == core->self_process ||
           (core->self != RH_RING_NONE &&
            strcmp(members[member].version, members[core->self].version) == 0 &&
            rh_core_is_reachable(core, core->members[member]));
}

static void ask_all(struct rh_core *core, struct rh_gathering *gathering, struct rh_bytes topic)
{
    struct rh_bytes copy = rh_core_scratch_bytes(core, topic);
    for (uint32_t i = 0; i < core->view->members_count; i++) {
        const struct rh_process *process = core->members[i];
        struct asked *asked = &gathering->asked[i];
        asked->ref = process->ref;
        if (!can_be_asked(core, i)) {
            continue; /* it is missing, and nobody waits for it */
        }
        asked->state = ASKED;
        gathering->waiting++;
        if (process == core->self_process) {
            const struct rh_peer_followers_answer own =
                look_up(core, gathering->number, topic, gathering->limit);
            take(gathering, asked, &own);
        } else {
            rh_core_send(core, process, RH_PEER_FOLLOWERS_ASK)->followers_ask =
                (struct rh_peer_followers_ask){
                    .request = gathering->number,
                    .topic = copy,
                    .limit = gathering->limit,
                };
        }
    }
}

static void refuse(struct rh_core *core, uint64_t request, enum rh_refusal refusal)
{
    core->stats.refusals++;
    struct rh_action *action = rh_core_act(core, RH_ACTION_FOLLOWERS);
    action->followers.request = request;
    action->followers.result = (struct rh_followers_result){.refusal = refusal};
}

void rh_core_followers(struct rh_core *core, const struct rh_event *event)
{
    if (core->view == NULL) {
        refuse(core, event->followers.request, rh_core_route_refusal(core));
        return;
    }
    if (core->topics.gatherings_count >= AT_ONCE_MAX) {
        refuse(core, event->followers.request, RH_REFUSAL_OVERLOADED);
        return;
    }
    size_t count = core->view->members_count;
    struct rh_gathering *gathering =
        calloc(1, sizeof(*gathering) + count * sizeof(gathering->asked[0]));
    if (gathering == NULL) {
        refuse(core, event->followers.request, RH_REFUSAL_NO_MEMORY);
        return;
    }
    gathering->number = ++core->topics.gathering_number;
    gathering->request = event->followers.request;
    gathering->deadline_ms = core->now_ms + WAIT_MS;
    gathering->limit = event->followers.limit;
    gathering->asked_count = count;
    rh_buffer_init(&gathering->keys);
    rh_list_push_back(&core->topics.gatherings, &gathering->link);
    core->topics.gatherings_count++;
    ask_all(core, gathering, event->followers.topic);
    if (gathering->waiting == 0) {
        answer(core, gathering);
    }
}

void rh_core_followers_tick(struct rh_core *core)
{
    while (rh_core_followers_ms(core) <= core->now_ms) {
        answer(core, gathering_of(core->topics.gatherings.next));
    }
}

uint64_t rh_core_followers_ms(const struct rh_core *core)
{
    const struct rh_list *gatherings = &core->topics.gatherings;
    return rh_list_empty(gatherings) ? UINT64_MAX : gathering_of(gatherings->next)->deadline_ms;
}

/* ---- from node to node ---- */

void rh_core_on_followers_ask(struct rh_core *core, struct rh_process *from,
                              const struct rh_peer_message *message)
{
    const struct rh_peer_followers_ask *ask = &message->followers_ask;
    const struct rh_peer_followers_answer own = look_up(core, ask->request, ask->topic, ask->limit);
    rh_core_send(core, from, RH_PEER_FOLLOWERS_ANSWER)->followers_answer = own;
}

void rh_core_on_followers_answer(struct rh_core *core, struct rh_process *from,
                                 const struct rh_peer_message *message)
{
    const struct rh_peer_followers_answer *said = &message->followers_answer;
    rh_list_each (&core->topics.gatherings, link) {
        struct rh_gathering *gathering = gathering_of(link);
        if (gathering->number != said->request) {
            continue;
        }
        for (size_t i = 0; i < gathering->asked_count; i++) {
            struct asked *asked = &gathering->asked[i];
            if (asked->state == ASKED && rh_node_ref_equal(&asked->ref, &from->ref)) {
                take(gathering, asked, said);
            }
        }
        if (gathering->waiting == 0) {
            answer(core, gathering);
        }
        return;
    }
}
