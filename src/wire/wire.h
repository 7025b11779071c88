// SPDX-License-Identifier: Apache-2.0
//
// One interpreter for messages that are described by tables. tools/gen_msg turns schema/kafka/*.msg
// into plain structs and constant rows (src/wire/gen/); what is here decodes, encodes, measures,
// prints, compares and invents any of them in any of their versions, for requests as for responses,
// since simulated clients and the command line use the same tables as the door. Straight-line code
// per message would be about three times as fast, but it would be tens of thousands of lines, and a
// message's fields are a small part of what a request costs (see README.md).
//
// Spec: Kafka's protocol guide, KIP-482 (flexible versions: compact lengths and tagged fields),
// KIP-893 (nullable structs). How types appear in memory:
//
//   SCHEMA        C MEMBER                              ON THE WIRE, flexible versions in ()
//   bool i8..i64  bool, int8_t .. int64_t               1 to 8 bytes, big-endian
//   uuid          struct uuid                           16 bytes
//   str           struct slice                          i16 length (uvarint length + 1), bytes
//   bytes         struct slice                          i32 length (uvarint length + 1), bytes
//   records       struct wire_records                   as bytes
//   {}x           struct kafka_M_x                      its fields; if nullable an i8 before: -1, 1
//   []x           T *f; uint32_t f_count;               i32 count (uvarint count + 1), elements
//   ... null      for [] and {} also: bool f_null;      length or count -1 (0)
//   AMQP's own    (schema/amqp.msg)
//   bit           bool                                  neighbours share an octet, the first is 1
//   u8..u64       uint8_t .. uint64_t                   as i8..i64
//   short         struct slice                          u8 length, bytes
//   long, table   struct slice                          as bytes: a u32 length below 2^31
//
// Null. A str, bytes or records is null when its data is NULL. A nullable array or struct has a
// member f_null of its own, so that a zeroed struct means "empty", never "null". What is null, but
// in a version in which the field may not be, is encoded as empty (a struct: as its defaults); what
// a version does not know is left out. So encoding fails for size only. In a decoded message an
// empty string has data != NULL, an empty array may have a NULL pointer.
//
// Ownership. A decoded message points into the bytes it was read from and into the arena; both must
// outlive it. An encoder copies everything but the pieces of records, see struct wire_out.
#ifndef WEIR_WIRE_WIRE_H
#define WEIR_WIRE_WIRE_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/prng.h"
#include "base/slice.h"
#include "base/uuid.h"

enum wire_type {
    WIRE_BOOL,
    WIRE_I8,
    WIRE_I16,
    WIRE_I32,
    WIRE_I64,
    WIRE_UUID,
    WIRE_STR,
    WIRE_BYTES,
    WIRE_RECORDS,
    WIRE_STRUCT,
    WIRE_ARRAY,
    WIRE_BIT,
    WIRE_SHORT_STR,
};

struct wire_struct;

// A row: one field of one struct.
struct wire_field {
    const char *name;
    const struct wire_struct *of; // of WIRE_STRUCT, and of an array's elements if elem says so
    int64_t dflt;                 // of bool and integers; other types: zero or empty, or null
    uint16_t offset;              // of the member
    uint16_t count_offset;        // WIRE_ARRAY: of f_count
    uint16_t null_offset;         // nullable arrays and structs: of f_null
    uint8_t type;                 // enum wire_type
    uint8_t elem;                 // WIRE_ARRAY: enum wire_type of an element
    bool nullable : 1;            // may be null in versions null_since .. null_until
    bool default_null : 1;        // and is null by default
    bool plain : 1;               // its length is never compact, even in a flexible version
    bool tagged : 1;              // travels among the tagged fields, under tag
    uint8_t tag;
    uint8_t since, until; // versions that have the field, both included
    uint8_t null_since, null_until;
    uint8_t bit;      // WIRE_BIT: which one of its octet; bit 0 begins an octet
    bool table : 1;   // WIRE_BYTES: they hold a field table of AMQP
    bool natural : 1; // an integer whose member is unsigned
};

