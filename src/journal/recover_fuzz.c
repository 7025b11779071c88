// SPDX-License-Identifier: Apache-2.0
//
// A hostile store on a simulated disk: a checkpoint, its snapshot and two files of the journal are
// loaded and replayed as at a start, or looked at as `weir check` does. The first byte says how the
// store is made of the others, by its lowest bit whether it is opened to be written:
//   0  the files' bytes are the input's, as they are
//   1  the same, with every checksum, salt and number made right, to reach what lies behind them
//   2  a store of ours, of which some bytes were changed: what is replayed is what was written
//
// covers: src/journal/snapshot.c src/journal/checkpoint_load.c src/journal/wal_dir.c
// covers: src/journal/recover.c src/journal/one_bit.c src/journal/ready.c
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim.h"
#include "journal/journal_int.h"
#include "journal/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES = 2, FILE_BYTES = 8 * IO_BLOCK, FRAMES = 4, GROUPS = 3, STORE = 5, SALT = 77 };

struct fuzz {
    struct io *io, *actor;
    struct slice input;
    int mode;
    bool write; // open it, not only look
    uint64_t replayed, records, last_lsn;
    uint64_t next_lsn;
    uint32_t prev_crc;
    struct slice chunk; // what frames of ours say
    struct io_msg msg;
    bool done;
};

// ---- the input, in pieces

static struct slice take(struct fuzz *f, size_t most)
{
    size_t len = f->input.len > 0 ? (size_t)f->input.data[0] * 16 : 0;
    size_t head = f->input.len > 0;
    len = len < f->input.len - head ? len : f->input.len - head;
    len = len < most ? len : most;
    struct slice piece = slice_of(f->input.data + head, len);
    f->input = slice_of(f->input.data + head + len, f->input.len - head - len);
    return piece;
}

static void file_put(struct fuzz *f, const char *path, const uint8_t *bytes, size_t len)
{
    struct io_file *file = NULL;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    int err = io_open(f->io, path, IO_CREATE | IO_WRITE, &file);
    ASSERT(err == 0);
    err = io_write(file, 0, &iov, 1);
    ASSERT(err == 0);
    io_file_close(file);
}

// ---- the checkpoint

static void snapshot_repaired(struct fuzz *f, struct slice records,
                              struct checkpoint_chain_file *out)
{
    struct snapshot_parts parts = {.pieces = &records, .count = 1};
    int err = snapshot_write(f->io, 1, 1, true, &parts, out);
    ASSERT(err == 0);
}

static void checkpoint_make(struct fuzz *f)
{
    struct slice snapshot = take(f, 2000), slots = take(f, CHECKPOINT_SLOTS * IO_BLOCK);
    if (f->mode == 0) {
        file_put(f, "CHECKPOINT", slots.data, slots.len);
        file_put(f, "snapshot/0000000000000001.snap", snapshot.data, snapshot.len);
        return;
    }
    if (snapshot.len == 0)
        return; // a store without one
    struct checkpoint_slot slot = {.sequence = 1, .replay_lsn = 1, .chain.count = 1};
    snapshot_repaired(f, snapshot, &slot.chain.files[0]);
    int err = slot_write(f->io, slots.len > 0 ? slots.data[0] % CHECKPOINT_SLOTS : 0, &slot);
    ASSERT(err == 0);
}

// ---- the journal

static size_t group_repaired(struct fuzz *f, uint8_t *out, uint64_t position)
{
    struct slice frames[FRAMES];
    struct wal_group group = {.salt = SALT,
                              .first_lsn = f->next_lsn,
                              .position = position,
                              .len_bytes = WAL_GROUP_HEADER + WAL_COMMIT_BYTES,
                              .prev_crc = f->prev_crc};
    for (group.frames = 0; group.frames < FRAMES; group.frames++) {
        frames[group.frames] = take(f, 1500);
        if (frames[group.frames].len == 0)
            break;
        group.len_bytes += (uint32_t)wal_frame_bytes(0, frames[group.frames].len);
    }
    uint32_t count = group.frames++;
    struct wal_writer w;
    wal_group_begin(&w, out, &group);
    for (uint32_t i = 0; i < count; i++) {
        const struct wal_frame frame = {
            .lsn = f->next_lsn + i,
            .kind = frames[i].data[0] % 2 == 0 ? JOURNAL_BATCH : JOURNAL_REFERENCE,
            .body_bytes = (uint32_t)frames[i].len + frames[i].data[0] % 2,
            .body = frames[i],
        };
        wal_frame_put(&w, &frame);
    }
    f->prev_crc = wal_group_end(&w, JOURNAL_COMMIT);
    f->next_lsn += group.frames;
    return wal_padded(group.len_bytes);
}

static void wal_make_repaired(struct fuzz *f, uint64_t number, uint8_t *bytes)
{
    const struct wal_header header = {
        .store = STORE, .number = number, .salt = SALT, .size_bytes = FILE_BYTES};
    const struct wal_opening opening = {
        .salt = SALT, .first_lsn = f->next_lsn, .prev_crc = f->prev_crc};
    wal_header_put(bytes, &header);
    wal_opening_put(bytes + WAL_OPENING_AT, &opening);
    size_t at = WAL_GROUPS_AT;
    for (int i = 0; i < GROUPS && at + 2 * IO_BLOCK <= FILE_BYTES && f->input.len > 0; i++)
        at += group_repaired(f, bytes + at, at);
}

