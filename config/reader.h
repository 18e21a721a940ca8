/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CONFIG_READER_H
#define RH_CONFIG_READER_H

/*
 * Reads a group of fields of the config into a struct, as a table describes them, and says where
 * in the file something is wrong. Pure.
 */

#include "base/error.h"
#include "config/value.h"
#include "config/yaml_tree.h"

#include <stddef.h>
#include <stdint.h>

#define RH_FIELDS_MAX 32 /* in one group */

/* What a field is called, where its value goes, what it may be. */
struct rh_field {
    const char *name;
    size_t offset;         /* in the struct that the group fills */
    rh_value_check *check; /* of a text (a char *); NULL for an amount */
    enum rh_value_kind kind;
    uint64_t min;
    uint64_t max;
    uint64_t fallback; /* of an amount that is not given */
    bool required;     /* a text that must be given */
};

struct rh_fields {
    const struct rh_field *fields;
    size_t count; /* at most RH_FIELDS_MAX */
};

/* Where a group of fields stands, for messages. */
struct rh_place {
    const char *origin;         /* file, or what stands for it */
    const struct rh_yaml *yaml; /* the group in the file; NULL when it is not from one */
    char prefix[32];            /* "limits.", "nodes[3].", "" */
    struct rh_reason *reason;
};

/* RH_ERR_INVALID with the reason "FILE:LINE: field: ...": the line of the field |name|, or of its
 * group when it is not there. */
int rh_place_fail(const struct rh_place *place, const char *name, const char *format, ...)
    RH_PRINTF(3, 4);

/* RH_ERR_NO_MEMORY with a reason. */
int rh_place_fail_no_memory(const struct rh_place *place);

/* RH_ERR_INVALID: |name| is none of |known|; the reason offers the one that was probably meant. */
int rh_place_fail_unknown(const struct rh_place *place, const char *name, const char *const known[],
                          size_t known_count);

/* RH_ERR_INVALID when |child| of the group has a name that an earlier one has. */
RH_MUST_CHECK int rh_place_check_single(const struct rh_place *place, const struct rh_yaml *child);

/* The text of |field| in |target|. */
char **rh_field_text(const struct rh_field *field, void *target);

/* Gives all amounts of |target| their fallbacks. */
void rh_fields_init(struct rh_fields fields, void *target);

/* Frees all texts of |target|. */
void rh_fields_finish(struct rh_fields fields, void *target);

/* The field called |name|, or NULL. */
const struct rh_field *rh_fields_find(struct rh_fields fields, const char *name);

/*
 * Checks one value and stores it in |target|; texts are copied and owned by |target|.
 * RH_ERR_INVALID, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_field_read(const struct rh_place *place, const struct rh_field *field,
                                const struct rh_yaml *yaml, void *target);
RH_MUST_CHECK int rh_field_set_text(const struct rh_place *place, const struct rh_field *field,
                                    const char *text, void *target);

/* The same for all of the mapping at |place|. */
RH_MUST_CHECK int rh_fields_read(const struct rh_place *place, struct rh_fields fields,
                                 void *target);

/* RH_ERR_INVALID: a text that is required is NULL. */
RH_MUST_CHECK int rh_fields_check_required(const struct rh_place *place, struct rh_fields fields,
                                           void *target);

#endif
