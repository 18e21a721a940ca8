/* SPDX-License-Identifier: Apache-2.0 */

/* A stranger's program: it knows the installed header and `pkg-config ringhop-ring` only. */

#include <ringhop/ring.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    const struct rh_ring_options options = {.seed = 0, .vnodes = 512};
    const struct rh_ring_member members[] = {{"n1", "a", 1000}, {"n2", "b", 1000}};
    struct rh_ring *ring;
    if (rh_ring_create(&options, members, 2, &ring) != 0) {
        return 1;
    }
    const char *key = "user:42";
    uint32_t owner = rh_ring_owner(ring, rh_ring_hash(ring, key, strlen(key)));
    printf("%s %s\n", key, rh_ring_member(ring, owner)->id);
    rh_ring_destroy(ring);
    return 0;
}