// A struct: untagged rows in the order of the wire, then the tagged ones by rising tag.
struct wire_struct {
    const char *name; // "fetch_request_topic"
    const struct wire_field *fields;
    // By version, from 0: the least bytes an encoded one takes. Never 0 in a version that has it,
    // so that a count is bounded by the bytes at hand.
    const uint16_t *min_bytes;
    uint16_t fields_count;
    uint16_t untagged_count;
    uint16_t size; // sizeof the C struct
};

#define WIRE_NEVER_FLEXIBLE 255

struct wire_msg {
    const char *name; // "FetchRequest"
    const struct wire_struct *root;
    int16_t api_key; // -1 for headers and data
    uint8_t min_version, max_version;
    uint8_t flexible_since; // WIRE_NEVER_FLEXIBLE if no version is
};

// Record batches, opaque. A decoder sets bytes only. An encoder takes the pieces, if there are any,
// else bytes. Null: no pieces and bytes.data == NULL; mind that an empty answer to a fetch is the
// empty slice, not null.
struct wire_records {
    struct slice bytes;
    const struct blob_piece *pieces;
    uint32_t pieces_count;
};

// What an encoder makes: bytes, and gaps in them where pieces of records belong. The pieces (and
// the references to their blobs) stay the caller's until the answer is sent.
struct wire_gap {
    size_t at; // the pieces come before buf.data[at]
    const struct blob_piece *pieces;
    uint32_t pieces_count;
};

struct wire_out {
    struct buf buf; // buf.err is the sticky error of the whole
    struct wire_gap *gaps;
    uint32_t gaps_count;
    uint32_t gaps_cap;
    size_t gaps_bytes; // in all pieces
};

#define WIRE_ELEMENTS_MAX  1000000 // array elements and tagged fields in one message
#define WIRE_DEPTH_MAX     8       // structs within structs; the generator refuses more
#define WIRE_STR_MAX       32767   // bytes; Kafka holds to it in compact strings, too
#define WIRE_SHORT_STR_MAX 255
#define WIRE_GAPS_MAX      1000000

void wire_out_init(struct wire_out *out, size_t max_bytes); // max of buf, without the pieces
void wire_out_fini(struct wire_out *out);
void wire_out_clear(struct wire_out *out);         // empty again, memory kept
size_t wire_out_bytes(const struct wire_out *out); // buf.len and all pieces

// Reads one message; bytes may follow it, and whether they should is the caller's affair.
// ERR_UNSUPPORTED_VERSION; ERR_TRUNCATED, ERR_MALFORMED (also as in->err); ERR_LIMIT when there are
// too many elements or the arena is full. *out is untouched on failure; the arena is not, reset it.
int wire_decode(const struct wire_msg *msg, int version, struct cursor *in, struct arena *arena,
                void *out);

// Appends one message. Returns 0 or out->buf.err: ERR_LIMIT (buffer full, a string or an array too
// long for its length field), ERR_UNSUPPORTED_VERSION.
int wire_encode(const struct wire_msg *msg, int version, const void *in, struct wire_out *out);

// Bytes that wire_encode would make, pieces included. The version must be one of msg's.
size_t wire_size(const struct wire_msg *msg, int version, const void *in);

// Sets every field to its default, null or empty where none is stated. For roots and elements.
void wire_default(const struct wire_struct *type, void *out);

// An array of count defaults; NULL at the arena's limit, or when count is 0.
void *wire_array_new(const struct wire_struct *type, struct arena *arena, size_t count);

// One line of text, JSON in its looks, for traces: all fields of the version, bytes by their
// length.
void wire_print(const struct wire_msg *msg, int version, const void *in, struct buf *out);

// Whether both would be encoded alike in this version; records are compared as bytes or pieces.
bool wire_equal(const struct wire_msg *msg, int version, const void *a, const void *b);

// A random message that is valid in this version, for tests and simulated clients. ERR_LIMIT when
// the arena is full, ERR_UNSUPPORTED_VERSION.
int wire_generate(const struct wire_msg *msg, int version, struct prng *prng, struct arena *arena,
                  void *out);

#endif
