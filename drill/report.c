/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/report.h"

#include "drill/report/page.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A script element ends at the first "</script" in it, wherever that stands, and "<!--" changes
 * how it is read (HTML, 4.12.1.3). In JSON a '<' can only be in a string, where an escape stands
 * for it. */
static int write_without_tags(const char *text, size_t size, void *file)
{
    while (size > 0) {
        const char *tag = memchr(text, '<', size);
        size_t plain = tag ? (size_t)(tag - text) : size;
        if (fwrite(text, 1, plain, file) != plain || (tag && fputs("\\u003c", file) < 0)) {
            return -1;
        }
        size_t done = plain + (tag ? 1 : 0);
        text += done;
        size -= done;
    }
    return 0;
}

static bool write_page(FILE *file, const json_t *result)
{
    return fwrite(rh_drill_page_head, 1, rh_drill_page_head_size, file) ==
               rh_drill_page_head_size &&
           json_dump_callback(result, write_without_tags, file,
                              JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0 &&
           fwrite(rh_drill_page_tail, 1, rh_drill_page_tail_size, file) == rh_drill_page_tail_size;
}

int rh_drill_report_write(const char *path, const json_t *result, struct rh_reason *reason)
{
    FILE *file = fopen(path, "we");
    if (!file) {
        return rh_fail(reason, RH_ERR_IO, "%s: %s", path, strerror(errno));
    }
    errno = 0;
    bool written = write_page(file, result);
    int why = errno;
    if (fclose(file) != 0 && written) {
        written = false;
        why = errno;
    }
    if (!written) {
        return rh_fail(reason, RH_ERR_IO, "%s: cannot write the report: %s", path,
                       why ? strerror(why) : "out of memory");
    }
    return 0;
}
