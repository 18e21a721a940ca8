/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_counts.h"

#include "tests/simulator_node.h"

#include <inttypes.h>

static void print(const char *what, const char *name, const struct sim_count *count,
                  int nodes_count, FILE *out)
{
    if (count->times == 0) {
        return;
    }
    (void)fprintf(out, "%-9s %-16s %10" PRIu64 "  %8.1f per node", what, name, count->times,
                  (double)count->times / nodes_count);
    if (count->bytes > 0) {
        (void)fprintf(out, "  %12" PRIu64 " bytes, %.0f each", count->bytes,
                      (double)count->bytes / (double)count->times);
    }
    (void)fputc('\n', out);
}

void sim_counts_print(const struct sim_counts *counts, int nodes_count, FILE *out)
{
    print("views", "adopted", &counts->views, nodes_count, out);
    print("zookeeper", "watches fired", &counts->watches, nodes_count, out);
    for (unsigned i = 0; i < SIM_OPERATIONS; i++) {
        print("zookeeper", sim_node_operation_name((enum rh_membership_action_kind)i),
              &counts->operations[i], nodes_count, out);
    }
    print("zookeeper", "said no to", &counts->refused, nodes_count, out);
    for (unsigned i = 0; i < RH_PEER_MESSAGE_KINDS; i++) {
        print("peers", rh_peer_message_name((enum rh_peer_message_kind)i), &counts->messages[i],
              nodes_count, out);
    }
    print("peers", "pings", &counts->pings, nodes_count, out);
}
