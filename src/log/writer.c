// SPDX-License-Identifier: Apache-2.0
//
// On the writer: bytes to their places in the segments' files. Nothing is decided here and nothing
// remembered but open files; everything may be done twice with the same result.
#include "base/assert.h"
#include "base/err.h"
#include "log/log_int.h"

#define IOV_MAX_COUNT 256

// Neighbours go out in one call, as far as the positions are back to back.
int segment_write(struct files *files, const struct log_key *key, int64_t segment,
                  const struct write_piece *pieces, size_t count)
{
    struct file_key file = {.log = *key, .base_offset = segment, .kind = FILE_LOG};
    struct files_entry *e;
    int err = files_open(files, &file, true, &e);
    struct iovec iov[IOV_MAX_COUNT];
    for (size_t i = 0; err == 0 && i < count;) {
        uint64_t start = pieces[i].position, end = start;
        int n = 0;
        while (i < count && n < IOV_MAX_COUNT && pieces[i].position == end) {
            iov[n].iov_base = (void *)(uintptr_t)pieces[i].bytes.data; // only read from
            iov[n].iov_len = pieces[i].bytes.len;
            end += pieces[i].bytes.len;
            n++;
            i++;
        }
        ASSERT(n > 0);
        ASSERT(end <= INT32_MAX);
        err = files_write(e, start, iov, n);
    }
    return err;
}

int segment_write_index(struct files *files, const struct log_key *key, int64_t segment,
                        enum file_kind kind, uint64_t at, struct slice bytes)
{
    ASSERT(kind != FILE_LOG);
    struct file_key file = {.log = *key, .base_offset = segment, .kind = kind};
    struct files_entry *e;
    int err = files_open(files, &file, true, &e);
    if (err != 0 || bytes.len == 0)
        return err;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.len};
    return files_write(e, at, &iov, 1);
}

// One file's share of a group: the frames from `from` on that go to the same segment.
static int target_write_some(struct log *log, struct journal_frame **frames, size_t count,
                             size_t *at)
{
    struct write_piece pieces[64];
    size_t n = 0;
    uint64_t file = frames[*at]->w.target_file;
    while (*at < count && n < 64 && frames[*at]->w.target_file == file) {
        const struct journal_frame *f = frames[*at];
        ASSERT(f->w.body.blob != NULL);
        pieces[n++] = (struct write_piece){
            .bytes = blob_piece_slice(f->w.body),
            .position = (uint32_t)f->w.target_pos,
        };
        (*at)++;
    }
    return segment_write(&log->store->writer_files, &log->key, (int64_t)file, pieces, n);
}

int log_target_write(struct journal_target *target, struct journal_frame **frames, size_t count)
{
    struct log *log = CONTAINER_OF(target, struct log, target);
    int err = 0;
    for (size_t at = 0; at < count && err == 0;)
        err = target_write_some(log, frames, count, &at);
    return err;
}

int log_target_sync(struct journal_target *target, struct journal_frame **frames, size_t count)
{
    struct log *log = CONTAINER_OF(target, struct log, target);
    struct files *files = &log->store->writer_files;
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        uint64_t file = frames[i]->w.target_file;
        if (i + 1 < count && frames[i + 1]->w.target_file == file)
            continue; // once per segment
        struct file_key key = {.log = log->key, .base_offset = (int64_t)file, .kind = FILE_LOG};
        err = bug(BUG_DIRECT_NO_SYNC) ? 0 : files_sync_key(files, &key);
    }
    return err;
}
