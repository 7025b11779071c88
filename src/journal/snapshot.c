// SPDX-License-Identifier: Apache-2.0
//
// Slots and snapshot files: encoding, writing in the order that survives a crash at any point, and
// reading with nothing taken on trust. A snapshot is read whole before its first record is applied:
// half a snapshot is worse than none.
#include "journal/snapshot.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/format.h"

static const char checkpoint_path[] = "CHECKPOINT";
static const char snapshot_dir[] = "snapshot";
static const uint8_t slot_magic[8] = {'w', 'e', 'i', 'r', '.', 'c', 'k', 'p'};
static const uint8_t snapshot_magic[8] = {'w', 'e', 'i', 'r', '.', 's', 'n', 'p'};

// ---- slots

static size_t slot_bytes(uint32_t files)
{
    return CHECKPOINT_SLOT_HEADER + CHECKPOINT_SLOT_ENTRY * (size_t)files;
}

void slot_put(uint8_t block[IO_BLOCK], const struct checkpoint_slot *slot)
{
    ASSERT(slot->sequence != 0);
    ASSERT(slot->chain.count >= 1);
    ASSERT(slot->chain.count <= CHECKPOINT_CHAIN_MAX);
    memset(block, 0, IO_BLOCK);
    memcpy(block, slot_magic, sizeof slot_magic);
    le32_put(block + 8, CHECKPOINT_VERSION);
    le64_put(block + 16, slot->sequence);
    le64_put(block + 24, slot->replay_lsn);
    le32_put(block + 32, slot->chain.count);
    for (uint32_t i = 0; i < slot->chain.count; i++) {
        uint8_t *p = block + slot_bytes(i);
        le64_put(p, slot->chain.files[i].number);
        le64_put(p + 8, slot->chain.files[i].size_bytes);
        le32_put(p + 16, slot->chain.files[i].crc);
    }
    le32_put(block + 12, crc32c(0, block + 16, slot_bytes(slot->chain.count) - 16));
}

static bool blank(const uint8_t *block)
{
    for (size_t i = 0; i < IO_BLOCK; i++)
        if (block[i] != 0)
            return false;
    return true;
}

int slot_get(const uint8_t block[IO_BLOCK], struct checkpoint_slot *out, uint32_t *out_version)
{
    if (blank(block))
        return ERR_NOT_FOUND;
    if (memcmp(block, slot_magic, sizeof slot_magic) != 0)
        return ERR_CORRUPT;
    uint32_t version = le32_get(block + 8);
    if (version != CHECKPOINT_VERSION) {
        *out_version = version;
        return ERR_FORMAT_VERSION;
    }
    uint32_t count = le32_get(block + 32);
    if (count == 0 || count > CHECKPOINT_CHAIN_MAX)
        return ERR_CORRUPT;
    if (le32_get(block + 12) != crc32c(0, block + 16, slot_bytes(count) - 16))
        return ERR_CORRUPT;
    struct checkpoint_slot slot = {
        .sequence = le64_get(block + 16), .replay_lsn = le64_get(block + 24), .chain.count = count};
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *p = block + slot_bytes(i);
        slot.chain.files[i] = (struct checkpoint_chain_file){
            .number = le64_get(p), .size_bytes = le64_get(p + 8), .crc = le32_get(p + 16)};
    }
    if (slot.sequence == 0)
        return ERR_CORRUPT;
    *out = slot;
    return 0;
}

int slot_write(struct io *io, unsigned index, const struct checkpoint_slot *slot)
{
    ASSERT(index < CHECKPOINT_SLOTS);
    struct io_file *file = NULL;
    int err = io_open(io, checkpoint_path, IO_CREATE | IO_WRITE | IO_DURABLE, &file);
    if (err != 0)
        return err;
    uint8_t *block = mem_alloc_aligned(IO_BLOCK, IO_BLOCK);
    slot_put(block, slot);
    struct iovec iov = {.iov_base = block, .iov_len = IO_BLOCK};
    err = io_write(file, (uint64_t)index * IO_BLOCK, &iov, 1);
    mem_free(block);
    io_file_close(file);
    return err != 0 ? err : io_sync_dir(io, ".");
}

int checkpoint_reserve(struct io *io)
{
    struct io_file *file = NULL;
    int err = io_mkdir(io, snapshot_dir);
    if (err == 0)
        err = io_open(io, checkpoint_path, IO_CREATE | IO_WRITE, &file);
    if (err == 0)
        err = io_reserve(file, 0, (uint64_t)CHECKPOINT_SLOTS * IO_BLOCK);
    io_file_close(file);
    return err;
}

