// SPDX-License-Identifier: Apache-2.0
//
// A borrowed run of bytes: pointer and length, never owned. data == NULL means "null" where a
// protocol knows null, which is not the same as the empty slice.
#ifndef WEIR_BASE_SLICE_H
#define WEIR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
    const uint8_t *data;
    size_t len;
};

#define SLICE_NULL ((struct slice){NULL, 0})

struct slice slice_of(const void *data, size_t len);
struct slice slice_cstr(const char *text);     // without the final NUL
bool slice_eq(struct slice a, struct slice b); // null equals only null
bool slice_eq_cstr(struct slice a, const char *text);
bool slice_same(struct slice a, struct slice b); // null and empty are alike
int slice_cmp(struct slice a, struct slice b);   // bytewise, shorter first
// Copies into a NUL-terminated buffer, cutting what does not fit (size >= 1). For texts and traces
// only.
void slice_to_cstr(struct slice s, char *out, size_t size);

// New memory; null stays null. slice_free accepts null, and only what slice_dup has made.
struct slice slice_dup(struct slice s);
void slice_free(struct slice s);

#endif
