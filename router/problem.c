/* SPDX-License-Identifier: Apache-2.0 */
#include "router/problem.h"

#include "router/json_write.h"

#include <assert.h>

static const struct {
    unsigned status;
    const char *code;
    const char *title;
} problems[] = {{0, "", ""},
#define ROW(name, status, code, title) {status, code, title},
                RH_PROBLEM_MAP(ROW)
#undef ROW
};

unsigned rh_problem_status(enum rh_problem problem)
{
    assert(problem != RH_PROBLEM_NONE);
    return problems[problem].status;
}

const char *rh_problem_code(enum rh_problem problem)
{
    assert(problem != RH_PROBLEM_NONE);
    return problems[problem].code;
}

const char *rh_problem_title(enum rh_problem problem)
{
    assert(problem != RH_PROBLEM_NONE);
    return problems[problem].title;
}

/* A detail may quote what a stranger sent, cut anywhere: then the bytes that break it are shown as
 * question marks. */
static int append_detail(struct rh_buffer *buffer, const char *detail)
{
    struct rh_bytes text = rh_bytes_text(detail);
    if (rh_bytes_is_utf8(text)) {
        return rh_json_append_string(buffer, text);
    }
    struct rh_buffer ascii = {0};
    int rv = rh_buffer_append_bytes(&ascii, text);
    for (size_t i = 0; rv == 0 && i < ascii.end; i++) {
        if ((unsigned char)ascii.data[i] >= 0x80) {
            ascii.data[i] = '?';
        }
    }
    if (rv == 0) {
        rv = rh_json_append_string(buffer, rh_buffer_content(&ascii));
    }
    rh_buffer_finish(&ascii);
    return rv;
}

int rh_problem_encode(enum rh_problem problem, const char *detail, struct rh_buffer *buffer)
{
    size_t before = rh_buffer_size(buffer);
    if (detail == NULL || detail[0] == '\0') {
        detail = rh_problem_title(problem);
    }
    int rv = rh_buffer_format(
        buffer, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":",
        rh_problem_title(problem), rh_problem_status(problem));
    if (rv == 0) {
        rv = append_detail(buffer, detail);
    }
    if (rv == 0) {
        rv = rh_buffer_format(buffer, ",\"code\":\"%s\"}", rh_problem_code(problem));
    }
    if (rv != 0) {
        rh_buffer_truncate(buffer, before);
    }
    return rv;
}
