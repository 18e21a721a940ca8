/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/allocation.h"

#include <stddef.h>

static unsigned countdown; /* to the one that fails; 0: none */
static bool failed;

void rh_test_allocation_fail(unsigned nth)
{
    countdown = nth;
    failed = false;
}

bool rh_test_allocation_failed(void)
{
    countdown = 0;
    return failed;
}

static bool fails_now(void)
{
    if (countdown == 0) {
        return false;
    }
    countdown--;
    failed = countdown == 0;
    return failed;
}

/* The linker binds calls of malloc() to __wrap_malloc(), and __real_malloc() to malloc(). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails_now() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails_now() ? NULL : __real_strndup(text, size);
}
