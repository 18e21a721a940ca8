/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/position.h"

#include <inttypes.h>
#include <stdio.h>

int rh_position_parse(struct rh_bytes text, struct rh_position *ret_position)
{
    if (rh_bytes_equal_text(text, "0")) {
        *ret_position = (struct rh_position){0};
        return 0;
    }
    if (text.size < RH_ID64_SIZE || text.data[RH_ID64_SIZE - 1] != ':') {
        return RH_ERR_INVALID;
    }
    struct rh_position position;
    int rv = rh_bytes_to_id64(rh_bytes(text.data, RH_ID64_SIZE - 1), &position.incarnation);
    if (rv != 0) {
        return rv;
    }
    rv = rh_bytes_to_u64(rh_bytes(text.data + RH_ID64_SIZE, text.size - RH_ID64_SIZE), INT64_MAX,
                         &position.seq);
    if (rv != 0) {
        return rv;
    }
    if (position.incarnation == 0) {
        return RH_ERR_INVALID;
    }
    *ret_position = position;
    return 0;
}

void rh_position_format(struct rh_position position, char out[static RH_POSITION_TEXT_SIZE])
{
    if (position.incarnation == 0) {
        out[0] = '0';
        out[1] = '\0';
        return;
    }
    rh_id64_format(position.incarnation, out);
    (void)snprintf(out + RH_ID64_SIZE - 1, RH_POSITION_TEXT_SIZE - RH_ID64_SIZE + 1, ":%" PRIu64,
                   position.seq);
}
