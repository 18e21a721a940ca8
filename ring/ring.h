/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_RING_RING_H
#define RH_RING_RING_H

/*
 * The consistent-hash ring: which member owns a key, which members hold its copies, what share of
 * the hash space each one has, and what changes hands between two rings.
 *
 * Pure values: a ring is built once from a list of members and never changes. It knows nothing of
 * ZooKeeper, messages or channels. docs/ring.md defines every placement precisely enough to write
 * the same ring in another language; tests/vectors/ring.txt has the golden placements.
 *
 * Points. A member of weight w has round(w * vnodes) points (at least one when w > 0). Point i of
 * member "n1" is the hash of the text "n1#i", i in decimal from 0, so a point does not depend on
 * who else is there, and raising a weight only adds points. Points are ordered by (hash, member
 * id).
 *
 * Owner. A key belongs to the first point whose hash is >= the key's hash, walking clockwise; past
 * the last point the walk goes on at the first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RH_RING_PUBLIC     __attribute__((visibility("default")))
#define RH_RING_MUST_CHECK __attribute__((warn_unused_result))
#else
#define RH_RING_PUBLIC
#define RH_RING_MUST_CHECK
#endif

#define RH_RING_ID_SIZE_MAX  64      /* bytes of a member id, without terminator */
#define RH_RING_VNODES_MAX   65536   /* points of a member of weight 1 */
#define RH_RING_MEMBERS_MAX  65535   /* members, those of weight 0 included */
#define RH_RING_POINTS_MAX   8388608 /* points of all members: 16,384 members of 512 */
#define RH_RING_WEIGHT_ONE   1000    /* weights are in thousandths */
#define RH_RING_REPLICAS_MAX 16      /* longest preference list */
#define RH_RING_NONE         UINT32_MAX

/* Errors; the values are those of base/error.h. */
#define RH_RING_ERR_NO_MEMORY (-1)
#define RH_RING_ERR_INVALID   (-2) /* vnodes out of range, bad or double id */
#define RH_RING_ERR_TOO_LARGE (-3) /* above RH_RING_MEMBERS_MAX or RH_RING_POINTS_MAX */

struct rh_ring;

/* Parameters that all users of one ring must share. */
struct rh_ring_options {
    uint64_t seed;
    uint32_t vnodes; /* 1 to RH_RING_VNODES_MAX; 512 by default */
};

/* One member as the caller describes it. Strings are copied. */
struct rh_ring_member {
    const char *id;        /* 1 to RH_RING_ID_SIZE_MAX bytes of [A-Za-z0-9_-], unique */
    const char *zone;      /* failure domain; NULL or "" is a zone of its own, shared by all such */
    uint32_t weight_milli; /* 0: listed, but without points */
};

/* A stretch of the hash space, both ends included, that has another owner in the second ring. */
struct rh_ring_arc {
    uint64_t first;
    uint64_t last;
    uint32_t before; /* index of the owner in the first ring, RH_RING_NONE if it has no points */
    uint32_t after;  /* index of the owner in the second ring, likewise */
};

/*
 * Builds a ring. |members| may be in any order and is not kept; |members_count| may be 0.
 * The members of the ring are sorted by id (bytewise); an *index* below is a place in that order.
 * RH_RING_ERR_INVALID, RH_RING_ERR_TOO_LARGE, RH_RING_ERR_NO_MEMORY.
 */
RH_RING_PUBLIC RH_RING_MUST_CHECK int rh_ring_create(const struct rh_ring_options *options,
                                                     const struct rh_ring_member *members,
                                                     size_t members_count,
                                                     struct rh_ring **ret_ring);

/* Frees the ring; NULL is allowed. */
RH_RING_PUBLIC void rh_ring_destroy(struct rh_ring *ring);

/* Number of members, those of weight 0 included. */
RH_RING_PUBLIC size_t rh_ring_members_count(const struct rh_ring *ring);

/* Number of members with points, i.e. of weight above 0. */
RH_RING_PUBLIC size_t rh_ring_active_count(const struct rh_ring *ring);

/* Total number of points. */
RH_RING_PUBLIC size_t rh_ring_points_count(const struct rh_ring *ring);

/* The member at |index| (< members_count), as the ring holds it: valid as long as the ring. Its
 * zone is never NULL. */
RH_RING_PUBLIC const struct rh_ring_member *rh_ring_member(const struct rh_ring *ring,
                                                           uint32_t index);

/* Index of the member |id|, or RH_RING_NONE. */
RH_RING_PUBLIC uint32_t rh_ring_find(const struct rh_ring *ring, const char *id);

/* Place of a key in the hash space: XXH3-64 of its bytes with the ring's seed. */
RH_RING_PUBLIC uint64_t rh_ring_hash(const struct rh_ring *ring, const void *key, size_t key_size);

/* Index of the owner of |hash|; RH_RING_NONE when no member has points. */
RH_RING_PUBLIC uint32_t rh_ring_owner(const struct rh_ring *ring, uint64_t hash);

/*
 * For a picture of the ring: cuts the hash space into |cells| equal parts and writes to |ret_owners|
 * who owns the middle of each, as rh_ring_owner() does. |cells| is from 1 to UINT32_MAX.
 */
RH_RING_PUBLIC void rh_ring_cells(const struct rh_ring *ring, uint32_t cells, uint32_t *ret_owners);

/*
 * The preference list of |hash|: up to |replicas| distinct members, the owner first. Walking
 * clockwise it takes members of zones not taken yet; if that gives fewer than |replicas|, it fills
 * up with the members passed over, in walk order. Writes indices to |ret_indices| (room for
 * |replicas|, at most RH_RING_REPLICAS_MAX) and returns how many: min(replicas, active_count).
 * The walk is a few points long, unless a zone that must be taken has very few of them.
 */
RH_RING_PUBLIC size_t rh_ring_preference(const struct rh_ring *ring, uint64_t hash, size_t replicas,
                                         uint32_t *ret_indices);

/*
 * Share of the hash space that member |index| owns, 0.0 to 1.0. Shares are multiples of 2^-53 (the
 * ends of each stretch are rounded down to one), so all of them add up to exactly 1.0.
 */
RH_RING_PUBLIC double rh_ring_share(const struct rh_ring *ring, uint32_t index);

/*
 * 64-bit digest of all that decides placement: seed, vnodes, and of every member with points its
 * id, weight and zone. Two rings with the same digest place every key alike. Members of weight 0
 * do not count.
 */
RH_RING_PUBLIC uint64_t rh_ring_digest(const struct rh_ring *ring);

/*
 * The arcs whose owner differs between two rings (compared by member id), in ascending order,
 * disjoint, neighbours with the same pair of owners merged (an arc never wraps past 2^64 - 1).
 * |ret_arcs| is freed by the caller with free(); it is NULL when there is none.
 * RH_RING_ERR_INVALID: the rings have another seed or vnodes. RH_RING_ERR_NO_MEMORY.
 */
RH_RING_PUBLIC RH_RING_MUST_CHECK int rh_ring_difference(const struct rh_ring *before,
                                                         const struct rh_ring *after,
                                                         struct rh_ring_arc **ret_arcs,
                                                         size_t *ret_arcs_count);

/*
 * Share of the hash space that |arcs| cover, 0.0 to 1.0, rounded like rh_ring_share(): the arcs
 * that one member gains and loses are exactly the difference of its two shares.
 */
RH_RING_PUBLIC double rh_ring_arcs_share(const struct rh_ring_arc *arcs, size_t arcs_count);

#ifdef __cplusplus
}
#endif

#endif
