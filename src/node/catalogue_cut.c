// SPDX-License-Identifier: Apache-2.0
//
// What a checkpoint takes of the catalogue.
#include "base/bugs.h"
#include "node/node_int.h"

static bool topic_emit(void *arg, const struct topic *topic)
{
    struct buf value;
    buf_init(&value, 1U << 20);
    topic_record_put(topic, &value);
    const struct state_record record = {STATE_TOPIC, slice_of(topic->id.bytes, 16),
                                        buf_slice(&value)};
    state_put(arg, &record);
    buf_fini(&value);
    return true;
}

// A full cut names every topic in the replica, and then what is journalled but not spread yet; the
// last one wins.
void catalogue_cut(struct shard *shard, bool full, struct buf *out)
{
    struct catalogue *c = &shard->catalogue;
    if (full)
        topic_each(shard, topic_emit, out);
    for (size_t i = 0; full && i < shard->broker_overrides.count; i++) {
        const struct config_override *o = &shard->broker_overrides.items[i];
        const struct state_record record = {STATE_BROKER_CONFIG, slice_cstr(o->def->name),
                                            slice_cstr(o->value)};
        // What the command line said is said again at every start.
        if (config_override_differs(o, &shard->node->broker_overrides))
            state_put(out, &record);
    }
    if (full) {
        group_settings_cut(shard, out);
        queue_records_cut(shard, out);
    }
    buf_put_slice(&c->in_cut, buf_slice(&c->delta));
    buf_clear(&c->delta);
    if (!bug(BUG_LOST_DELETE))
        buf_put_slice(out, buf_slice(&c->in_cut));
}

void catalogue_settled(struct shard *shard, bool installed)
{
    if (installed)
        buf_clear(&shard->catalogue.in_cut); // else the next cut carries it again
}
