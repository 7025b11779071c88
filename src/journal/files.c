// SPDX-License-Identifier: Apache-2.0
//
// The journal's files as its actor sees them: the used ones, oldest first, of which the last is
// being written, and the spare ones behind it. Files are made and recycled by the checkpointer's
// actor (maker.c); here is decided when. The first file is small so that a first start is quick,
// the next is eight times as large, and so on up to file_bytes: a store that stays small stays
// small, and a busy one waits once, shortly, for its first large file.
//
// When there is no room the group waits, and with it every append: an urgent checkpoint is asked
// for, and what it recycles lets the group go on. A disk too full for a new file is met by trying
// again, since files will be recycled; from the first time on the journal is `starved`, which lets
// nothing large in, so that what room is left (three quarters of the file in use, since the next
// one is made early) is for deletions and checkpoints. A group that waits gets the reserve.
#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/journal_int.h"

#define GROWTH   8
#define RETRY_NS (1000LL * 1000 * 1000)

static struct wal_file *file_of(struct list *it)
{
    return CONTAINER_OF(it, struct wal_file, link);
}

static struct wal_file *active(struct journal *journal)
{
    struct journal_files *files = &journal->files;
    return list_empty(&files->used) ? NULL : file_of(files->used.prev);
}

static int file_open(struct journal *journal, struct wal_file *file)
{
    if (file->file != NULL)
        return 0;
    char path[JOURNAL_PATH_SIZE];
    wal_number_path(journal->dir, file->number, ".wal", path);
    int flags = bug(BUG_SKIP_SYNC) ? IO_WRITE : IO_WRITE | IO_DURABLE;
    return io_open(journal->options.actor, path, flags, &file->file);
}

static void file_drop(struct wal_file *file)
{
    io_file_close(file->file);
    list_remove(&file->link);
    mem_free(file);
}

// ---- how full

static void tell_level(struct journal *journal)
{
    struct journal_files *files = &journal->files;
    uint64_t used = files->pos, all = 0;
    LIST_FOR (it, &files->used) {
        all += file_of(it)->size_bytes;
        if (it != files->used.prev)
            used += file_of(it)->size_bytes;
    }
    LIST_FOR (it, &files->spares)
        all += file_of(it)->size_bytes;
    if (files->count < journal->options.files_max)
        all += (journal->options.files_max - files->count) * journal->options.file_bytes;

    int level = used >= all / 4 * 3 ? 2 : used >= all / 2 ? 1 : 0;
    // No file can be made: what older ones hold is wanted back.
    bool older = files->used.next != files->used.prev;
    if (files->waiting || (older && atomic_load(&journal->starved)))
        level = 2;
    if (level > files->level && journal->options.want_checkpoint != NULL)
        journal->options.want_checkpoint(journal->options.arg, level == 2);
    files->level = level;
}

// ---- making ahead

static void make_next(struct journal *journal)
{
    struct journal_files *files = &journal->files;
    struct wal_file *last = active(journal);
    uint64_t least = last == NULL ? journal->options.first_file_bytes : last->size_bytes;
    uint64_t size =
        least > journal->options.file_bytes / GROWTH ? journal->options.file_bytes : least * GROWTH;
    if (files->waiting && size < files->need_bytes)
        size = journal->options.file_bytes; // else it would be made again and again
    if (least > size || (files->waiting && least < files->need_bytes))
        least = size;
    files->making++;
    files->count++;
    struct wal_job job = {.number = files->next_number++,
                          .size_bytes = size,
                          .least_bytes = least,
                          .last_resort = files->waiting && files->need_bytes <= WAL_RESERVE_BYTES};
    wal_job_post(journal, WAL_MAKE, &job);
}

static void make_ahead(struct journal *journal)
{
    struct journal_files *files = &journal->files;
    if (journal->failed != 0 || files->quiet || files->making > 0 ||
        io_timer_running(&files->retry))
        return;
    // Starved: until there is one, or who waits would wait for ever.
    bool starved = atomic_load(&journal->starved);
    if (!list_empty(&files->spares) && !starved)
        return;
    bool overflow = files->waiting && atomic_load(&journal->overflow);
    if (files->count >= journal->options.files_max && !overflow && !starved)
        return;
    struct wal_file *last = active(journal);
    bool wanted = files->waiting || starved;
    if (last != NULL && files->pos < last->size_bytes / 4 && !wanted)
        return;
    make_next(journal);
}

void files_overflow(struct journal *journal)
{
    make_ahead(journal);
}

static void make_reserve(struct journal *journal)
{
    struct journal_files *files = &journal->files;
    if (files->reserving || files->quiet || journal->failed != 0)
        return;
    files->reserving = true;
    wal_job_post(journal, WAL_RESERVE, &(struct wal_job){0});
}

