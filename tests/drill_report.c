/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the page of a drill out of its result, for integration/test_drill_report.py:
 *
 *     drill-report RESULT.json REPORT.html
 */
#include "drill/report.h"

#include <stdio.h>

int main(int argc, char *argv[])
{
    if (argc != 3) {
        fprintf(stderr, "usage: drill-report RESULT.json REPORT.html\n");
        return 2;
    }
    json_error_t error;
    json_t *result = json_load_file(argv[1], 0, &error);
    if (!result) {
        fprintf(stderr, "%s:%d: %s\n", argv[1], error.line, error.text);
        return 1;
    }
    struct rh_reason reason = {0};
    int rv = rh_drill_report_write(argv[2], result, &reason);
    json_decref(result);
    if (rv != 0) {
        fprintf(stderr, "%s\n", reason.text);
    }
    return rv == 0 ? 0 : 1;
}
