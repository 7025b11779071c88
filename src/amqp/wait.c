// SPDX-License-Identifier: Apache-2.0
//
// Waiting for the node. A wait outlives its channel and its connection: the answer comes to
// somebody, who finds out that nobody is left to hear it.
#include "amqp/conn.h"

static void wait_release(struct amqp_wait *wait)
{
    struct amqp_conn *conn = wait->conn;
    if (!wait->holds)
        return;
    ASSERT(conn != NULL);
    ASSERT(conn->holds > 0);
    wait->holds = false;
    if (--conn->holds == 0)
        amqp_conn_mark(conn);
}

void amqp_wait_begin(struct amqp_conn *conn, struct amqp_channel *channel, struct amqp_wait *wait,
                     bool holds, void (*drop)(struct amqp_wait *wait))
{
    ASSERT(channel == NULL || channel->conn == conn);
    wait->door = conn->door;
    wait->conn = conn;
    wait->channel = channel;
    wait->holds = holds;
    wait->drop = drop;
    list_push_back(&conn->waits, &wait->link);
    conn->holds += holds ? 1 : 0;
}

void amqp_wait_end(struct amqp_wait *wait)
{
    struct amqp_conn *conn = wait->conn;
    ASSERT(wait->channel == NULL || wait->channel->state == AMQP_CHANNEL_IS_OPEN);
    list_remove(&wait->link);
    wait_release(wait);
    if (conn != NULL && conn->state == AMQP_CONN_LEAVING && conn->holds == 0)
        amqp_connection_left(conn);
}

void amqp_waits_leave(struct amqp_conn *conn, struct amqp_channel *ch)
{
    LIST_FOR (it, &conn->waits) {
        struct amqp_wait *wait = CONTAINER_OF(it, struct amqp_wait, link);
        if (wait->channel != ch)
            continue;
        wait_release(wait);
        wait->channel = NULL;
    }
}

void amqp_waits_orphan(struct amqp_conn *conn)
{
    LIST_FOR_SAFE (it, &conn->waits) {
        struct amqp_wait *wait = CONTAINER_OF(it, struct amqp_wait, link);
        ASSERT(wait->channel == NULL);
        wait->holds = false;
        wait->conn = NULL;
        list_remove(it);
        list_push_back(&conn->door->waits, it);
    }
    conn->holds = 0;
}
