// SPDX-License-Identifier: Apache-2.0
//
// After a burst the allocator keeps the pages of what was freed: 64 MB after some seconds of bulk
// producing, for as long as the process lives. Lower thresholds for mmap would give each blob back
// at once and pay for it with a page fault per 4 KiB of traffic. So shard 0 looks every ten
// seconds, and when the budget has been far below its peak twice in a row, the pages go back.
#include "base/mem.h"
#include "node/node_int.h"

#define LOOK_NS   10000000000
#define MIN_BYTES (16 << 20)

void trim_look(struct shard *shard)
{
    int64_t used = budget_used(&shard->node->memory);
    if (used > shard->trim.peak_bytes)
        shard->trim.peak_bytes = used;
}

static void trim_tick(struct io_timer *timer)
{
    struct shard *shard = CONTAINER_OF(timer, struct shard, trim.timer);
    struct memory_trim *trim = &shard->trim;
    int64_t used = budget_used(&shard->node->memory);
    bool low = used < trim->peak_bytes / 4 && trim->peak_bytes - used > MIN_BYTES;
    if (low && trim->low) {
        mem_trim();
        trim->peak_bytes = used;
        low = false;
    }
    trim->low = low;
    io_timer_start(shard->io, timer, io_now_ns(shard->io) + LOOK_NS);
}

void trim_start(struct shard *shard)
{
    io_timer_init(&shard->trim.timer, trim_tick);
    io_timer_start(shard->io, &shard->trim.timer, io_now_ns(shard->io) + LOOK_NS);
}