static void retry_fire(struct io_timer *timer)
{
    struct journal *journal = CONTAINER_OF(timer, struct journal, files.retry);
    make_ahead(journal);
    make_reserve(journal);
}

static void retry_later(struct journal *journal)
{
    struct io *io = journal->options.actor;
    if (!io_timer_running(&journal->files.retry) && journal->failed == 0)
        io_timer_start(io, &journal->files.retry, io_now_ns(io) + RETRY_NS);
}

// ---- room

static int use_spare(struct journal *journal)
{
    struct journal_files *files = &journal->files;
    struct wal_file *file = file_of(files->spares.next);
    int err = file_open(journal, file);
    if (err != 0)
        return err;
    struct wal_file *before = active(journal);
    ASSERT(before == NULL || before->number < file->number);
    uint8_t *block = mem_alloc_aligned(IO_BLOCK, IO_BLOCK);
    struct wal_opening opening = {
        .salt = file->salt, .first_lsn = journal->next_lsn, .prev_crc = journal->prev_crc};
    wal_opening_put(block, &opening);
    struct iovec iov = {.iov_base = block, .iov_len = IO_BLOCK};
    err = io_write(file->file, WAL_OPENING_AT, &iov, 1);
    mem_free(block);
    if (err != 0)
        return err;
    file->first_lsn = journal->next_lsn;
    list_remove(&file->link);
    list_push_back(&files->used, &file->link);
    files->pos = WAL_GROUPS_AT;
    if (before != NULL) { // nothing is ever written there again
        io_file_close(before->file);
        before->file = NULL;
    }
    return 0;
}

static bool fits(struct journal *journal, uint64_t len_bytes)
{
    struct wal_file *file = active(journal);
    return file != NULL && journal->files.pos + len_bytes <= file->size_bytes;
}

static void spare_remove(struct journal *journal, struct wal_file *file)
{
    struct wal_job job = {.old_number = file->number};
    file_drop(file);
    if (journal->files.quiet)
        journal->files.count--; // the next start finds it again
    else
        wal_job_post(journal, WAL_REMOVE, &job);
}

int files_room(struct journal *journal, uint64_t len_bytes)
{
    struct journal_files *files = &journal->files;
    ASSERT(len_bytes % IO_BLOCK == 0);
    while (!fits(journal, len_bytes)) {
        if (list_empty(&files->spares)) {
            if (!files->waiting) // another try at once, and the reserve if it fails
                io_timer_stop(journal->options.actor, &files->retry);
            files->waiting = true;
            files->need_bytes = WAL_GROUPS_AT + len_bytes;
            make_ahead(journal);
            tell_level(journal);
            return ERR_AGAIN;
        }
        struct wal_file *spare = file_of(files->spares.next);
        if (WAL_GROUPS_AT + len_bytes > spare->size_bytes) {
            spare_remove(journal, spare); // one of the first, small ones
            continue;
        }
        int err = use_spare(journal);
        if (err != 0)
            return err;
    }
    files->waiting = false;
    return 0;
}

void files_written(struct journal *journal, uint64_t len_bytes)
{
    ASSERT(len_bytes % IO_BLOCK == 0);
    journal->files.pos += len_bytes;
    make_ahead(journal);
    tell_level(journal);
}

// ---- what the maker answers

static void spare_add(struct journal *journal, const struct wal_job *job)
{
    struct journal_files *files = &journal->files;
    struct wal_file *file = mem_zalloc(sizeof *file);
    file->number = job->number;
    file->salt = job->salt;
    file->size_bytes = job->size_bytes;
    file->of_reserve = job->of_reserve;
    ASSERT(list_empty(&files->spares) || file_of(files->spares.prev)->number < file->number);
    list_push_back(&files->spares, &file->link);
}

// ---- starved

static void room_run(struct io_msg *msg) // on the shard
{
    struct journal_lane *lane = CONTAINER_OF(msg, struct journal_lane, room_msg);
    (void)atomic_exchange(&lane->room_posted, false); // sees what the poster wrote before
}

// What was refused is tried again at the end of a turn of its shard. There may be no other reason
// for one: everybody waits.
static void starved_end(struct journal *journal)
{
    if (!atomic_exchange(&journal->starved, false))
        return;
    for (uint32_t i = 0; i < journal->options.ports_count; i++) {
        struct journal_lane *lane = &journal->lanes[i];
        if (lane->shard == NULL || atomic_exchange(&lane->room_posted, true))
            continue;
        lane->room_msg.run = room_run;
        io_post(lane->shard, &lane->room_msg);
    }
}

