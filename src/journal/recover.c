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
//               Unless it is whole but for one bit: that is damage too (one_bit.c).
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
#include "journal/walk.h"

#define ONE_BIT_BYTES_MAX ((size_t)1024 * 1024) // of a torn group that is looked at
#define READINGS          3                     // of what would be cut

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

// What ends the chain is read several times before it is called its end: a read may go wrong, and
// what is behind the end will be written over.
static int walk_try_again(struct walk *w, struct walk_group *slot)
{
    int found = walk_try(w, slot);
    for (int i = 1; i < READINGS && found == 0; i++) {
        wal_window_forget(&w->window);
        found = walk_try(w, slot);
    }
    return found;
}

static int walk_next(struct walk *w, struct walk_group *slot)
{
    for (;;) {
        int found = walk_try_again(w, slot);
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

static int end_one_bit_off(struct walk *w, bool *out)
{
    const struct wal_entry *e = &w->dir.entries[w->at];
    const struct wal_group expected = {.salt = e->header.salt,
                                       .first_lsn = w->next_lsn,
                                       .position = w->pos,
                                       .prev_crc = w->prev_crc};
    const uint8_t *bytes;
    uint64_t left = e->file_bytes > w->pos ? e->file_bytes - w->pos : 0;
    size_t len = left < ONE_BIT_BYTES_MAX ? (size_t)left : ONE_BIT_BYTES_MAX;
    *out = false;
    if (len < WAL_GROUP_HEADER)
        return 0;
    int err = wal_window_get(&w->window, w->pos, len, &bytes);
    if (err != 0)
        return err == ERR_EOF ? 0 : err;
    uint8_t *copy = mem_dup(bytes, len);
    *out = wal_one_bit_off(copy, len, &expected);
    mem_free(copy);
    return 0;
}

// Nothing whole lies behind. Was it torn, or has it changed? A read that went wrong may hide that
// it has.
static int check_torn(struct walk *w)
{
    const struct wal_entry *e = &w->dir.entries[w->at];
    bool one_bit = false;
    for (int i = 0; i < READINGS && !one_bit; i++) {
        wal_window_forget(&w->window);
        int err = end_one_bit_off(w, &one_bit);
        if (err != 0)
            return err;
    }
    if (!one_bit)
        return 0;
    return damage(w,
                  "%s/%016llx.wal: one bit of the newest group (byte %llu, LSN %llu) has changed "
                  "since it was written. Restore a backup; or lose that group: truncate to %llu "
                  "bytes.",
                  w->dir.path, (unsigned long long)e->number, (unsigned long long)w->pos,
                  (unsigned long long)w->next_lsn, (unsigned long long)w->pos);
}

static int check_end(struct walk *w)
{
    int err = look_behind(w, w->at, w->pos + IO_BLOCK);
    if (err == 0 && !bug(BUG_CUT_FLIPPED))
        err = check_torn(w);
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

static int frames_replay(struct walk *w, const struct walk_group *slot, bool last)
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

static int group_replay(struct walk *w, const struct walk_group *slot, bool last)
{
    int err = frames_replay(w, slot, last);
    if (err != ERR_CORRUPT)
        return err;
    return damage(w,
                  "%s/%016llx.wal: the group at byte %llu (LSN %llu) is whole, but what it says "
                  "does not fit the checkpoint, the groups before it, or the segments. Restore a "
                  "backup of the whole directory.",
                  w->dir.path, (unsigned long long)w->dir.entries[slot->entry].number,
                  (unsigned long long)slot->group.position,
                  (unsigned long long)slot->group.first_lsn);
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
    if (whole == ERR_CORRUPT)
        return damage(w,
                      "%s/%016llx.wal: the newest group (byte %llu, LSN %llu) refers to a batch in "
                      "a segment of which one bit has changed since it was written. Restore a "
                      "backup; or lose that group: truncate to %llu bytes.",
                      w->dir.path, (unsigned long long)w->dir.entries[w->at].number,
                      (unsigned long long)slot->group.position,
                      (unsigned long long)slot->group.first_lsn,
                      (unsigned long long)slot->group.position);
    if (whole < 0) // a disk that does not answer is no reason to cut what was acknowledged
        return whole;
    if (whole == 0) {
        w->pos = slot->group.position;
        w->next_lsn = slot->group.first_lsn;
        w->prev_crc = slot->group.prev_crc;
        w->torn = true;
        return 0;
    }
    w->newest = newest ? slot : NULL;
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
        err = walk_ready(&w, first_file_bytes, tail);
    wal_window_free(&w.window);
    mem_free(w.groups[0].data);
    mem_free(w.groups[1].data);
    wal_dir_free(&w.dir);
    return err;
}
