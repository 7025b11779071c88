// SPDX-License-Identifier: Apache-2.0
//
// Invents valid messages and compares messages: the two halves of "what was encoded decodes to the
// same". Values are drawn from the edges as often as from the middle, and now and then a string or
// an array is long enough that its compact length takes two bytes.
#include "wire/wire_int.h"

struct generate {
    struct prng *prng;
    struct arena *arena;
    int version;
};

static int generate_struct(struct generate *g, const struct wire_struct *type, void *out);

static int64_t random_int(struct prng *p)
{
    static const int64_t edges[] = {0, 1, -1, INT8_MAX, INT16_MAX, INT32_MAX, INT64_MAX, INT64_MIN};
    if (prng_chance(p, 1, 2))
        return edges[prng_below(p, sizeof edges / sizeof edges[0])];
    return (int64_t)prng_next(p);
}

static size_t random_len(struct prng *p)
{
    if (prng_chance(p, 1, 40))
        return (size_t)prng_below(p, 400);
    return prng_chance(p, 1, 8) ? 0 : (size_t)prng_below(p, 12);
}

static int random_slice(struct generate *g, bool nullable, size_t max, struct slice *out)
{
    size_t len = random_len(g->prng);
    len = len < max ? len : max;
    if (nullable && prng_chance(g->prng, 1, 4)) {
        *out = SLICE_NULL;
        return 0;
    }
    uint8_t *data = arena_alloc(g->arena, len + 1);
    if (data == NULL)
        return ERR_LIMIT;
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)prng_next(g->prng);
    *out = (struct slice){data, len};
    return 0;
}

static int random_scalar(struct generate *g, enum wire_type type, bool nullable, void *out)
{
    if (type == WIRE_STR || type == WIRE_BYTES)
        return random_slice(g, nullable, SIZE_MAX, out);
    if (type == WIRE_SHORT_STR)
        return random_slice(g, false, WIRE_SHORT_STR_MAX, out);
    if (type != WIRE_UUID) {
        wire_int_set(type, out, random_int(g->prng));
        return 0;
    }
    uint64_t halves[2] = {prng_next(g->prng), prng_next(g->prng)};
    memcpy(out, halves, sizeof(struct uuid));
    return 0;
}

static int random_array(struct generate *g, const struct wire_field *f, void *base)
{
    bool null = wire_may_be_null(f, g->version) && prng_chance(g->prng, 1, 4);
    uint32_t count = (uint32_t)prng_below(g->prng, 4);
    if (f->elem != WIRE_STRUCT && prng_chance(g->prng, 1, 20))
        count = (uint32_t)prng_below(g->prng, 200);
    size_t size = wire_elem_size(f);
    int err = 0;
    wire_default_field(f, base);
    if (f->nullable)
        *(bool *)wire_member(base, f->null_offset) = null;
    if (null || count == 0)
        return 0;
    uint8_t *elements = arena_array(g->arena, count, size);
    if (elements == NULL)
        return ERR_LIMIT;
    memcpy(wire_member(base, f->offset), &elements, sizeof elements);
    memcpy(wire_member(base, f->count_offset), &count, sizeof count);
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = f->elem == WIRE_STRUCT ? generate_struct(g, f->of, elements + i * size)
                                     : random_scalar(g, f->elem, false, elements + i * size);
    return err;
}

static int random_field(struct generate *g, const struct wire_field *f, void *base)
{
    void *at = wire_member(base, f->offset);
    bool nullable = wire_may_be_null(f, g->version);
    if (f->type == WIRE_ARRAY)
        return random_array(g, f, base);
    if (f->type == WIRE_RECORDS)
        return random_slice(g, nullable, SIZE_MAX, &((struct wire_records *)at)->bytes);
    if (f->type != WIRE_STRUCT)
        return random_scalar(g, f->type, nullable, at);
    bool null = nullable && prng_chance(g->prng, 1, 4);
    if (f->nullable)
        *(bool *)wire_member(base, f->null_offset) = null;
    return null ? 0 : generate_struct(g, f->of, at);
}

static int generate_struct(struct generate *g, const struct wire_struct *type, void *out)
{
    int err = 0;
    wire_default(type, out);
    for (uint32_t i = 0; i < type->fields_count && err == 0; i++) {
        const struct wire_field *f = &type->fields[i];
        bool silent = f->tagged && prng_chance(g->prng, 1, 2);
        if (wire_has(f, g->version) && !silent)
            err = random_field(g, f, out);
    }
    return err;
}