// A spare file is the end of need, but for the reserve.
static void starved_look(struct journal *journal, const struct wal_job *job)
{
    bool refused = job->kind == WAL_MAKE && (job->err == ERR_NOSPACE || job->of_reserve);
    LIST_FOR (it, &journal->files.spares) {
        if (file_of(it)->of_reserve)
            continue;
        starved_end(journal);
        return;
    }
    if (refused)
        atomic_store(&journal->starved, true);
}

// Somebody looks for room as long as anybody waits for it.
static void starved_invariant(const struct journal *journal)
{
    const struct journal_files *files = &journal->files;
    if (!atomic_load(&journal->starved) || files->quiet || journal->failed != 0)
        return;
    ASSERT(files->making > 0 || io_timer_running(&files->retry));
}

static void reserve_done(struct journal *journal, const struct wal_job *job)
{
    journal->files.reserving = false;
    if (job->err == ERR_NOSPACE)
        retry_later(journal);
}

void files_job_done(struct journal *journal, struct wal_job *job)
{
    struct journal_files *files = &journal->files;
    list_remove(&job->link);
    if (job->kind == WAL_RESERVE) {
        reserve_done(journal, job);
        mem_free(job);
        files_quiesce(journal);
        return;
    }
    if (job->kind == WAL_MAKE) {
        ASSERT(files->making > 0);
        files->making--;
    }
    if (job->err == ERR_SYNC)
        journal_fail(journal, ERR_SYNC, "a new journal file could not be synced");
    if (job->err == 0 && job->kind != WAL_REMOVE)
        spare_add(journal, job);
    else
        files->count--; // a file that could not be recycled is left to the next start
    starved_look(journal, job);
    if (job->err != 0 || job->of_reserve)
        retry_later(journal);
    mem_free(job);
    make_ahead(journal);
    tell_level(journal);
    starved_invariant(journal);
    files_quiesce(journal);
}

// ---- recycling

static void file_recycle(struct journal *journal, struct wal_file *file)
{
    struct journal_files *files = &journal->files;
    struct wal_job job = {.old_number = file->number, .size_bytes = file->size_bytes};
    // Small first files and what a smaller configuration made too many are given back.
    bool keep = file->size_bytes == journal->options.file_bytes &&
                files->count <= journal->options.files_max;
    file_drop(file);
    if (keep)
        job.number = files->next_number++;
    wal_job_post(journal, keep ? WAL_RECYCLE : WAL_REMOVE, &job);
}

void files_recycle(struct journal *journal, uint64_t lsn)
{
    struct journal_files *files = &journal->files;
    if (journal->failed != 0 || files->quiet)
        return;
    // A file ends where the next begins; the last one is being written and stays.
    while (!list_empty(&files->used) && files->used.next != files->used.prev) {
        struct wal_file *next = file_of(files->used.next->next);
        ASSERT(next->first_lsn >= file_of(files->used.next)->first_lsn);
        if (next->first_lsn > lsn)
            break;
        file_recycle(journal, file_of(files->used.next));
    }
    files->level = 0; // still as full as before: then the next checkpoint is asked for at once
    tell_level(journal);
    make_reserve(journal); // it may have been used
}

// ---- life

void files_begin(struct journal *journal)
{
    struct journal_files *files = &journal->files;
    list_init(&files->used);
    list_init(&files->spares);
    list_init(&files->jobs);
    io_timer_init(&files->retry, retry_fire); // an order to recycle may come before the start
}

int files_start(struct journal *journal)
{
    struct wal_file *last = active(journal);
    int err = last == NULL ? 0 : file_open(journal, last);
    if (err != 0)
        return err;
    files_recycle(journal, atomic_load(&journal->recycle_lsn));
    make_ahead(journal);
    return 0;
}

void files_quiesce(struct journal *journal)
{
    struct journal_files *files = &journal->files;
    if (!files->quiet || files->quiet_msg == NULL || !list_empty(&files->jobs))
        return;
    struct io_msg *msg = files->quiet_msg;
    files->quiet_msg = NULL;
    io_post(files->quiet_reply, msg);
}

static void list_free_files(struct list *list)
{
    for (struct list *it; (it = list_pop_front(list)) != NULL;)
        mem_free(file_of(it)); // the actor that opened them has closed them
}

void files_free(struct journal *journal)
{
    list_free_files(&journal->files.used);
    list_free_files(&journal->files.spares);
    for (struct list *it; (it = list_pop_front(&journal->files.jobs)) != NULL;)
        mem_free(CONTAINER_OF(it, struct wal_job, link));
}
