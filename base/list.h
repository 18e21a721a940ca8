/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_LIST_H
#define RH_BASE_LIST_H

/*
 * Intrusive doubly linked list. The head and every element embed a `struct rh_list`; an element
 * is in at most one list per link. Removal takes only the link, so it cannot name the wrong list.
 */

#include <stdbool.h>
#include <stddef.h>

struct rh_list {
    struct rh_list *prev;
    struct rh_list *next;
};

#define rh_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Makes |list| an empty head, or a link that is in no list. */
static inline void rh_list_init(struct rh_list *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool rh_list_empty(const struct rh_list *list)
{
    return list->next == list;
}

static inline void rh_list_insert_after(struct rh_list *place, struct rh_list *link)
{
    link->prev = place;
    link->next = place->next;
    place->next->prev = link;
    place->next = link;
}

static inline void rh_list_push_back(struct rh_list *head, struct rh_list *link)
{
    rh_list_insert_after(head->prev, link);
}

static inline void rh_list_push_front(struct rh_list *head, struct rh_list *link)
{
    rh_list_insert_after(head, link);
}

/* Takes |link| out of its list and leaves it in none; a link that is in no list may be removed. */
static inline void rh_list_remove(struct rh_list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    rh_list_init(link);
}

/* First link, or NULL when the list is empty. */
static inline struct rh_list *rh_list_first(const struct rh_list *head)
{
    return head->next == head ? NULL : head->next;
}

/* Moves all elements of |from| to the end of |to|; |from| is empty afterwards. */
static inline void rh_list_splice(struct rh_list *to, struct rh_list *from)
{
    if (rh_list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    rh_list_init(from);
}

#define rh_list_each(head, link) \
    for (struct rh_list *link = (head)->next; link != (head); link = link->next)

/* Like rh_list_each, and |link| itself may be removed (and freed) in the body. */
#define rh_list_each_safe(head, link)                                                    \
    for (struct rh_list *link = (head)->next, *link##_next = link->next; link != (head); \
         link = link##_next, link##_next = link->next)

#endif
