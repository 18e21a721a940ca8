/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_DEADLINE_H
#define RH_ROUTER_DEADLINE_H

/*
 * Time limits for very many objects: one list per kind of limit. All limits of a kind are equally
 * long, so a list that is only added to at its end is ordered, and arming, disarming and finding
 * the first one each take a few pointer moves. The caller has the clock, and one real timer.
 */

#include "base/list.h"

#include <stdint.h>

struct rh_deadline {
    struct rh_list link;
    uint64_t at_ms;
};

struct rh_deadline_list {
    struct rh_list head;
    uint32_t length_ms;
};

static inline void rh_deadline_list_init(struct rh_deadline_list *list, uint32_t length_ms)
{
    rh_list_init(&list->head);
    list->length_ms = length_ms;
}

static inline void rh_deadline_init(struct rh_deadline *deadline)
{
    rh_list_init(&deadline->link);
    deadline->at_ms = 0;
}

/* Leaves the list it is in, if any. */
static inline void rh_deadline_disarm(struct rh_deadline *deadline)
{
    rh_list_remove(&deadline->link);
}

/* |now_ms| never goes back from one call to the next for the same list. */
static inline void rh_deadline_arm(struct rh_deadline_list *list, struct rh_deadline *deadline,
                                   uint64_t now_ms)
{
    rh_list_remove(&deadline->link);
    deadline->at_ms = now_ms + list->length_ms;
    rh_list_push_back(&list->head, &deadline->link);
}

/* The next to pass, or NULL. */
static inline struct rh_deadline *rh_deadline_first(const struct rh_deadline_list *list)
{
    struct rh_list *link = rh_list_first(&list->head);
    return link == NULL ? NULL : rh_container_of(link, struct rh_deadline, link);
}

#endif
