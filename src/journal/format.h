// SPDX-License-Identifier: Apache-2.0
//
// The journal's files, byte by byte. Everything is little-endian. A file is a header block, an
// opening block and groups; a group begins on a multiple of IO_BLOCK, is zero-padded to the next
// one and never spans files. Each byte of a group is covered by exactly one checksum pass: a frame
// CRC covers the frame, the commit frame's CRC covers the group's header and every frame's header
// (and with it every frame's CRC). One CRC over the whole group beside those of the frames was
// rejected: it reads everything twice and proves nothing more.
//
// What makes stale bytes harmless: `salt` is drawn at random each time a file is (re)used, and no
// client ever sees it. A group counts only if it carries the salt of its file, its own position,
// the next LSN and the CRC of the group before.
//
// FILE DATA/journal/%016x.wal (the number, in hex)
//   OFFSET SIZE  FIELD
//   0      4096  header: written once per use of the file, before it has this name
//   4096   4096  opening: zero while the file is spare; written durably before its first group
//   8192   …     groups
//
// HEADER
//   0      8     magic "weir.wal"
//   8      4     format version (1)
//   12     4     CRC-32C of bytes 16 to 47
//   16     8     store: drawn when the journal was made; files of two stores never mix
//   24     8     file number
//   32     8     salt
//   40     8     size of the file in bytes
//
// OPENING
//   0      8     magic "weir.opn"
//   8      4     CRC-32C of bytes 12 to 31
//   12     4     CRC of the group before the first one here (0: none)
//   16     8     salt
//   24     8     first LSN
//
// GROUP
//   0      4     magic "wgrp"
//   4      4     CRC-32C of bytes 8 to 47
//   8      8     salt
//   16     8     first LSN
//   24     8     position in the file (a group that was written elsewhere does not count)
//   32     4     frames, the commit frame included
//   36     4     length in bytes, this header included, padding not
//   40     4     CRC of the previous group (from its commit frame)
//   44     4     zero
//   48     …     frames, back to back
//
// FRAME
//   0      4     length of what follows this header: head and body
//   4      4     CRC-32C of bytes 8 to 23 and of what follows
//   8      8     LSN
//   16     1     kind (enum journal_kind)
//   17     1     zero
//   18     2     length of the head
//   20     4     length of the whole body (more than what follows in a REFERENCE)
//   24     …     head, body
//
// The COMMIT frame has no head; its body is 4 bytes: CRC-32C of the group's header and of all
// earlier frames' headers. That value is the group's CRC, which the next group repeats.
#ifndef WEIR_JOURNAL_FORMAT_H
#define WEIR_JOURNAL_FORMAT_H

#include "base/slice.h"
#include "io/io.h"

#define WAL_VERSION      1
#define WAL_HEADER_BYTES 48
#define WAL_OPENING_AT   IO_BLOCK
#define WAL_OPENING_SIZE 32
#define WAL_GROUPS_AT    (2 * IO_BLOCK)
#define WAL_GROUP_HEADER 48
#define WAL_FRAME_HEADER 24
#define WAL_COMMIT_BYTES (WAL_FRAME_HEADER + 4)
#define WAL_HEAD_MAX     UINT16_MAX

_Static_assert(WAL_HEADER_BYTES <= IO_BLOCK, "the header fits its block");
_Static_assert(WAL_OPENING_SIZE <= IO_BLOCK, "the opening fits its block");
_Static_assert(WAL_GROUPS_AT % IO_BLOCK == 0, "groups begin on blocks");
_Static_assert(WAL_GROUP_HEADER + WAL_COMMIT_BYTES <= IO_BLOCK, "an empty group is one block");

struct wal_header {
    uint64_t store;
    uint64_t number;
    uint64_t salt;
    uint64_t size_bytes;
};

struct wal_opening {
    uint64_t salt;
    uint64_t first_lsn;
    uint32_t prev_crc;
};

struct wal_group {
    uint64_t salt;
    uint64_t first_lsn;
    uint64_t position;
    uint32_t frames;
    uint32_t len_bytes;
    uint32_t prev_crc;
};

struct wal_frame {
    uint64_t lsn;
    uint8_t kind;
    uint32_t body_bytes; // of the whole body, of which a REFERENCE repeats the beginning
    struct slice head;
    struct slice body;
};

void wal_header_put(uint8_t block[IO_BLOCK], const struct wal_header *header);
// ERR_MALFORMED: no header of ours; ERR_FORMAT_VERSION (*out_version names it); ERR_CORRUPT: CRC.
int wal_header_get(const uint8_t block[IO_BLOCK], struct wal_header *out, uint32_t *out_version);

void wal_opening_put(uint8_t block[IO_BLOCK], const struct wal_opening *opening);
// ERR_NOT_FOUND: the file is spare (the block is zero); ERR_CORRUPT: torn, damaged or of another
// use of the file.
int wal_opening_get(const uint8_t block[IO_BLOCK], uint64_t salt, struct wal_opening *out);

uint64_t wal_padded(uint64_t len_bytes); // up to the next multiple of IO_BLOCK
size_t wal_frame_bytes(size_t head_len, size_t body_len);

// Writing: begin, frame…, end. The totals are known beforehand: `group.len_bytes` and
// `group.frames` include the commit frame. end asserts that they were kept, pads and returns the
// group's CRC.
struct wal_writer {
    uint8_t *start, *pos;
    struct wal_group group;
    uint32_t frames;
    uint32_t crc;
};
void wal_group_begin(struct wal_writer *w, uint8_t *out, const struct wal_group *group);
void wal_frame_put(struct wal_writer *w, const struct wal_frame *frame);
uint32_t wal_group_end(struct wal_writer *w, uint8_t commit_kind);

// Reading. The header at the start of `bytes` (at least WAL_GROUP_HEADER of them): 0, ERR_MALFORMED
// (no group begins here), ERR_CORRUPT (its CRC is wrong).
int wal_group_get(const uint8_t *bytes, struct wal_group *out);
// Takes one frame off the front. ERR_CORRUPT; *rest untouched then.
int wal_frame_get(struct slice *rest, struct wal_frame *out);
// Checks a whole group (header included, `group.len_bytes` long) down to its commit frame.
int wal_group_check(struct slice bytes, const struct wal_group *group, uint8_t commit_kind,
                    uint32_t *out_crc);

#define WAL_NAME_SIZE 24
void wal_name(uint64_t number, const char *suffix, char out[WAL_NAME_SIZE]); // "%016x" suffix
bool wal_name_parse(const char *name, const char *suffix, uint64_t *out_number);

#endif