int wire_generate(const struct wire_msg *msg, int version, struct prng *prng, struct arena *arena,
                  void *out)
{
    struct generate g = {.prng = prng, .arena = arena, .version = version};
    if (!wire_supports(msg, version))
        return ERR_UNSUPPORTED_VERSION;
    void *root = arena_alloc(arena, msg->root->size);
    if (root == NULL)
        return ERR_LIMIT;
    int err = generate_struct(&g, msg->root, root);
    if (err == 0)
        memcpy(out, root, msg->root->size);
    return err;
}

// ---- comparing -------------------------------------------------------------------------------

static bool struct_equal(const struct wire_struct *type, int version, const void *a, const void *b);

static bool str_equal(struct slice a, struct slice b, bool nullable)
{
    if (nullable && (a.data == NULL) != (b.data == NULL))
        return false;
    if (a.len == 0 || b.len == 0)
        return a.len == b.len;
    return slice_eq(a, b);
}

// The part of r that begins at offset at and is in one piece; at lies within r.
static struct slice records_at(const struct wire_records *r, size_t at)
{
    if (r->pieces_count == 0)
        return (struct slice){r->bytes.data + at, r->bytes.len - at};
    uint32_t i = 0;
    while (at >= r->pieces[i].len) {
        at -= r->pieces[i].len;
        i++;
        ASSERT(i < r->pieces_count);
    }
    struct slice piece = blob_piece_slice(r->pieces[i]);
    return (struct slice){piece.data + at, piece.len - at};
}

static bool records_equal(const struct wire_records *a, const struct wire_records *b, bool nullable)
{
    bool a_null = a->pieces_count == 0 && a->bytes.data == NULL;
    bool b_null = b->pieces_count == 0 && b->bytes.data == NULL;
    size_t len = wire_records_bytes(a);
    if ((nullable && a_null != b_null) || len != wire_records_bytes(b))
        return false;
    for (size_t at = 0; at < len;) {
        struct slice x = records_at(a, at);
        struct slice y = records_at(b, at);
        size_t n = x.len < y.len ? x.len : y.len;
        if (memcmp(x.data, y.data, n) != 0)
            return false;
        at += n;
    }
    return true;
}

static bool scalar_equal(enum wire_type type, bool nullable, const void *a, const void *b)
{
    if (type == WIRE_STR || type == WIRE_SHORT_STR || type == WIRE_BYTES)
        return str_equal(wire_slice(a), wire_slice(b), nullable);
    if (type == WIRE_UUID)
        return memcmp(a, b, sizeof(struct uuid)) == 0;
    return wire_int_get(type, a) == wire_int_get(type, b);
}

static bool array_equal(const struct wire_field *f, int version, const void *a, const void *b)
{
    uint32_t count = wire_null_flag(f, a) ? 0 : wire_count(f, a);
    uint32_t other = wire_null_flag(f, b) ? 0 : wire_count(f, b);
    size_t size = wire_elem_size(f);
    if (wire_may_be_null(f, version) && wire_null_flag(f, a) != wire_null_flag(f, b))
        return false;
    if (count != other)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const void *x = wire_elements(f, a) + i * size;
        const void *y = wire_elements(f, b) + i * size;
        if (f->elem == WIRE_STRUCT ? !struct_equal(f->of, version, x, y)
                                   : !scalar_equal(f->elem, false, x, y))
            return false;
    }
    return true;
}

static bool field_equal(const struct wire_field *f, int version, const void *a, const void *b)
{
    const void *x = wire_cmember(a, f->offset);
    const void *y = wire_cmember(b, f->offset);
    bool nullable = wire_may_be_null(f, version);
    if (f->type == WIRE_ARRAY)
        return array_equal(f, version, a, b);
    if (f->type == WIRE_RECORDS)
        return records_equal(x, y, nullable);
    if (f->type != WIRE_STRUCT)
        return scalar_equal(f->type, nullable, x, y);
    if (nullable && wire_null_flag(f, a) != wire_null_flag(f, b))
        return false;
    return (nullable && wire_null_flag(f, a)) || struct_equal(f->of, version, x, y);
}

static bool struct_equal(const struct wire_struct *type, int version, const void *a, const void *b)
{
    for (uint32_t i = 0; i < type->fields_count; i++)
        if (wire_has(&type->fields[i], version) && !field_equal(&type->fields[i], version, a, b))
            return false;
    return true;
}

bool wire_equal(const struct wire_msg *msg, int version, const void *a, const void *b)
{
    return struct_equal(msg->root, version, a, b);
}
