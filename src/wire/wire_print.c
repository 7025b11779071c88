// SPDX-License-Identifier: Apache-2.0
//
// A message as one line of text for traces. It looks like JSON and can be read as such, but bytes
// and records appear only by their length, long strings are cut, and bytes that are not printable
// ASCII become \u00XX, so that nothing a stranger sends reaches a terminal raw.
#include "wire/wire_int.h"

#define STR_SHOWN_MAX 256

static void print_struct(const struct wire_struct *type, int version, const void *in,
                         struct buf *out);

static void print_str(struct slice s, struct buf *out)
{
    size_t shown = s.len < STR_SHOWN_MAX ? s.len : STR_SHOWN_MAX;
    if (s.data == NULL) {
        buf_put(out, "null", 4);
        return;
    }
    buf_put_u8(out, '"');
    for (size_t i = 0; i < shown; i++) {
        uint8_t c = s.data[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            buf_printf(out, "\\u%04x", c);
        else
            buf_put_u8(out, c);
    }
    if (shown < s.len)
        buf_printf(out, "...%zu more", s.len - shown);
    buf_put_u8(out, '"');
}

static void print_scalar(enum wire_type type, const void *at, struct buf *out)
{
    char uuid[UUID_TEXT_SIZE];
    if (type == WIRE_STR || type == WIRE_SHORT_STR) {
        print_str(wire_slice(at), out);
    } else if (type == WIRE_UUID) {
        uuid_to_text(at, uuid);
        buf_printf(out, "\"%s\"", uuid);
    } else if (type == WIRE_BOOL || type == WIRE_BIT) {
        buf_printf(out, "%s", wire_int_get(type, at) != 0 ? "true" : "false");
    } else {
        buf_printf(out, "%lld", (long long)wire_int_get(type, at));
    }
}

static void print_natural(enum wire_type type, const void *at, struct buf *out)
{
    static const uint64_t masks[] = {[WIRE_I8] = UINT8_MAX,
                                     [WIRE_I16] = UINT16_MAX,
                                     [WIRE_I32] = UINT32_MAX,
                                     [WIRE_I64] = UINT64_MAX};
    uint64_t value = (uint64_t)wire_int_get(type, at) & masks[type];
    buf_printf(out, "%llu", (unsigned long long)value);
}

static void print_array(const struct wire_field *f, int version, const void *base, struct buf *out)
{
    if (wire_null_flag(f, base)) {
        buf_put(out, "null", 4);
        return;
    }
    const uint8_t *elements = wire_elements(f, base);
    size_t size = wire_elem_size(f);
    buf_put_u8(out, '[');
    for (uint32_t i = 0; i < wire_count(f, base) && out->err == 0; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        if (f->elem == WIRE_STRUCT)
            print_struct(f->of, version, elements + i * size, out);
        else
            print_scalar(f->elem, elements + i * size, out);
    }
    buf_put_u8(out, ']');
}

static void print_field(const struct wire_field *f, int version, const void *base, struct buf *out)
{
    const void *at = wire_cmember(base, f->offset);
    const struct wire_records *records = at;
    switch (f->type) {
    case WIRE_BYTES:
        if (wire_slice(at).data == NULL)
            buf_put(out, "null", 4);
        else
            buf_printf(out, "{\"bytes\":%zu}", wire_slice(at).len);
        break;
    case WIRE_RECORDS:
        if (records->bytes.data == NULL && records->pieces_count == 0)
            buf_put(out, "null", 4);
        else
            buf_printf(out, "{\"bytes\":%zu}", wire_records_bytes(records));
        break;
    case WIRE_STRUCT:
        if (wire_null_flag(f, base))
            buf_put(out, "null", 4);
        else
            print_struct(f->of, version, at, out);
        break;
    case WIRE_ARRAY:
        print_array(f, version, base, out);
        break;
    default:
        if (f->natural)
            print_natural(f->type, at, out);
        else
            print_scalar(f->type, at, out);
    }
}

static void print_struct(const struct wire_struct *type, int version, const void *in,
                         struct buf *out)
{
    const char *before = "{";
    for (uint32_t i = 0; i < type->fields_count && out->err == 0; i++) {
        const struct wire_field *f = &type->fields[i];
        if (!wire_has(f, version))
            continue;
        buf_printf(out, "%s\"%s\":", before, f->name);
        print_field(f, version, in, out);
        before = ",";
    }
    buf_printf(out, "%s}", before[0] == '{' ? "{" : "");
}

void wire_print(const struct wire_msg *msg, int version, const void *in, struct buf *out)
{
    ASSERT(wire_supports(msg, version));
    print_struct(msg->root, version, in, out);
}
