// SPDX-License-Identifier: Apache-2.0
//
// Recovery: follows the chain of groups from the checkpoint's LSN and replays it, a whole group at
// a time, then decides what the end of the chain means.
//
//   the chain   each group names its LSN and the CRC of the one before; a file's opening names
//               both for its first group. A stale group cannot continue it (format.h).
//   the end     where no group continues the chain. One write is in flight at a time, so a torn
//               group is the newest: nothing whole lies behind it. It is cut, and its first block
//               zeroed, so that no later start sees it again.
//   damage      anything whole behind the end, in this file or a later one: a group that had been
//               durable is hurt. The start is refused with words; nothing is changed.
//   the newest  group may carry references to bodies that never reached their segments; then it
//               was never durable and is cut as well. It is recognised by reading one group ahead.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/wal_dir.h"

#define NO_ENTRY SIZE_MAX

struct walk_group {
    uint8_t *data;
    size_t cap;
    struct wal_group group;
    size_t entry;
};

struct walk {
    struct io *io;
    struct wal_dir dir;
    struct wal_window window;
    const struct journal_replay *replay;
    struct journal_recovery *recovery;
    uint64_t from_lsn;
    size_t start, at; // entries; NO_ENTRY: no file was ever opened
    uint64_t pos, next_lsn;
    uint32_t prev_crc;
    bool torn; // a group begins at pos, and it is not whole
    struct walk_group groups[2];
};

// ---- words

static int damage(struct walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int damage(struct walk *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->recovery->damage, sizeof w->recovery->damage, format, args);
    va_end(args);
    return ERR_CORRUPT;
}

static int damage_at_end(struct walk *w, uint64_t later_number, uint64_t later_at)
{
    if (w->at == NO_ENTRY)
        return damage(w,
                      "%s/%016llx.wal: the opening block (byte 4096) is damaged, but a group "
                      "follows at byte %llu. Restore a backup; or remove this file and all later "
                      ".wal files and lose what they held.",
                      w->dir.path, (unsigned long long)later_number, (unsigned long long)later_at);
    unsigned long long number = w->dir.entries[w->at].number;
    return damage(w,
                  "%s/%016llx.wal: damage at byte %llu, LSN %llu; later data is whole (%016llx.wal "
                  "byte %llu). Restore a backup; or lose all from that LSN on: truncate to %llu "
                  "bytes, remove later .wal files.",
                  w->dir.path, number, (unsigned long long)w->pos, (unsigned long long)w->next_lsn,
                  (unsigned long long)later_number, (unsigned long long)later_at,
                  (unsigned long long)w->pos);
}

// ---- where to begin

static int check_entries(struct walk *w)
{
    const struct wal_entry *first = NULL;
    for (size_t i = 0; i < w->dir.count; i++) {
        const struct wal_entry *entry = &w->dir.entries[i];
        if (entry->state == WAL_ENTRY_DAMAGED) {
            if (w->start != NO_ENTRY && i < w->start)
                continue; // not needed any more
            return damage(w,
                          "%s/%016llx.wal has no readable header, so what it held is unknown. "
                          "Restore a backup; or remove it and all later .wal files and lose what "
                          "they held.",
                          w->dir.path, (unsigned long long)entry->number);
        }
        if (first != NULL && entry->header.store != first->header.store)
            return damage(w,
                          "%s/%016llx.wal belongs to another store than %016llx.wal. Move the "
                          "file that was copied here out of the directory.",
                          w->dir.path, (unsigned long long)entry->number,
                          (unsigned long long)first->number);
        if (first == NULL)
            first = entry;
    }
    return 0;
}

static int find_start(struct walk *w)
{
    bool any = false;
    w->start = NO_ENTRY;
    for (size_t i = 0; i < w->dir.count; i++) {
        const struct wal_entry *entry = &w->dir.entries[i];
        if (entry->state != WAL_ENTRY_OPENED)
            continue;
        any = true;
        if (entry->opening.first_lsn <= w->from_lsn)
            w->start = i;
    }
    int err = check_entries(w);
    if (err != 0)
        return err;
    if (w->start == NO_ENTRY && (any || w->from_lsn > 1))
        return damage(w,
                      "%s has no file that holds LSN %llu, where the checkpoint says that replay "
                      "begins. Restore the missing .wal files, or a whole backup.",
                      w->dir.path, (unsigned long long)w->from_lsn);
    return 0;
}

