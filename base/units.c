/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <stdio.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60U * 1000U}, {"h", 60U * 60U * 1000U}};

static const struct unit size_units[] = {
    {"B", 1}, {"KiB", 1024}, {"MiB", 1024U * 1024U}, {"GiB", 1024U * 1024U * 1024U}};

static int parse(struct rh_bytes text, const struct unit *units, size_t units_count, uint64_t max,
                 uint64_t *ret_value)
{
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    uint64_t number;
    int rv = rh_bytes_to_u64(rh_bytes(text.data, digits), max, &number);
    if (rv != 0) {
        return rv;
    }
    if (digits == text.size && number == 0) {
        *ret_value = 0;
        return 0;
    }
    struct rh_bytes name = rh_bytes(text.data + digits, text.size - digits);
    for (size_t i = 0; i < units_count; i++) {
        if (!rh_bytes_equal_text(name, units[i].name)) {
            continue;
        }
        if (number > max / units[i].factor) {
            return RH_ERR_INVALID;
        }
        *ret_value = number * units[i].factor;
        return 0;
    }
    return RH_ERR_INVALID;
}

int rh_duration_parse(struct rh_bytes text, uint32_t *ret_duration_ms)
{
    uint64_t value;
    int rv = parse(text, duration_units, sizeof(duration_units) / sizeof(duration_units[0]),
                   UINT32_MAX, &value);
    if (rv == 0) {
        *ret_duration_ms = (uint32_t)value;
    }
    return rv;
}

int rh_size_parse(struct rh_bytes text, uint64_t *ret_size)
{
    return parse(text, size_units, sizeof(size_units) / sizeof(size_units[0]), INT64_MAX, ret_size);
}

int rh_weight_parse(struct rh_bytes text, uint32_t *ret_weight_milli)
{
    size_t whole = 0;
    while (whole < text.size && text.data[whole] != '.') {
        whole++;
    }
    uint64_t value;
    int rv = rh_bytes_to_u64(rh_bytes(text.data, whole), RH_WEIGHT_MAX / RH_WEIGHT_ONE, &value);
    if (rv != 0) {
        return rv;
    }
    value *= RH_WEIGHT_ONE;
    if (whole < text.size) {
        size_t decimals = text.size - whole - 1;
        uint64_t fraction;
        if (decimals > 3) {
            return RH_ERR_INVALID;
        }
        rv = rh_bytes_to_u64(rh_bytes(text.data + whole + 1, decimals), 999, &fraction);
        if (rv != 0) {
            return rv;
        }
        for (; decimals < 3; decimals++) {
            fraction *= 10;
        }
        value += fraction;
    }
    if (value > RH_WEIGHT_MAX) {
        return RH_ERR_INVALID;
    }
    *ret_weight_milli = (uint32_t)value;
    return 0;
}

void rh_weight_format(uint32_t weight_milli, char out[static RH_WEIGHT_TEXT_SIZE])
{
    uint32_t fraction = weight_milli % RH_WEIGHT_ONE;
    int length =
        snprintf(out, RH_WEIGHT_TEXT_SIZE, "%u.%03u", weight_milli / RH_WEIGHT_ONE, fraction);
    while (length > 0 && out[length - 1] == '0') {
        out[--length] = '\0';
    }
    if (length > 0 && out[length - 1] == '.') {
        out[--length] = '\0';
    }
}
