// SPDX-License-Identifier: Apache-2.0
//
// Asking a queue's shard.
#include "amqp/ask.h"

#include <string.h>

#include "base/mem.h"

static void ask_free(struct amqp_ask *a)
{
    budget_give(shard_request_budget(a->shard), sizeof *a);
    mem_free(a);
}

static void ask_drop(struct amqp_wait *wait)
{
    ask_free(CONTAINER_OF(wait, struct amqp_ask, wait));
}

static void ask_done(struct queue_ask *ask)
{
    struct amqp_ask *a = CONTAINER_OF(ask, struct amqp_ask, ask);
    amqp_wait_end(&a->wait);
    if (a->wait.channel != NULL)
        a->answer(a, a->wait.channel);
    ask_free(a);
}

void amqp_ask(struct amqp_channel *ch, uint32_t method, const struct queue_facts *queue,
              bool no_wait, const struct queue_ask *ask,
              void (*answer)(struct amqp_ask *a, struct amqp_channel *ch))
{
    struct shard *shard = ch->session->shard;
    if (budget_take(shard_request_budget(shard), sizeof(struct amqp_ask)) != 0) {
        amqp_fail_err(ch, method, ERR_BUDGET, "");
        return;
    }
    struct amqp_ask *a = mem_zalloc(sizeof *a);
    a->ask = *ask;
    a->ask.id = queue->id;
    a->ask.done = ask_done;
    a->shard = shard;
    a->no_wait = no_wait;
    a->answer = answer;
    ASSERT(queue->name.len <= sizeof a->text);
    memcpy(a->text, queue->name.data, queue->name.len);
    a->name = slice_of(a->text, queue->name.len);
    amqp_wait_begin(ch->conn, ch, &a->wait, true, ask_drop);
    queue_ask_start(shard, &a->ask);
}
