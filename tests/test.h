/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_TEST_H
#define RH_TESTS_TEST_H

/* cmocka wants these headers before its own, in this order. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "base/error.h"

/* One row of a test table; the name of the function is the sentence. */
#define RH_TEST(name) cmocka_unit_test(name)

#endif
