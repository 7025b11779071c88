// SPDX-License-Identifier: Apache-2.0
//
// Names around queues: the topic of a queue, virtual hosts, numbers for those who hold leases.
//
// A topic's name takes fewer characters than a queue's (Kafka: ASCII letters, digits, '.', '_' and
// '-', at most 249). What is legal stays readable; the rest is written so that no two queues have
// the same topic:
//
//   _xHH   a byte that Kafka forbids, in hexadecimal
//   _v.    ends the virtual host's name, unless that is "/"
//   _h     then 16 hexadecimal digits: the name was too long, was cut, and this is its hash
//
// so an underscore before a literal x, v or h is written as _x5F. Two cut names with one hash are
// possible and refused when the second is declared.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "node/queue_delay.h"

#define HASH_TEXT 18 // "_h" and 16 digits

struct name_out { // counts what does not fit any more
    char *text;
    size_t len;
};

static void char_put(struct name_out *out, char c)
{
    if (out->len < TOPIC_NAME_MAX)
        out->text[out->len] = c;
    out->len++;
}

static void escape_put(struct name_out *out, uint8_t byte)
{
    static const char digits[] = "0123456789ABCDEF";
    char_put(out, '_');
    char_put(out, 'x');
    char_put(out, digits[byte >> 4]);
    char_put(out, digits[byte & 15]);
}

static bool legal(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static void name_put(struct name_out *out, struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        uint8_t next = i + 1 < name.len ? name.data[i + 1] : 0;
        bool mark = c == '_' && (next == 'x' || next == 'v' || next == 'h');
        if (legal(c) && !mark)
            char_put(out, (char)c);
        else
            escape_put(out, c);
    }
}

void queue_topic_name(struct slice vhost, struct slice name, char out[QUEUE_TOPIC_NAME_SIZE])
{
    struct name_out o = {.text = out};
    bool root = slice_eq_cstr(vhost, "/");
    if (!root) {
        name_put(&o, vhost);
        char_put(&o, '_');
        char_put(&o, 'v');
        char_put(&o, '.');
    }
    if (root && (slice_eq_cstr(name, ".") || slice_eq_cstr(name, ".."))) { // Kafka forbids both
        for (size_t i = 0; i < name.len; i++)
            escape_put(&o, '.');
    } else {
        name_put(&o, name);
    }
    if (o.len > TOPIC_NAME_MAX) {
        uint64_t hash = hash64(name.data, name.len, hash64(vhost.data, vhost.len, 0));
        o.len = TOPIC_NAME_MAX;
        (void)snprintf(out + TOPIC_NAME_MAX - HASH_TEXT, HASH_TEXT + 1, "_h%016llx",
                       (unsigned long long)hash);
    }
    out[o.len] = '\0';
}

// ---- claims (node/claims.h)

uint64_t claim_queue(struct slice vhost, struct slice name)
{
    char topic[QUEUE_TOPIC_NAME_SIZE];
    queue_topic_name(vhost, name, topic);
    return claim_topic(slice_cstr(topic));
}

uint64_t claim_exchange(struct slice vhost, struct slice name)
{
    return hash64(name.data, name.len, hash64(vhost.data, vhost.len, 'x'));
}

// ---- virtual hosts

// The next word of a list, without blanks around it; null at the end.
static struct slice word_next(const char **text)
{
    const char *p = *text;
    if (*p == '\0')
        return SLICE_NULL;
    size_t len = strcspn(p, ",");
    struct slice word = slice_of(p, len);
    *text = p + len + (p[len] == ',');
    for (; word.len > 0 && word.data[0] == ' '; word.len--)
        word.data++;
    while (word.len > 0 && word.data[word.len - 1] == ' ')
        word.len--;
    return word;
}

static const char *vhosts_text(struct shard *shard)
{
    enum config_source source;
    const struct config_def *def = config_find(CONFIG_BROKER, slice_cstr("weir.amqp.vhosts"));
    ASSERT(def != NULL);
    return config_effective_text(def, NULL, &shard->broker_overrides, &source);
}

void vhosts_listed_add(struct shard *shard)
{
    const char *text = vhosts_text(shard);
    for (struct slice word; (word = word_next(&text)).data != NULL;)
        if (word.len > 0 && !slice_eq_cstr(word, "*") && !slice_eq_cstr(word, DELAY_VHOST))
            exchanges_vhost_add(shard->replica.exchanges, word);
}

static bool listed(struct shard *shard, struct slice vhost, bool *any)
{
    const char *text = vhosts_text(shard);
    bool found = false;
    *any = false;
    for (struct slice word; (word = word_next(&text)).data != NULL;) {
        *any = *any || slice_eq_cstr(word, "*");
        found = found || slice_eq(word, vhost);
    }
    return found;
}

bool vhost_known(struct shard *shard, struct slice vhost)
{
    struct queue_replica *r = &shard->replica;
    bool any;
    bool known = listed(shard, vhost, &any);
    if (slice_eq_cstr(vhost, DELAY_VHOST))
        return false; // the node's own
    if (!known && (!any || vhost.len > MESSAGE_NAME_MAX))
        return false;
    if (exchanges_vhost_exists(r->exchanges, vhost)) // listed, or used before
        return true;
    if (r->vhosts_extra >= VHOSTS_MAX)
        return false;
    r->vhosts_extra++;
    exchanges_vhost_add(r->exchanges, vhost);
    return true;
}

// ---- holders

uint64_t node_holder_new(struct shard *shard)
{
    _Static_assert(NODE_SHARDS_MAX <= 256, "a shard fits into eight bits");
    return ++shard->replica.holders << 8 | shard->index;
}

uint32_t node_holder_shard(uint64_t holder)
{
    return (uint32_t)(holder & 255);
}