// Some bytes are changed afterwards: pairs of place and bits.
static void change(struct slice changes, uint8_t *bytes)
{
    for (size_t i = 0; i + 3 <= changes.len; i += 3)
        bytes[le16_get(changes.data + i) % FILE_BYTES] ^= changes.data[i + 2];
}

static void journal_make(struct fuzz *f)
{
    struct slice changes[FILES] = {take(f, 30), take(f, 30)};
    for (uint64_t number = 1; number <= FILES; number++) {
        uint8_t *bytes = mem_alloc_aligned(IO_BLOCK, FILE_BYTES);
        char path[JOURNAL_PATH_SIZE];
        struct slice raw = f->mode == 0 ? take(f, FILE_BYTES) : SLICE_NULL;
        if (f->mode == 0 && raw.len > 0)
            memcpy(bytes, raw.data, raw.len);
        if (f->mode != 0)
            wal_make_repaired(f, number, bytes);
        if (f->mode == 2)
            change(changes[number - 1], bytes);
        wal_number_path("journal", number, ".wal", path);
        file_put(f, path, bytes, FILE_BYTES);
        mem_free(bytes);
    }
    if (f->input.len > 0 && f->input.data[0] == 9) // leftovers of the maker
        file_put(f, "journal/0000000000000008.new", f->input.data, f->input.len);
    if (f->input.len > 0 && f->input.data[0] == 8)
        file_put(f, "journal/0000000000000007.old", f->input.data, f->input.len);
}

// ---- reading it

static int record_apply(void *arg, const struct state_record *record)
{
    struct fuzz *f = arg;
    ASSERT(record->kind != 0);
    f->records++;
    return 0;
}

static int frame_replay(void *arg, const struct journal_replayed *frame)
{
    struct fuzz *f = arg;
    ASSERT(frame->lsn > f->last_lsn); // in order, each once
    f->last_lsn = frame->lsn;
    f->replayed++;
    if (f->mode == 2)
        ASSERT(frame->lsn < f->next_lsn); // nothing that was not written
    return 0;
}

static int frame_verify(void *arg, const struct journal_replayed *frame)
{
    (void)arg;
    ASSERT(frame->kind == JOURNAL_REFERENCE);
    static const int answers[] = {1, 0, 1, ERR_CORRUPT, ERR_IO, 1};
    return answers[frame->lsn % (sizeof answers / sizeof answers[0])];
}

static void load(struct fuzz *f)
{
    struct checkpoint_found found;
    struct journal_recovery recovery;
    struct journal *journal = NULL;
    const struct journal_replay replay = {frame_replay, frame_verify, f};
    int err = checkpoint_load(f->io, record_apply, f, !f->write, &found);
    ASSERT(err == 0 || err == ERR_NOMEM || found.damage[0] != '\0');
    uint64_t from = err == 0 && found.replay_lsn < 64 ? found.replay_lsn : 1;
    const struct journal_options options = {
        .dir = "journal",
        .file_bytes = FILE_BYTES,
        .first_file_bytes = FILE_BYTES,
        .files_max = 2,
        .direct_min_bytes = FILE_BYTES,
        .group_max_bytes = FILE_BYTES,
        .actor = f->actor,
        .checkpointer = f->io,
        .ports_count = 1,
    };
    if (f->write)
        err = journal_open(f->io, &options, from, &replay, &recovery, &journal);
    else
        err = journal_scan(f->io, "journal", from, &replay, &recovery);
    bool told = recovery.damage[0] != '\0' && strlen(recovery.damage) < sizeof recovery.damage;
    ASSERT((err != ERR_CORRUPT && err != ERR_FORMAT_VERSION) || told);
    ASSERT(recovery.frames == f->replayed);
    journal_destroy(journal);
}

// ---- a run

static void run(struct io_msg *msg)
{
    struct fuzz *f = CONTAINER_OF(msg, struct fuzz, msg);
    int err = io_mkdir(f->io, "journal");
    ASSERT(err == 0);
    err = io_mkdir(f->io, "snapshot");
    ASSERT(err == 0);
    checkpoint_make(f);
    journal_make(f);
    load(f);
    f->done = true;
}

static bool is_done(void *arg)
{
    return ((struct fuzz *)arg)->done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1U << 16)
        return 0;
    struct fuzz f = {.input = slice_of(data + 1, size - 1),
                     .mode = data[0] / 2 % 3,
                     .write = data[0] % 2 == 1,
                     .next_lsn = 1,
                     .msg.run = run};
    struct sim_options options;
    struct sim *sim = NULL;
    sim_options_init(&options, 1);
    int err = sim_create(&options, &sim);
    ASSERT(err == 0);
    struct sim_machine *machine = sim_machine_create(sim, "m", true);
    struct io_world *world = sim_start(machine);
    const struct io_actor_options worker = {.name = "worker", .kind = IO_WORKER};
    err = io_actor_create(world, &worker, &f.io);
    ASSERT(err == 0);
    err = io_actor_create(world, &worker, &f.actor);
    ASSERT(err == 0);
    io_post(f.io, &f.msg);
    bool done = sim_run_until(sim, INT64_MAX, is_done, &f);
    ASSERT(done);
    io_actor_stop(f.io);
    io_actor_stop(f.actor);
    sim_world_free(world);
    sim_destroy(sim);
    return 0;
}
