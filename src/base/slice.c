// SPDX-License-Identifier: Apache-2.0
//
// Slices: comparison and copying. Lengths are compared before contents wherever that is enough.
#include "base/slice.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct slice slice_of(const void *data, size_t len)
{
    return (struct slice){data, len};
}

struct slice slice_cstr(const char *text)
{
    return slice_of(text, strlen(text));
}

bool slice_eq(struct slice a, struct slice b)
{
    if ((a.data == NULL) != (b.data == NULL) || a.len != b.len)
        return false;
    return a.len == 0 || memcmp(a.data, b.data, a.len) == 0;
}

bool slice_eq_cstr(struct slice a, const char *text)
{
    return slice_eq(a, slice_cstr(text));
}

bool slice_same(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    int order = both == 0 ? 0 : memcmp(a.data, b.data, both);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

void slice_to_cstr(struct slice s, char *out, size_t size)
{
    ASSERT(size >= 1);
    size_t len = s.len < size - 1 ? s.len : size - 1;
    if (len > 0)
        memcpy(out, s.data, len);
    out[len] = '\0';
}

struct slice slice_dup(struct slice s)
{
    if (s.data == NULL)
        return SLICE_NULL;
    uint8_t *copy = mem_alloc(s.len > 0 ? s.len : 1); // empty is not null
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return slice_of(copy, s.len);
}

void slice_free(struct slice s)
{
    mem_free((void *)(uintptr_t)s.data); // const for those who only read it
}
