/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *rh_error_text(int code)
{
    switch (code) {
    case 0:
        return "success";
#define RH_ERROR_TEXT(name, value, text) \
    case value:                          \
        return text;
        RH_ERROR_MAP(RH_ERROR_TEXT)
#undef RH_ERROR_TEXT
    default:
        return "unknown error";
    }
}

const char *rh_error_name(int code)
{
    switch (code) {
#define RH_ERROR_NAME(name, value, text) \
    case value:                          \
        return #name;
        RH_ERROR_MAP(RH_ERROR_NAME)
#undef RH_ERROR_NAME
    default:
        return "0";
    }
}

int rh_fail(struct rh_reason *reason, int code, const char *format, ...)
{
    if (reason == NULL) {
        return code;
    }
    va_list args;
    va_start(args, format);
    int length = vsnprintf(reason->text, sizeof(reason->text), format, args);
    va_end(args);
    if (length < 0) {
        reason->text[0] = '\0';
    } else if ((size_t)length >= sizeof(reason->text)) {
        memcpy(&reason->text[sizeof(reason->text) - 4], "...", 4);
    }
    return code;
}
