/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include "base/units.h"

#include <libsmartcols/libsmartcols.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct rh_output_table {
    struct libscols_table *table;
    size_t columns_count;
    bool failed;
};

struct rh_output_table *rh_output_table_create(const struct rh_output_column *columns,
                                               size_t columns_count)
{
    struct rh_output_table *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        return NULL;
    }
    table->columns_count = columns_count;
    table->table = scols_new_table();
    if (table->table == NULL) {
        free(table);
        return NULL;
    }
    for (size_t i = 0; i < columns_count; i++) {
        int flags = columns[i].right ? SCOLS_FL_RIGHT : 0;
        table->failed = table->failed ||
                        scols_table_new_column(table->table, columns[i].title, 0.1, flags) == NULL;
    }
    return table;
}

void rh_output_table_row(struct rh_output_table *table, const char *const texts[])
{
    if (table == NULL || table->failed) {
        return;
    }
    struct libscols_line *line = scols_table_new_line(table->table, NULL);
    if (line == NULL) {
        table->failed = true;
        return;
    }
    for (size_t i = 0; i < table->columns_count; i++) {
        const char *text = texts[i] == NULL || texts[i][0] == '\0' ? "-" : texts[i];
        table->failed = table->failed || scols_line_set_data(line, i, text) != 0;
    }
}

enum rh_exit rh_output_table_finish(const struct rh_cli *cli, struct rh_output_table *table)
{
    if (table == NULL) {
        return rh_cli_fail_no_memory(cli);
    }
    bool failed = table->failed || scols_print_table(table->table) != 0;
    scols_unref_table(table->table);
    free(table);
    return failed ? rh_cli_fail_no_memory(cli) : RH_EXIT_DONE;
}

enum rh_exit rh_output_json(const struct rh_cli *cli, json_t *value)
{
    char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(value);
    if (text == NULL) {
        return rh_cli_fail_no_memory(cli);
    }
    (void)puts(text);
    free(text);
    return RH_EXIT_DONE;
}

json_t *rh_output_id64(uint64_t value)
{
    char text[RH_ID64_SIZE];
    if (value == 0) {
        return json_null();
    }
    rh_id64_format(value, text);
    return json_string(text);
}

json_t *rh_output_weight(uint32_t weight_milli)
{
    if (weight_milli % RH_WEIGHT_ONE == 0) {
        return json_integer(weight_milli / RH_WEIGHT_ONE);
    }
    return json_real((double)weight_milli / RH_WEIGHT_ONE);
}

json_t *rh_output_share(double share)
{
    return json_real(round(share * 1e6) / 1e6);
}

json_t *rh_output_text(const char *text)
{
    return text == NULL ? json_null() : json_string(text);
}

void rh_output_append(json_t **list, json_t *item)
{
    if (json_array_append_new(*list, item) != 0) {
        json_decref(*list);
        *list = NULL;
    }
}

void rh_output_share_format(double share, char out[static RH_OUTPUT_SHARE_SIZE])
{
    (void)snprintf(out, RH_OUTPUT_SHARE_SIZE, "%.1f %%", share * 100);
}

void rh_output_escaped(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == '\n') {
            (void)fputs("\\n", stdout);
        } else if (byte == '\r') {
            (void)fputs("\\r", stdout);
        } else if (byte == '\t') {
            (void)fputs("\\t", stdout);
        } else if (byte == '\\') {
            (void)fputs("\\\\", stdout);
        } else if (byte < 0x20 || byte == 0x7f) {
            (void)printf("\\x%02x", byte);
        } else if (byte == 0xc2 && i + 1 < text.size && (unsigned char)text.data[i + 1] < 0xa0) {
            /* C1 controls, which some terminals obey */
            i++;
            (void)printf("\\u%04x", (unsigned char)text.data[i]);
        } else {
            (void)putchar(byte);
        }
    }
}
