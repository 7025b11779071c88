// SPDX-License-Identifier: Apache-2.0
//
// The table of settings and what reads it: checking a value, keeping overrides, computing what is
// in force. Values are kept as the text they were given as, since that is what clients read back;
// numbers are computed from it once per change.
#include "node/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

const struct config_def config_defs[] = {
#define T(name, type, preset, broker, min, max, values, acts, doc) \
    {name, CONFIG_TOPIC, CONFIG_##type, preset, broker, min, max, values, acts, true, doc},
#define B(name, type, preset, min, max, values, acts, dynamic, doc) \
    {name, CONFIG_BROKER, CONFIG_##type, preset, NULL, min, max, values, acts, dynamic, doc},
#define G(name, type, preset, min, max, values, doc) \
    {name, CONFIG_GROUP, CONFIG_##type, preset, NULL, min, max, values, false, true, doc},
#include "../../schema/config.tab"
#undef T
#undef B
#undef G
};
const size_t config_defs_count = sizeof config_defs / sizeof config_defs[0];

enum {
    TOPIC_DEFS = 0
#define T(...) +1
#define B(...)
#define G(...)
#include "../../schema/config.tab"
#undef T
#undef B
    ,
    BROKER_DEFS = 0
#define T(...)
#define B(...) +1
#include "../../schema/config.tab"
#undef T
#undef B
#undef G
};

// The table has one scope after the other, each in order of name: a start computes what is in force
// for every topic, and for each setting of it looks here.
const struct config_def *config_find(enum config_scope scope, struct slice name)
{
    size_t low = scope == CONFIG_TOPIC    ? 0
                 : scope == CONFIG_BROKER ? TOPIC_DEFS
                                          : TOPIC_DEFS + BROKER_DEFS;
    size_t high = scope == CONFIG_TOPIC    ? TOPIC_DEFS
                  : scope == CONFIG_BROKER ? TOPIC_DEFS + BROKER_DEFS
                                           : config_defs_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = slice_cmp(name, slice_cstr(config_defs[mid].name));
        if (order == 0) {
            ASSERT(config_defs[mid].scope == scope);
            return &config_defs[mid];
        }
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

// ---- values

// Kafka's words for what is wrong with a number.
static int number_refuse(const struct config_def *def, const char *text, int side, char *why,
                         size_t why_size)
{
    static const char *const types[] = {
        [CONFIG_INT] = "INT", [CONFIG_LONG] = "LONG", [CONFIG_DOUBLE] = "DOUBLE"};
    if (side == 0)
        (void)snprintf(why, why_size,
                       "Invalid value %s for configuration %s: Not a number of type %s", text,
                       def->name, types[def->type]);
    else
        (void)snprintf(why, why_size,
                       "Invalid value %s for configuration %s: Value must be %s %lld", text,
                       def->name, side < 0 ? "at least" : "no more than",
                       (long long)(side < 0 ? def->min : def->max));
    return ERR_INVALID_CONFIG;
}

static int number_check(const struct config_def *def, const char *text, char *why, size_t why_size)
{
    char *end = NULL;
    errno = 0;
    if (def->type == CONFIG_DOUBLE) {
        double v = strtod(text, &end);
        if (end == text || *end != '\0')
            return number_refuse(def, text, 0, why, why_size);
        if (v < (double)def->min)
            return number_refuse(def, text, -1, why, why_size);
        return v <= (double)def->max ? 0 : number_refuse(def, text, 1, why, why_size);
    }
    long long v = strtoll(text, &end, 10);
    bool fits = errno == 0 && (def->type == CONFIG_LONG || (v >= INT32_MIN && v <= INT32_MAX));
    if (end == text || *end != '\0' || !fits)
        return number_refuse(def, text, 0, why, why_size);
    if (v < def->min)
        return number_refuse(def, text, -1, why, why_size);
    return v <= def->max ? 0 : number_refuse(def, text, 1, why, why_size);
}

// Is `word` one of the alternatives in "a|b|c"?
static bool one_of(const char *values, const char *word, size_t word_len)
{
    for (const char *p = values;;) {
        size_t len = strcspn(p, "|");
        if (len == word_len && memcmp(p, word, len) == 0)
            return true;
        if (p[len] == '\0')
            return false;
        p += len + 1;
    }
}

static void words_refuse(const struct config_def *def, const char *word, size_t word_len, char *why,
                         size_t why_size)
{
    struct buf text;
    buf_init(&text, 1024);
    buf_printf(&text,
               "Invalid value %.*s for configuration %s: String must be one of: ", (int)word_len,
               word, def->name);
    for (const char *p = def->values; *p != '\0'; p++)
        buf_put_slice(&text, *p == '|' ? slice_cstr(", ") : slice_of(p, 1));
    slice_to_cstr(slice_of(text.data, text.len < why_size ? text.len : why_size - 1), why,
                  why_size);
    buf_fini(&text);
}

static int words_check(const struct config_def *def, const char *text, char *why, size_t why_size)
{
    if (def->values == NULL)
        return 0;
    bool list = def->type == CONFIG_LIST;
    for (const char *p = text;;) {
        size_t len = list ? strcspn(p, ",") : strlen(p);
        size_t skip = strspn(p, " ");
        size_t trim = len;
        while (trim > skip && p[trim - 1] == ' ')
            trim--;
        bool empty_list = list && text[0] == '\0';
        if (!empty_list && !one_of(def->values, p + skip, trim - skip)) {
            words_refuse(def, p + skip, trim - skip, why, why_size);
            return ERR_INVALID_CONFIG;
        }
        if (p[len] == '\0')
            return 0;
        p += len + 1;
    }
}

int config_check_value(const struct config_def *def, struct slice value, char *why, size_t why_size)
{
    char text[512];
    if (value.len >= sizeof text || memchr(value.data, 0, value.len) != NULL) {
        (void)snprintf(why, why_size, "Invalid value for configuration %s: too long", def->name);
        return ERR_INVALID_CONFIG;
    }
    slice_to_cstr(value, text, sizeof text);
    switch (def->type) {
    case CONFIG_BOOL:
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            return def->values != NULL ? words_check(def, text, why, why_size) : 0;
        (void)snprintf(why, why_size,
                       "Invalid value %s for configuration %s: Expected value to be either true or "
                       "false",
                       text, def->name);
        return ERR_INVALID_CONFIG;
    case CONFIG_INT:
    case CONFIG_LONG:
    case CONFIG_DOUBLE:
        return number_check(def, text, why, why_size);
    case CONFIG_STRING:
    case CONFIG_LIST:
        break;
    }
    return words_check(def, text, why, why_size);
}

// ---- overrides

void config_overrides_init(struct config_overrides *o)
{
    *o = (struct config_overrides){0};
}

void config_overrides_fini(struct config_overrides *o)
{
    for (size_t i = 0; i < o->count; i++)
        mem_free(o->items[i].value);
    mem_free(o->items);
    config_overrides_init(o);
}

void config_overrides_copy(struct config_overrides *to, const struct config_overrides *from)
{
    config_overrides_init(to);
    if (from->count == 0)
        return;
    to->items = mem_alloc(from->count * sizeof to->items[0]);
    to->count = from->count;
    for (size_t i = 0; i < from->count; i++)
        to->items[i] =
            (struct config_override){from->items[i].def, mem_strdup(from->items[i].value)};
}

static struct config_override *override_find(const struct config_overrides *o, const char *name)
{
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->items[i].def->name, name) == 0)
            return &o->items[i];
    return NULL;
}

const char *config_override_get(const struct config_overrides *o, const char *name)
{
    const struct config_override *item = override_find(o, name);
    return item != NULL ? item->value : NULL;
}

static void override_set(struct config_overrides *o, const struct config_def *def, char *value)
{
    struct config_override *item = override_find(o, def->name);
    if (item != NULL) {
        mem_free(item->value);
        item->value = value;
        return;
    }
    o->items = mem_realloc(o->items, (o->count + 1) * sizeof o->items[0]);
    size_t at = o->count++;
    for (; at > 0 && strcmp(o->items[at - 1].def->name, def->name) > 0; at--)
        o->items[at] = o->items[at - 1];
    o->items[at] = (struct config_override){def, value};
}

static void override_unset(struct config_overrides *o, const char *name)
{
    struct config_override *item = override_find(o, name);
    if (item == NULL)
        return;
    size_t at = (size_t)(item - o->items);
    mem_free(item->value);
    memmove(item, item + 1, (o->count - at - 1) * sizeof *item);
    o->count--;
}

bool config_override_differs(const struct config_override *o, const struct config_overrides *other)
{
    const char *text = config_override_get(other, o->def->name);
    return text == NULL || strcmp(text, o->value) != 0;
}

void config_overrides_fill(struct config_overrides *o, const struct config_overrides *given)
{
    for (size_t i = 0; i < given->count; i++)
        if (config_override_get(o, given->items[i].def->name) == NULL)
            override_set(o, given->items[i].def, mem_strdup(given->items[i].value));
}

static bool list_has(const char *list, const char *word, size_t word_len)
{
    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, ",");
        if (len == word_len && memcmp(p, word, len) == 0)
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

// The words of `from` that are not in `without`, behind those that are there.
static void list_put(struct buf *out, const char *from, const char *without)
{
    for (const char *p = from; *p != '\0';) {
        size_t len = strcspn(p, ",");
        if (!list_has(without, p, len))
            buf_printf(out, "%s%.*s", out->len > 0 ? "," : "", (int)len, p);
        p += len + (p[len] == ',');
    }
}

// The list `text` with the words of `words` added, where they are missing, or taken away. New
// memory.
static char *list_edit(const char *text, struct slice words, bool add)
{
    struct buf out;
    buf_init(&out, 4096);
    char *more = mem_strndup((const char *)words.data, words.len);
    list_put(&out, text, add ? "" : more);
    if (add)
        list_put(&out, more, text);
    char *result = mem_strndup((const char *)out.data, out.len);
    mem_free(more);
    buf_fini(&out);
    return result;
}

int config_override_change(struct config_overrides *o, enum config_scope scope,
                           const struct config_change *change, char *why, size_t why_size)
{
    const struct config_def *def = config_find(scope, change->name);
    static const char *const scopes[] = {
        [CONFIG_TOPIC] = "topic", [CONFIG_BROKER] = "broker", [CONFIG_GROUP] = "group"};
    if (def == NULL) {
        (void)snprintf(why, why_size, "Unknown %s config name: %.*s", scopes[scope],
                       (int)change->name.len, (const char *)change->name.data);
        return ERR_INVALID_CONFIG;
    }
    if (change->op == CONFIG_DELETE) {
        override_unset(o, def->name);
        return 0;
    }
    if (change->value.data == NULL) {
        (void)snprintf(why, why_size, "Null value not supported for : %s", def->name);
        return ERR_INVALID_CONFIG;
    }
    if (change->op != CONFIG_SET && def->type != CONFIG_LIST) {
        (void)snprintf(why, why_size, "Can't %s to key %s because its type is not LIST.",
                       change->op == CONFIG_APPEND ? "APPEND" : "SUBTRACT", def->name);
        return ERR_INVALID_CONFIG;
    }
    char *value = NULL;
    if (change->op == CONFIG_SET) {
        value = mem_strndup((const char *)change->value.data, change->value.len);
    } else {
        const char *now = config_override_get(o, def->name);
        value =
            list_edit(now != NULL ? now : def->preset, change->value, change->op == CONFIG_APPEND);
    }
    int err = config_check_value(def, slice_cstr(value), why, why_size);
    if (err != 0) {
        mem_free(value);
        return err;
    }
    override_set(o, def, value);
    return 0;
}

// ---- what is in force

const char *config_effective_text(const struct config_def *def, const struct config_overrides *own,
                                  const struct config_overrides *broker,
                                  enum config_source *out_source)
{
    const char *text = own != NULL ? config_override_get(own, def->name) : NULL;
    *out_source = CONFIG_FROM_OWN;
    if (text != NULL)
        return text;
    const char *inherited = def->scope == CONFIG_BROKER ? def->name : def->broker_name;
    text = broker != NULL && inherited != NULL ? config_override_get(broker, inherited) : NULL;
    *out_source = CONFIG_FROM_BROKER;
    if (text != NULL)
        return text;
    *out_source = CONFIG_FROM_PRESET;
    return def->preset;
}

struct effective {
    enum config_scope scope;
    const struct config_overrides *topic, *broker;
};

static const char *text_of(const struct effective *e, const char *name)
{
    const struct config_def *def = config_find(e->scope, slice_cstr(name));
    ASSERT(def != NULL);
    enum config_source source;
    return config_effective_text(def, e->topic, e->broker, &source);
}

static int64_t number_of(const struct effective *e, const char *name)
{
    return strtoll(text_of(e, name), NULL, 10);
}

// Kafka's LONG settings go up to 2^63-1; what becomes a deadline must not overflow as nanoseconds.
static int64_t timeout_of(const struct effective *e, const char *name)
{
    const int64_t max_ms = INT64_MAX / 1000000 / 4; // some seventy years
    int64_t ms = number_of(e, name);
    return ms < max_ms ? ms : max_ms;
}

static bool flag_of(const struct effective *e, const char *name)
{
    return strcmp(text_of(e, name), "true") == 0;
}

void config_topic_effective(const struct config_overrides *topic,
                            const struct config_overrides *broker, struct topic_config *out)
{
    const struct effective e = {CONFIG_TOPIC, topic, broker};
    const char *policy = text_of(&e, "cleanup.policy");
    const char *class = text_of(&e, "weir.service.class");
    bool internal = text_of(&e, "internal.segment.bytes") != NULL; // Kafka: it wins, for tests
    *out = (struct topic_config){
        .service_class = class[0] == 'r'   ? CLASS_REALTIME
                         : class[0] == 'b' ? CLASS_BULK
                                           : CLASS_STANDARD,
        .segment_bytes =
            (uint64_t)number_of(&e, internal ? "internal.segment.bytes" : "segment.bytes"),
        .segment_ms = number_of(&e, "segment.ms"),
        .index_interval_bytes = (uint32_t)number_of(&e, "index.interval.bytes"),
        .retention_bytes = number_of(&e, "retention.bytes"),
        .retention_ms = number_of(&e, "retention.ms"),
        .cleanup_delete = strstr(policy, "delete") != NULL,
        .cleanup_compact = strstr(policy, "compact") != NULL,
        .max_message_bytes = (uint32_t)number_of(&e, "max.message.bytes"),
        .log_append_time = strcmp(text_of(&e, "message.timestamp.type"), "LogAppendTime") == 0,
        .timestamp_before_max_ms = number_of(&e, "message.timestamp.before.max.ms"),
        .timestamp_after_max_ms = number_of(&e, "message.timestamp.after.max.ms"),
        .min_insync_replicas = (int32_t)number_of(&e, "min.insync.replicas"),
        .relaxed =
            number_of(&e, "flush.messages") != INT64_MAX || number_of(&e, "flush.ms") != INT64_MAX,
        .retention_after_ack_ms = number_of(&e, "weir.retention.after.ack.ms"),
    };
}

void config_broker_effective(const struct config_overrides *broker, struct broker_config *out)
{
    const struct effective e = {CONFIG_BROKER, NULL, broker};
    bool old_name = broker != NULL && config_override_get(broker, "node.id") == NULL;
    *out = (struct broker_config){
        .node_id = (int32_t)number_of(&e, old_name ? "broker.id" : "node.id"),
        .num_partitions = (int32_t)number_of(&e, "num.partitions"),
        .auto_create_topics = flag_of(&e, "auto.create.topics.enable"),
        .message_max_bytes = (uint32_t)number_of(&e, "message.max.bytes"),
        .request_max_bytes = (uint32_t)number_of(&e, "socket.request.max.bytes"),
        .connections_max_idle_ms = timeout_of(&e, "connections.max.idle.ms"),
        .max_connections = (int32_t)number_of(&e, "max.connections"),
        .max_connections_per_ip = (int32_t)number_of(&e, "max.connections.per.ip"),
        .group_initial_rebalance_delay_ms = number_of(&e, "group.initial.rebalance.delay.ms"),
        .group_min_session_ms = number_of(&e, "group.min.session.timeout.ms"),
        .group_max_session_ms = number_of(&e, "group.max.session.timeout.ms"),
        .group_max_size = (int32_t)number_of(&e, "group.max.size"),
        .offsets_retention_ms = number_of(&e, "offsets.retention.minutes") * 60 * 1000,
        .offset_metadata_max_bytes = (int32_t)number_of(&e, "offset.metadata.max.bytes"),
        .producer_expiration_ms = number_of(&e, "producer.id.expiration.ms"),
        .retention_check_ms = timeout_of(&e, "log.retention.check.interval.ms"),
        .delete_topics = flag_of(&e, "delete.topic.enable"),
        .fetch_max_bytes = (uint32_t)number_of(&e, "fetch.max.bytes"),
        .default_replication_factor = (int32_t)number_of(&e, "default.replication.factor"),
        .fetch_sessions_max = (uint32_t)number_of(&e, "max.incremental.fetch.session.cache.slots"),
        .journal_file_bytes = (uint64_t)number_of(&e, "weir.journal.file.bytes"),
        .journal_files = (int32_t)number_of(&e, "weir.journal.files"),
        .journal_direct_min_bytes = (uint64_t)number_of(&e, "weir.journal.direct.min.bytes"),
        .journal_spin_us = number_of(&e, "weir.journal.spin.us"),
        .tail_bytes = (uint64_t)number_of(&e, "weir.tail.bytes"),
        .checkpoint_min_interval_ms = timeout_of(&e, "weir.checkpoint.min.interval.ms"),
        .memory_bytes = number_of(&e, "weir.memory.bytes"),
    };
}
