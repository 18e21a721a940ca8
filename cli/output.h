/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_OUTPUT_H
#define RH_CLI_OUTPUT_H

/*
 * What goes to stdout: tables with aligned columns for people, JSON objects, one a line, for
 * programs. Values of both kinds are formed here, so that they look alike everywhere.
 */

#include "base/bytes.h"
#include "cli/cli.h"

#include <jansson.h>

/* A table that is printed when it is complete. Failures (memory) are remembered until then. */
struct rh_output_table;

struct rh_output_column {
    const char *title;
    bool right; /* numbers */
};

struct rh_output_table *rh_output_table_create(const struct rh_output_column *columns,
                                               size_t columns_count);

/* Adds a row of as many texts as there are columns; NULL or "" is shown as `-`. Copied. */
void rh_output_table_row(struct rh_output_table *table, const char *const texts[]);

/* Prints the table and frees it; NULL (out of memory) is allowed. */
enum rh_exit rh_output_table_finish(const struct rh_cli *cli, struct rh_output_table *table);

/* Prints |value| on one line and takes it; NULL stands for one that memory did not suffice for. */
enum rh_exit rh_output_json(const struct rh_cli *cli, json_t *value);

/* Values. All give NULL when out of memory, which json_object_set_new() and so on accept. */
json_t *rh_output_id64(uint64_t value);          /* 16 hex digits; null for 0 */
json_t *rh_output_weight(uint32_t weight_milli); /* 1, 0.5 */
json_t *rh_output_share(double share);           /* six digits after the point */
json_t *rh_output_text(const char *text);        /* null for NULL */

/* Appends |item|, which is taken; the list becomes NULL when there is no memory for it. Either may be
 * NULL already: a list that lacks an item is of no use. */
void rh_output_append(json_t **list, json_t *item);

#define RH_OUTPUT_SHARE_SIZE 16

/* "24.9 %" */
void rh_output_share_format(double share, char out[static RH_OUTPUT_SHARE_SIZE]);

/* Prints |text| so that it stays on its line and leaves the terminal alone: backslash escapes for
 * control characters and backslashes. */
void rh_output_escaped(struct rh_bytes text);

#endif
