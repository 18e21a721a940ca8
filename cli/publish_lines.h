/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_PUBLISH_LINES_H
#define RH_CLI_PUBLISH_LINES_H

/*
 * `ringhop publish --stdin`: publishes every line of the standard input, over a few connections to
 * each owner, and tells of each line that could not be published. What is read and not answered yet
 * is bounded; beyond that nothing is read.
 *
 *      stdin --> cli/lines.h --> cli/feed.h --> cli/publish_link.h --> nodes
 *                                   |
 *                  view of the ring, nodes that are avoided for a while
 */

#include "cli/cli.h"
#include "cli/lines.h"

struct rh_publish_lines {
    struct rh_line_rules rules;
    const char *id; /* of line N, if it has none itself, the id is ID-N; NULL: a random one */
};

enum rh_exit rh_publish_lines_run(struct rh_cli *cli, const struct rh_publish_lines *options);

#endif
