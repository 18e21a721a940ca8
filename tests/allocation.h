/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_ALLOCATION_H
#define RH_TESTS_ALLOCATION_H

/*
 * Makes one allocation of the code under test fail, and counts them. A test that wants this names
 * allocation_dep in meson.build, which wraps malloc, calloc, realloc, aligned_alloc, strdup and
 * strndup at link time.
 *
 *     for (unsigned nth = 1; ; nth++) {
 *         rh_test_allocation_fail(nth);
 *         int rv = ...;
 *         if (!rh_test_allocation_failed()) { ...it succeeded...; break; }
 *         assert_int_equal(rv, RH_ERR_NO_MEMORY);
 *     }
 */

#include <stdbool.h>

/* The |nth| allocation from now on fails, once; 1 is the next one. 0: none does. */
void rh_test_allocation_fail(unsigned nth);

/* Whether that has happened. No allocation fails from here on. */
bool rh_test_allocation_failed(void);

#endif
