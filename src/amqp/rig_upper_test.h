// SPDX-License-Identifier: Apache-2.0
//
// An upper half for the tests of the lower one: it does what a test tells it, counts what it is
// asked, and keeps what it is given. It stands in for session.c and the classes' files, whose
// symbols the linker then does not look for.
#ifndef WEIR_AMQP_RIG_UPPER_TEST_H
#define WEIR_AMQP_RIG_UPPER_TEST_H

#include "amqp/rig_amqp_test.h"

struct amqp_session { // of a channel
    const struct amqp_channel *ch;
};

struct upper_wait {
    struct amqp_wait wait;
    bool used;
};

static struct upper {
    int64_t sessions; // that are open
    uint32_t opened, rooms, owners;
    uint32_t handled;        // methods
    uint32_t last;           // the last of them
    struct amqp_channel *ch; // whose it was; valid while its session is
    // contents, one behind the other: key, properties, body
    struct buf contents;
    uint32_t contents_count;
    // what to do when a method comes
    bool wait, wait_holds; // begin a wait
    uint16_t fail;         // fail with this code
    const char *fail_text;
    bool owns; // the connection owns something that goes with a wait when it ends
    struct upper_wait waits[64];
    uint32_t dropped;
} upper;

RIG void upper_reset(void)
{
    buf_fini(&upper.contents);
    upper = (struct upper){0};
    buf_init(&upper.contents, 256 << 20);
}

RIG void upper_drop(struct amqp_wait *wait)
{
    CONTAINER_OF(wait, struct upper_wait, wait)->used = false;
    upper.dropped++;
}

RIG void upper_wait_begin(struct amqp_conn *conn, struct amqp_channel *ch, bool holds)
{
    size_t i = 0;
    while (upper.waits[i].used)
        i++;
    upper.waits[i].used = true;
    amqp_wait_begin(conn, ch, &upper.waits[i].wait, holds, upper_drop);
}

// The first wait ends; whether somebody is still there to be answered.
RIG bool upper_wait_end(void)
{
    for (size_t i = 0; i < 64; i++) {
        if (!upper.waits[i].used)
            continue;
        amqp_wait_end(&upper.waits[i].wait);
        upper.waits[i].used = false;
        return upper.waits[i].wait.channel != NULL;
    }
    fail_msg("nobody waits");
    return false;
}

static void upper_handle(struct amqp_channel *ch, uint32_t method)
{
    ASSERT(ch->session != NULL);
    upper.handled++;
    upper.last = method;
    upper.ch = ch;
    if (upper.owns) { // a node in the list of what the connection owns
        static struct list owned;
        list_init(&owned);
        list_push_back(amqp_conn_owned(ch->conn), &owned);
        upper.owns = false;
    }
    if (upper.wait)
        upper_wait_begin(ch->conn, ch, upper.wait_holds);
    if (upper.fail != 0)
        amqp_fail(ch, (enum amqp_code)upper.fail, method, "%s", upper.fail_text);
}

// ---- what the lower half asks for

void amqp_lobby_open(struct amqp_door *door)
{
    ASSERT(door->lobby == NULL);
}

void amqp_lobby_destroy(struct amqp_door *door)
{
    ASSERT(list_empty(&door->waits));
}

bool amqp_session_open(struct amqp_channel *ch)
{
    ch->session = mem_zalloc(sizeof *ch->session);
    ch->session->ch = ch;
    upper.sessions++;
    upper.opened++;
    return true;
}

void amqp_session_close(struct amqp_channel *ch, bool gone)
{
    (void)gone;
    ASSERT(ch->session->ch == ch);
    mem_free(ch->session);
    ch->session = NULL;
    upper.sessions--;
    if (upper.ch == ch)
        upper.ch = NULL;
}

void amqp_session_room(struct amqp_channel *ch)
{
    ASSERT(ch->session != NULL);
    upper.rooms++;
}

bool amqp_leave(struct amqp_conn *conn, struct amqp_channel *ch)
{
    (void)conn;
    (void)ch;
    return false;
}

void amqp_owned_close(struct amqp_conn *conn)
{
    list_remove(list_first(amqp_conn_owned(conn)));
    upper.owners++;
    upper_wait_begin(conn, NULL, true);
}

void amqp_owned_forget(struct amqp_conn *conn)
{
    while (list_pop_front(amqp_conn_owned(conn)) != NULL)
        upper.owners++;
}

#define UPPER_HANDLER(name, NAME)                                                   \
    void amqp_##name##_handle(struct amqp_channel *ch, const struct amqp_##name *m) \
    {                                                                               \
        (void)m;                                                                    \
        upper_handle(ch, AMQP_##NAME);                                              \
    }
AMQP_HANDLERS(UPPER_HANDLER)
#undef UPPER_HANDLER

void amqp_basic_publish_handle(struct amqp_channel *ch, const struct amqp_basic_publish *m,
                               const struct amqp_content *content)
{
    ASSERT(content->read->flags == be16_get(content->properties.data));
    buf_put_slice(&upper.contents, m->routing_key);
    buf_put_slice(&upper.contents, content->properties);
    buf_put_slice(&upper.contents, content->body);
    upper.contents_count++;
    upper_handle(ch, AMQP_BASIC_PUBLISH);
}

#endif