static int walk_enter(struct walk *w, size_t entry)
{
    w->at = entry;
    w->pos = WAL_GROUPS_AT;
    w->next_lsn = w->dir.entries[entry].opening.first_lsn;
    w->prev_crc = w->dir.entries[entry].opening.prev_crc;
    return wal_window_open(&w->window, w->io, w->dir.path, &w->dir.entries[entry]);
}

// ---- the chain

static int group_keep(struct walk_group *slot, const uint8_t *bytes, const struct wal_group *group)
{
    if (slot->cap < group->len_bytes) {
        uint8_t *data = mem_try_alloc(group->len_bytes);
        if (data == NULL)
            return ERR_NOMEM;
        mem_free(slot->data);
        slot->data = data;
        slot->cap = group->len_bytes;
    }
    memcpy(slot->data, bytes, group->len_bytes);
    slot->group = *group;
    return 0;
}

// Is the group that continues the chain at pos? 1 yes, 0 no, or an error of reading.
static int walk_try(struct walk *w, struct walk_group *slot)
{
    uint64_t salt = w->dir.entries[w->at].header.salt;
    const uint8_t *bytes;
    struct wal_group group;
    w->torn = false;
    int err = wal_window_get(&w->window, w->pos, WAL_GROUP_HEADER, &bytes);
    if (err != 0)
        return err == ERR_EOF ? 0 : err;
    if (wal_group_get(bytes, &group) != 0 || group.salt != salt || group.position != w->pos)
        return 0;
    if (group.first_lsn != w->next_lsn || group.prev_crc != w->prev_crc)
        return 0;
    w->torn = true;
    err = wal_window_get(&w->window, w->pos, group.len_bytes, &bytes);
    if (err != 0)
        return err == ERR_EOF ? 0 : err;
    uint32_t crc;
    if (wal_group_check(slice_of(bytes, group.len_bytes), &group, JOURNAL_COMMIT, &crc) != 0)
        return 0;
    err = group_keep(slot, bytes, &group);
    if (err != 0)
        return err;
    w->torn = false;
    slot->entry = w->at;
    w->pos += wal_padded(group.len_bytes);
    w->next_lsn += group.frames;
    w->prev_crc = crc;
    return 1;
}

static size_t next_opened(const struct walk *w)
{
    for (size_t i = w->at + 1; i < w->dir.count; i++)
        if (w->dir.entries[i].state == WAL_ENTRY_OPENED)
            return i;
    return NO_ENTRY;
}

static int walk_next(struct walk *w, struct walk_group *slot)
{
    for (;;) {
        int found = walk_try(w, slot);
        if (found != 0)
            return found;
        size_t next = next_opened(w);
        if (next == NO_ENTRY)
            return 0;
        const struct wal_entry *entry = &w->dir.entries[next];
        if (entry->opening.first_lsn != w->next_lsn || entry->opening.prev_crc != w->prev_crc)
            return damage_at_end(w, entry->number, WAL_GROUPS_AT);
        int err = walk_enter(w, next);
        if (err != 0)
            return err;
    }
}

// A group's header with the file's salt at its own position was written by us, and if it lies
// behind the end then what lies before it had been durable.
static int look_behind(struct walk *w, size_t entry, uint64_t from)
{
    const struct wal_entry *e = &w->dir.entries[entry];
    for (uint64_t at = from; at + WAL_GROUP_HEADER <= e->file_bytes; at += IO_BLOCK) {
        const uint8_t *bytes;
        struct wal_group group;
        int err = wal_window_get(&w->window, at, WAL_GROUP_HEADER, &bytes);
        if (err != 0)
            return err == ERR_EOF ? 0 : err;
        if (wal_group_get(bytes, &group) != 0)
            continue;
        if (group.salt == e->header.salt && group.position == at)
            return damage_at_end(w, e->number, at);
    }
    return 0;
}

