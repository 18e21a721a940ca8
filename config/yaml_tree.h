/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CONFIG_YAML_TREE_H
#define RH_CONFIG_YAML_TREE_H

/*
 * A small YAML document as a tree that remembers lines. Only what a config needs: mappings with
 * plain keys, sequences and scalars. Anchors, aliases, tags and further documents are refused:
 * a reader of the file should see what it says without evaluating it.
 *
 * Pure but for libyaml, which does the scanning. What the fields mean is config.c's matter.
 */

#include "base/bytes.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define RH_YAML_DEPTH_MAX 8      /* nested mappings and sequences */
#define RH_YAML_NODES_MAX 100000 /* in one document, keys not counted */

enum rh_yaml_kind {
    RH_YAML_SCALAR,
    RH_YAML_MAPPING,
    RH_YAML_SEQUENCE,
};

struct rh_yaml {
    enum rh_yaml_kind kind;
    unsigned line;            /* of the key where there is one, else of the value; from 1 */
    bool plain;               /* a scalar without quotes */
    char *key;                /* inside a mapping, terminated and without NUL; else NULL */
    char *text;               /* of a scalar, terminated and without NUL; else NULL */
    struct rh_yaml *children; /* of a mapping or sequence, in the order of the file */
    struct rh_yaml *next;     /* the next child of the same parent */
};

/*
 * Reads one document; |name| stands for the file in reasons, which read "NAME:LINE: what is wrong".
 * The caller owns |ret_root|. Keys may occur twice: the reader of the tree refuses that.
 * RH_ERR_INVALID: syntax, an empty document, or something refused (see above).
 * RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_yaml_parse(struct rh_bytes text, const char *name, struct rh_yaml **ret_root,
                                struct rh_reason *reason);

/* Frees a tree; NULL is allowed. */
void rh_yaml_destroy(struct rh_yaml *root);

/* The first child of |mapping| with that key, or NULL (also when |mapping| is NULL). */
const struct rh_yaml *rh_yaml_find(const struct rh_yaml *mapping, const char *key);

#endif