// ---- snapshot files

void snapshot_path(uint64_t number, const char *suffix, char out[SNAPSHOT_PATH_SIZE])
{
    int len = snprintf(out, SNAPSHOT_PATH_SIZE, "%s/%016llx%s", snapshot_dir,
                       (unsigned long long)number, suffix);
    ASSERT(len > 0);
    ASSERT(len < SNAPSHOT_PATH_SIZE);
}

static int pieces_write(struct io_file *file, uint64_t number, uint64_t replay_lsn, bool full,
                        const struct snapshot_parts *records, struct checkpoint_chain_file *out)
{
    uint64_t len = 0;
    for (size_t i = 0; i < records->count; i++)
        len += records->pieces[i].len;
    uint8_t header[SNAPSHOT_HEADER] = {0};
    memcpy(header, snapshot_magic, sizeof snapshot_magic);
    le32_put(header + 8, SNAPSHOT_VERSION);
    le32_put(header + 12, full);
    le64_put(header + 16, number);
    le64_put(header + 24, replay_lsn);
    le64_put(header + 32, len);
    struct iovec iov = {.iov_base = header, .iov_len = sizeof header};
    int err = io_write(file, 0, &iov, 1);
    uint64_t at = sizeof header;
    uint32_t crc = crc32c(0, header, sizeof header);
    for (size_t i = 0; i < records->count && err == 0; i++) {
        struct slice piece = records->pieces[i];
        if (piece.len == 0)
            continue;
        iov.iov_base = (void *)(uintptr_t)piece.data; // io_write only reads it
        iov.iov_len = piece.len;
        err = io_write(file, at, &iov, 1);
        at += piece.len;
        crc = crc32c(crc, piece.data, piece.len);
    }
    uint8_t trailer[SNAPSHOT_TRAILER];
    le32_put(trailer, crc);
    iov.iov_base = trailer;
    iov.iov_len = sizeof trailer;
    if (err == 0)
        err = io_write(file, at, &iov, 1);
    if (err == 0)
        *out = (struct checkpoint_chain_file){
            .number = number, .size_bytes = at + sizeof trailer, .crc = crc};
    return err;
}

int snapshot_write(struct io *io, uint64_t number, uint64_t replay_lsn, bool full,
                   const struct snapshot_parts *records, struct checkpoint_chain_file *out)
{
    char temporary[SNAPSHOT_PATH_SIZE], final[SNAPSHOT_PATH_SIZE];
    snapshot_path(number, ".tmp", temporary);
    snapshot_path(number, ".snap", final);
    int err = io_mkdir(io, snapshot_dir);
    if (err == 0)
        err = io_sync_dir(io, ".");
    struct io_file *file = NULL;
    struct checkpoint_chain_file written = {0};
    if (err == 0)
        err = io_open(io, temporary, IO_CREATE | IO_WRITE, &file);
    if (err == 0)
        err = pieces_write(file, number, replay_lsn, full, records, &written);
    if (err == 0) // a reserve's blocks behind it
        err = io_truncate(file, written.size_bytes);
    if (err == 0 && !bug(BUG_STALE_SNAPSHOT))
        err = io_sync(file);
    io_file_close(file);
    if (err == 0)
        err = io_rename(io, temporary, final);
    if (err == 0)
        err = io_sync_dir(io, snapshot_dir);
    if (err != 0) {
        (void)io_remove(io, temporary); // at the latest the next start does it
        return err;
    }
    *out = written;
    return 0;
}

static int wrong(char *damage, size_t damage_size, const char *path, const char *what)
{
    (void)snprintf(damage, damage_size,
                   "%s %s. Without it the state before the journal's beginning is lost: restore a "
                   "backup of the whole directory.",
                   path, what);
    return ERR_CORRUPT;
}

static int snapshot_load(struct io *io, const char *path, const struct checkpoint_chain_file *file,
                         uint8_t **out, char *damage, size_t damage_size)
{
    struct io_file *f = NULL;
    int err = io_open(io, path, 0, &f);
    if (err == ERR_NOT_FOUND)
        return wrong(damage, damage_size, path, "is missing");
    if (err != 0)
        return err;
    int64_t size = io_file_size(f);
    uint8_t *bytes = NULL;
    if (size < 0)
        err = (int)size;
    else if ((uint64_t)size != file->size_bytes || size < SNAPSHOT_HEADER + SNAPSHOT_TRAILER)
        err = wrong(damage, damage_size, path, "has another size than its checkpoint says");
    else if ((bytes = mem_try_alloc((size_t)size)) == NULL)
        err = ERR_NOMEM;
    if (err == 0) {
        int64_t got = io_read(f, 0, bytes, (size_t)size);
        if (got != size)
            err = got < 0 ? (int)got : ERR_IO;
    }
    io_file_close(f);
    if (err != 0)
        mem_free(bytes);
    else
        *out = bytes;
    return err;
}