// A file whose opening cannot be read was torn when it was opened, and then holds nothing; or it is
// damaged.
static int check_unsure(struct walk *w)
{
    int err = 0;
    for (size_t i = w->at == NO_ENTRY ? 0 : w->at + 1; i < w->dir.count && err == 0; i++) {
        if (w->dir.entries[i].state != WAL_ENTRY_UNSURE)
            continue;
        err = wal_window_open(&w->window, w->io, w->dir.path, &w->dir.entries[i]);
        if (err == 0)
            err = look_behind(w, i, WAL_GROUPS_AT);
    }
    return err;
}

static int check_end(struct walk *w)
{
    int err = look_behind(w, w->at, w->pos + IO_BLOCK);
    if (err == 0)
        err = check_unsure(w);
    if (err == 0 && w->next_lsn < w->from_lsn)
        err = damage(w,
                     "%s ends before LSN %llu, but the checkpoint was made at LSN %llu: the newest "
                     "part of the journal is missing. Restore the missing .wal files, or a whole "
                     "backup.",
                     w->dir.path, (unsigned long long)w->next_lsn, (unsigned long long)w->from_lsn);
    return err;
}

// ---- replay

static int frame_replay(struct walk *w, const struct wal_frame *frame, bool last)
{
    struct journal_replayed out = {.lsn = frame->lsn,
                                   .kind = frame->kind,
                                   .head = frame->head,
                                   .body = frame->body,
                                   .last_group = last};
    w->recovery->frames++;
    if (w->replay == NULL || w->replay->frame == NULL)
        return 0;
    return w->replay->frame(w->replay->arg, &out);
}

static int group_replay(struct walk *w, const struct walk_group *slot, bool last)
{
    const struct wal_group *group = &slot->group;
    struct slice rest =
        slice_of(slot->data + WAL_GROUP_HEADER, group->len_bytes - WAL_GROUP_HEADER);
    if (group->first_lsn + group->frames <= w->from_lsn)
        return 0;
    struct journal_recovery *recovery = w->recovery;
    recovery->groups++;
    recovery->bytes += group->len_bytes;
    for (uint32_t i = 0; i + 1 < group->frames; i++) {
        struct wal_frame frame;
        int err = wal_frame_get(&rest, &frame);
        ASSERT(err == 0); // the whole group was checked
        if (frame.lsn < w->from_lsn)
            continue;
        if (recovery->first_lsn == 0)
            recovery->first_lsn = frame.lsn;
        err = frame_replay(w, &frame, last);
        if (err != 0)
            return err;
    }
    recovery->last_lsn = group->first_lsn + group->frames - 1;
    return 0;
}

// Did the bodies that the newest group refers to reach their segments? 1, 0 or ERR_*.
static int group_verify(struct walk *w, const struct walk_group *slot)
{
    const struct wal_group *group = &slot->group;
    struct slice rest =
        slice_of(slot->data + WAL_GROUP_HEADER, group->len_bytes - WAL_GROUP_HEADER);
    if (w->replay == NULL || w->replay->verify == NULL)
        return 1;
    for (uint32_t i = 0; i + 1 < group->frames; i++) {
        struct wal_frame frame;
        int err = wal_frame_get(&rest, &frame);
        ASSERT(err == 0);
        if (frame.kind != JOURNAL_REFERENCE || frame.lsn < w->from_lsn)
            continue;
        struct journal_replayed out = {.lsn = frame.lsn,
                                       .kind = frame.kind,
                                       .head = frame.head,
                                       .body = frame.body,
                                       .last_group = true};
        int whole = w->replay->verify(w->replay->arg, &out);
        if (whole != 1)
            return whole;
    }
    return 1;
}

static int last_replay(struct walk *w, const struct walk_group *slot)
{
    // A group or file begun behind it was begun after it was durable.
    bool newest = w->at == slot->entry && !w->torn;
    int whole = newest ? group_verify(w, slot) : 1;
    if (whole < 0) // a disk that does not answer is no reason to cut what was acknowledged
        return whole;
    if (whole == 0) {
        w->pos = slot->group.position;
        w->next_lsn = slot->group.first_lsn;
        w->prev_crc = slot->group.prev_crc;
        w->torn = true;
        return 0;
    }
    return group_replay(w, slot, newest);
}

// Planted bug half-group: what is readable of a torn group is replayed.
static int half_group(struct walk *w)
{
    const uint8_t *bytes;
    struct wal_group group;
    size_t len = w->window.file_bytes > w->pos ? (size_t)(w->window.file_bytes - w->pos) : 0;
    if (wal_window_get(&w->window, w->pos, len, &bytes) != 0 || wal_group_get(bytes, &group) != 0)
        return 0;
    struct slice rest = slice_of(bytes + WAL_GROUP_HEADER, len - WAL_GROUP_HEADER);
    struct wal_frame frame;
    int err = 0;
    while (err == 0 && wal_frame_get(&rest, &frame) == 0 && frame.kind != JOURNAL_COMMIT)
        err = frame_replay(w, &frame, false);
    return err;
}

static int walk_all(struct walk *w)
{
    int err = walk_enter(w, w->start);
    if (err != 0)
        return err;
    size_t slot = 0;
    int found = walk_next(w, &w->groups[slot]);
    bool any = found == 1;
    while (found == 1) {
        found = walk_next(w, &w->groups[slot ^ 1]);
        if (found == 1) {
            err = group_replay(w, &w->groups[slot], false);
            slot ^= 1;
        }
        if (err != 0)
            return err;
    }
    if (found < 0)
        return found;
    err = check_end(w); // before the newest group: damage is told whatever it refers to
    if (err == 0 && w->torn && bug(BUG_HALF_GROUP))
        err = half_group(w);
    if (err == 0 && any)
        err = last_replay(w, &w->groups[slot]);
    w->recovery->cut = w->torn;
    return err;
}

// ---- making it ready to be written

static int cut(struct walk *w)
{
    char path[JOURNAL_PATH_SIZE];
    wal_number_path(w->dir.path, w->dir.entries[w->at].number, ".wal", path);
    struct io_file *file = NULL;
    int err = io_open(w->io, path, IO_WRITE, &file);
    if (err == 0 && w->torn) {
        uint8_t *block = mem_alloc_aligned(IO_BLOCK, IO_BLOCK);
        struct iovec iov = {.iov_base = block, .iov_len = IO_BLOCK};
        err = io_write(file, w->pos, &iov, 1);
        mem_free(block);
    }
    if (err == 0) // also what was kept: it may have been on its way when the machine stopped
        err = io_sync(file);
    io_file_close(file);
    return err;
}

static uint64_t random_u64(struct io *io)
{
    uint64_t value;
    do {
        io_random(io, &value, sizeof value);
    } while (value == 0);
    return value;
}

static void tail_add(struct list *list, struct wal_tail *tail, const struct wal_header *header,
                     uint64_t first_lsn)
{
    struct wal_file *file = mem_zalloc(sizeof *file);
    file->number = header->number;
    file->salt = header->salt;
    file->size_bytes = header->size_bytes;
    file->first_lsn = first_lsn;
    list_push_back(list, &file->link);
    tail->count++;
}

static void tail_free(struct wal_tail *tail)
{
    list_splice_back(&tail->used, &tail->spares);
    for (struct list *it; (it = list_pop_front(&tail->used)) != NULL;)
        mem_free(CONTAINER_OF(it, struct wal_file, link));
}

// What a killed process left in the page cache is read like what is on disk, and a power loss takes
// it back; headers and openings that are gone by then would take with them what was written behind
// them. A file that is clean costs next to nothing.
static int kept_sync(struct walk *w, const struct wal_entry *entry)
{
    char path[JOURNAL_PATH_SIZE];
    wal_number_path(w->dir.path, entry->number, ".wal", path);
    struct io_file *file = NULL;
    int err = io_open(w->io, path, IO_WRITE, &file);
    if (err == 0)
        err = io_sync(file);
    io_file_close(file);
    return err;
}

static int tail_entries(struct walk *w, struct wal_tail *tail)
{
    for (size_t i = 0; i < w->dir.count; i++) {
        const struct wal_entry *entry = &w->dir.entries[i];
        bool behind = w->at == NO_ENTRY || i > w->at;
        bool kept = behind || entry->state == WAL_ENTRY_OPENED;
        int err = kept && i != w->at ? kept_sync(w, entry) : 0; // that one is: see cut
        if (err != 0)
            return err;
        if (entry->state == WAL_ENTRY_OPENED && !behind) {
            tail_add(&tail->used, tail, &entry->header, entry->opening.first_lsn);
        } else if (behind) {
            ASSERT(entry->state == WAL_ENTRY_SPARE || entry->state == WAL_ENTRY_UNSURE);
            tail_add(&tail->spares, tail, &entry->header, 0);
        } else { // older than what is needed, and not readable as what it was
            char path[JOURNAL_PATH_SIZE];
            wal_number_path(w->dir.path, entry->number, ".wal", path);
            err = io_remove(w->io, path);
            if (err != 0)
                return err;
        }
    }
    return 0;
}