static int snapshot_check(const uint8_t *bytes, const struct checkpoint_chain_file *file,
                          const char *path, char *damage, size_t damage_size)
{
    uint64_t records = file->size_bytes - SNAPSHOT_HEADER - SNAPSHOT_TRAILER;
    ASSERT(bytes != NULL);
    if (memcmp(bytes, snapshot_magic, sizeof snapshot_magic) != 0)
        return wrong(damage, damage_size, path, "is damaged");
    if (le32_get(bytes + 8) != SNAPSHOT_VERSION) {
        (void)snprintf(damage, damage_size,
                       "%s is in snapshot format %u; this program knows format %u. Use the version "
                       "of weir that wrote it, or a newer one.",
                       path, le32_get(bytes + 8), SNAPSHOT_VERSION);
        return ERR_FORMAT_VERSION;
    }
    uint32_t crc = crc32c(0, bytes, SNAPSHOT_HEADER + records);
    if (crc != file->crc || crc != le32_get(bytes + SNAPSHOT_HEADER + records) ||
        le64_get(bytes + 16) != file->number || le64_get(bytes + 32) != records)
        return wrong(damage, damage_size, path, "is damaged");
    return 0;
}

int snapshot_read(struct io *io, const struct checkpoint_chain_file *file,
                  int (*apply)(void *arg, const struct state_record *record), void *arg,
                  uint64_t *records, char *damage, size_t damage_size)
{
    char path[SNAPSHOT_PATH_SIZE];
    snapshot_path(file->number, ".snap", path);
    uint8_t *bytes = NULL;
    int err = snapshot_load(io, path, file, &bytes, damage, damage_size);
    if (err != 0)
        return err;
    err = snapshot_check(bytes, file, path, damage, damage_size);
    size_t len = (size_t)file->size_bytes - SNAPSHOT_HEADER - SNAPSHOT_TRAILER;
    struct cursor in = cursor_of(slice_of(bytes + SNAPSHOT_HEADER, len));
    while (err == 0 && cursor_left(&in) > 0) {
        struct state_record record;
        if (state_get(&in, &record) != 0) {
            err = wrong(damage, damage_size, path, "holds a record that cannot be read");
            break;
        }
        ++*records;
        err = apply == NULL ? 0 : apply(arg, &record);
    }
    mem_free(bytes);
    return err;
}

// ---- leftovers

struct clean {
    const struct checkpoint_chain *chain;
    char names[64][32]; // a round's worth
    size_t count;
};

static bool named(const struct checkpoint_chain *chain, const char *name)
{
    uint64_t number;
    if (!wal_name_parse(name, ".snap", &number))
        return wal_name_parse(name, ".tmp", &number) ? false : true; // not ours: leave it
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->files[i].number == number)
            return true;
    return false;
}

static int clean_take(void *arg, const char *name)
{
    struct clean *clean = arg;
    if (named(clean->chain, name) || clean->count == 64)
        return 0;
    (void)snprintf(clean->names[clean->count++], sizeof clean->names[0], "%s", name);
    return 0;
}

static int number_take(void *arg, const char *name)
{
    uint64_t *last = arg, number;
    bool ours = wal_name_parse(name, ".snap", &number) || wal_name_parse(name, ".tmp", &number);
    if (ours && number > *last)
        *last = number;
    return 0;
}

int snapshot_numbers(struct io *io, uint64_t *out_last)
{
    uint64_t last = 0;
    int err = io_list(io, snapshot_dir, number_take, &last);
    if (err != 0 && err != ERR_NOT_FOUND)
        return err;
    *out_last = last;
    return 0;
}

int snapshot_clean(struct io *io, const struct checkpoint_chain *chain)
{
    struct clean clean = {.chain = chain};
    int err = io_list(io, snapshot_dir, clean_take, &clean);
    if (err == ERR_NOT_FOUND)
        return 0; // no checkpoint yet
    for (size_t i = 0; i < clean.count && err == 0; i++) {
        char path[SNAPSHOT_PATH_SIZE];
        (void)snprintf(path, sizeof path, "%s/%s", snapshot_dir, clean.names[i]);
        err = io_remove(io, path);
    }
    if (err == 0 && clean.count > 0)
        err = io_sync_dir(io, snapshot_dir);
    return err;
}