static int tail_leftovers(struct walk *w, struct wal_tail *tail)
{
    char path[JOURNAL_PATH_SIZE];
    int err = 0;
    for (size_t i = 0; i < w->dir.new_count && err == 0; i++) {
        wal_number_path(w->dir.path, w->dir.new[i], ".new", path);
        err = io_remove(w->io, path);
    }
    for (size_t i = 0; i < w->dir.old_count && err == 0; i++) {
        // Its blocks are our reserve on a full disk: it becomes a spare file.
        char name[WAL_NAME_SIZE];
        wal_name(w->dir.old[i], ".old", name);
        wal_path(w->dir.path, name, path);
        struct io_file *file = NULL;
        err = io_open(w->io, path, 0, &file);
        int64_t size = err == 0 ? io_file_size(file) : 0;
        io_file_close(file);
        if (err != 0)
            break;
        struct wal_header header = {.store = tail->store,
                                    .number = tail->next_number++,
                                    .salt = random_u64(w->io),
                                    .size_bytes = size > 0 ? (uint64_t)size : 0};
        if (size <= WAL_GROUPS_AT || size % IO_BLOCK != 0) {
            err = io_remove(w->io, path);
            continue;
        }
        err = wal_recycle(w->io, w->dir.path, name, &header);
        if (err == 0)
            tail_add(&tail->spares, tail, &header, 0);
    }
    return err;
}

static int tail_make(struct walk *w, uint64_t first_file_bytes, struct wal_tail *tail)
{
    list_init(&tail->used);
    list_init(&tail->spares);
    tail->count = 0;
    tail->pos = w->pos;
    tail->next_lsn = w->next_lsn;
    tail->prev_crc = w->prev_crc;
    tail->next_number = w->dir.max_number + 1;
    tail->store =
        w->dir.count > 0 ? w->dir.entries[w->dir.count - 1].header.store : random_u64(w->io);
    int err = w->at == NO_ENTRY ? 0 : cut(w);
    if (err == 0)
        err = tail_entries(w, tail);
    if (err == 0)
        err = tail_leftovers(w, tail);
    if (err == 0 && tail->count == 0) {
        struct wal_header header = {.store = tail->store,
                                    .number = tail->next_number++,
                                    .salt = random_u64(w->io),
                                    .size_bytes = first_file_bytes};
        err = wal_make(w->io, w->dir.path, &header);
        if (err == 0)
            tail_add(&tail->spares, tail, &header, 0);
    }
    if (err != 0)
        tail_free(tail);
    return err;
}

int wal_recover(struct io *io, const char *dir, uint64_t first_file_bytes, uint64_t from_lsn,
                const struct journal_replay *replay, struct journal_recovery *recovery,
                struct wal_tail *tail)
{
    struct walk w = {.io = io,
                     .replay = replay,
                     .recovery = recovery,
                     .from_lsn = from_lsn == 0 ? 1 : from_lsn,
                     .at = NO_ENTRY,
                     .next_lsn = 1};
    int err = wal_dir_read(io, dir, &w.dir, recovery->damage, sizeof recovery->damage);
    if (err != 0)
        return err;
    err = find_start(&w);
    if (err == 0)
        err = w.start == NO_ENTRY ? check_unsure(&w) : walk_all(&w);
    // A file that a kill left in sight may have a name that a power loss forgets, with all that is
    // written into it from now on.
    if (err == 0 && tail != NULL && w.dir.count > 0)
        err = io_sync_dir(io, dir);
    if (err == 0 && tail != NULL)
        err = tail_make(&w, first_file_bytes, tail);
    wal_window_free(&w.window);
    mem_free(w.groups[0].data);
    mem_free(w.groups[1].data);
    wal_dir_free(&w.dir);
    return err;
}
