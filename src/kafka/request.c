// SPDX-License-Identifier: Apache-2.0
//
// A request from its frame to its answer. Everything it needs lies in its own arena or frame, so
// one free at the end gives all of it back. Memory is taken from the shard's budget before it is
// made: the frame by its blob, what is decoded and what handlers make by the arena's blocks. The
// answer's encoding is paid for when it is there.
#include <string.h>

#include "base/mem.h"
#include "kafka/conn.h"

#define ARENA_BASE_BYTES (256U << 10)
#define ARENA_PER_BYTE   32U // decoded structs are larger than what they were made from
#define ARENA_MAX_BYTES  (512U << 20)

static size_t arena_limit(size_t frame_len)
{
    if (frame_len > (ARENA_MAX_BYTES - ARENA_BASE_BYTES) / ARENA_PER_BYTE)
        return ARENA_MAX_BYTES;
    return ARENA_BASE_BYTES + ARENA_PER_BYTE * frame_len;
}

static void request_charge(struct kafka_request *r, size_t bytes)
{
    ASSERT(bytes <= SIZE_MAX - r->charged_bytes);
    budget_force(shard_request_budget(kafka_shard(r)), bytes);
    r->charged_bytes += bytes;
}

// ---- making

static bool version_served(const struct kafka_request *r)
{
    return wire_kafka_api_has(r->wire, r->version);
}

static int request_header(struct kafka_request *r)
{
    struct cursor in = cursor_of(slice_of(r->frame->data, r->frame_len));
    struct kafka_request_header header = {0};
    int err = wire_request_header_decode(&in, &r->arena, &r->wire, &header);
    if (err != 0)
        return err;
    r->api = kafka_handler_find(header.request_api_key);
    if (r->api == NULL || r->wire == NULL)
        return ERR_UNSUPPORTED;
    r->version = header.request_api_version;
    r->correlation_id = header.correlation_id;
    r->client_id = header.client_id;
    r->body_at = (size_t)(in.pos - r->frame->data);
    ASSERT(r->body_at <= r->frame_len);
    // KIP-511: "if the broker does not support the version, it answers version 0 with
    // UNSUPPORTED_VERSION", so that a newer client can choose again.
    return version_served(r) || r->api->key == KAFKA_API_API_VERSIONS ? 0 : ERR_UNSUPPORTED_VERSION;
}

int kafka_request_create(struct kafka_conn *conn, struct blob *frame, size_t len,
                         struct kafka_request **out)
{
    ASSERT(frame != NULL);
    ASSERT(len <= frame->size);
    struct kafka_request *r = mem_zalloc(sizeof *r);
    r->conn = conn;
    r->door = conn->door;
    r->frame = frame;
    r->frame_len = len;
    r->began_ns = io_now_ns(r->door->io);
    list_init(&r->link);
    arena_init(&r->arena, arena_limit(len));
    arena_pay_from(&r->arena, shard_request_budget(r->door->shard));
    wire_out_init(&r->out, KAFKA_ANSWER_MAX);
    int err = request_header(r);
    if (err != 0) {
        kafka_request_free(r);
        return err;
    }
    r->context = (struct request_context){
        .principal = slice_cstr("User:ANONYMOUS"),
        .client_id = r->client_id,
        .service_class = CLASS_STANDARD,
        .budget = shard_request_budget(r->door->shard),
    };
    *out = r;
    return 0;
}

static int request_decode(struct kafka_request *r)
{
    r->message = arena_zalloc(&r->arena, r->wire->request->root->size);
    ASSERT(r->message != NULL);
    if (!version_served(r))
        return 0;
    struct cursor in = cursor_of(slice_of(r->frame->data + r->body_at, r->frame_len - r->body_at));
    int err = wire_decode(r->wire->request, r->version, &in, &r->arena, r->message);
    r->arena.limit_bytes = ARENA_MAX_BYTES;
    return err;
}

int kafka_request_start(struct kafka_request *r)
{
    ASSERT(r->progress == REQUEST_WAITING);
    struct shard_counters *counters = shard_counters(kafka_shard(r));
    counters->requests++;
    int err = request_decode(r);
    if (err != 0) {
        counters->request_errors++;
        return err;
    }
    ASSERT(r->conn != NULL);
    r->progress = REQUEST_RUNNING;
    r->api->handle(r);
    return 0;
}

// ---- ending

void kafka_request_free(struct kafka_request *r)
{
    if (r->progress != REQUEST_WAITING && r->api->fini != NULL)
        r->api->fini(r);
    if (r->charged_bytes > 0)
        budget_give(shard_request_budget(r->door->shard), r->charged_bytes);
    wire_out_fini(&r->out);
    arena_fini(&r->arena);
    blob_unref(r->frame);
    mem_free(r);
}

void kafka_request_orphan(struct kafka_request *r)
{
    ASSERT(r->conn->requests_count > 0);
    list_remove(&r->link);
    r->conn->requests_count--;
    r->conn = NULL;
    if (r->progress != REQUEST_RUNNING) {
        kafka_request_free(r);
        return;
    }
    list_push_back(&r->door->orphans, &r->link);
    if (r->api->cancel != NULL && !r->door->closed)
        r->api->cancel(r);
}

static void request_answered(struct kafka_request *r)
{
    ASSERT(r->progress == REQUEST_RUNNING);
    r->progress = REQUEST_ANSWERED;
    struct kafka_conn *conn = r->conn;
    if (conn == NULL) {
        list_remove(&r->link);
        kafka_request_free(r);
        return;
    }
    size_t bytes = wire_out_bytes(&r->out);
    bool head = list_first(&conn->requests) == &r->link; // sending begins, or may go on
    if (head && conn->state == CONN_OPEN)
        conn->since_ns = io_now_ns(r->door->io);
    conn->unsent_bytes += bytes;
    kafka_conn_answered(conn);
}

// The encoded bytes and the pieces between them as one list of runs.
static int request_runs(struct kafka_request *r)
{
    const struct wire_out *out = &r->out;
    size_t runs_max = 1 + out->gaps_count;
    for (uint32_t i = 0; i < out->gaps_count; i++)
        runs_max += out->gaps[i].pieces_count;
    r->iov = arena_array(&r->arena, runs_max, sizeof *r->iov);
    if (r->iov == NULL)
        return ERR_LIMIT;
    size_t at = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i <= out->gaps_count; i++) {
        size_t end = i < out->gaps_count ? out->gaps[i].at : out->buf.len;
        ASSERT(end >= at);
        if (end > at)
            r->iov[n++] = (struct iovec){out->buf.data + at, end - at};
        at = end;
        for (uint32_t p = 0; i < out->gaps_count && p < out->gaps[i].pieces_count; p++) {
            const struct blob_piece *piece = &out->gaps[i].pieces[p];
            if (piece->len > 0)
                r->iov[n++] = (struct iovec){piece->blob->data + piece->off, piece->len};
        }
    }
    ASSERT(n <= runs_max);
    ASSERT(at == out->buf.len);
    r->iov_count = n;
    return 0;
}

void kafka_answer_version(struct kafka_request *r, int version, const void *response)
{
    ASSERT(r->progress == REQUEST_RUNNING); // one answer
    int err = wire_response_frame(r->wire, version, r->correlation_id, response, &r->out);
    if (err == 0)
        err = request_runs(r);
    if (err != 0) {
        kafka_fail(r);
        return;
    }
    request_charge(r, r->out.buf.cap);
    request_answered(r);
}

void kafka_answer(struct kafka_request *r, const void *response)
{
    kafka_answer_version(r, r->version, response);
}

void kafka_answer_nothing(struct kafka_request *r)
{
    ASSERT(r->progress == REQUEST_RUNNING);
    wire_out_clear(&r->out);
    r->iov_count = 0;
    request_answered(r);
}

void kafka_fail(struct kafka_request *r)
{
    shard_counters(kafka_shard(r))->request_errors++;
    r->close_after = true;
    kafka_answer_nothing(r);
}

// ---- what handlers use

void *kafka_alloc(struct kafka_request *r, size_t count, size_t size)
{
    size_t bytes;
    bool fits = !__builtin_mul_overflow(count, size, &bytes) && bytes < ARENA_MAX_BYTES;
    void *array = fits ? arena_zalloc(&r->arena, bytes > 0 ? bytes : 1) : NULL;
    if (array == NULL)
        kafka_fail(r);
    return array;
}

void *kafka_alloc_default(struct kafka_request *r, const struct wire_struct *type, size_t count)
{
    char *array = kafka_alloc(r, count, type->size);
    for (size_t i = 0; array != NULL && i < count; i++)
        wire_default(type, array + i * type->size);
    return array;
}

struct slice kafka_text(struct kafka_request *r, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return SLICE_NULL;
    return arena_slice(&r->arena, slice_cstr(text));
}

struct shard *kafka_shard(const struct kafka_request *r)
{
    return r->door->shard;
}

const struct broker_config *kafka_config(const struct kafka_request *r)
{
    return broker_config(r->door->shard);
}

// ---- addresses

// The address without its port and brackets.
static void addr_host(const struct io_addr *addr, char *out, size_t size)
{
    char text[IO_ADDR_TEXT_SIZE];
    io_addr_text(addr, text);
    char *colon = strrchr(text, ':');
    ASSERT(colon != NULL);
    *colon = '\0';
    struct slice host = slice_cstr(text);
    if (text[0] == '[')
        host = slice_of(text + 1, host.len - 2);
    slice_to_cstr(host, out, size);
}

void kafka_host_self(struct kafka_request *r, struct kafka_host *out)
{
    const struct kafka_door *door = r->door;
    out->node_id = node_id(shard_node(door->shard));
    if (door->advertised_host[0] != '\0') {
        out->host = slice_cstr(door->advertised_host);
        out->port = door->advertised_port;
        return;
    }
    struct io_addr addr = {0};
    char host[IO_ADDR_TEXT_SIZE] = "";
    if (r->conn != NULL && io_sock_addr(r->conn->sock, &addr) == 0)
        addr_host(&addr, host, sizeof host);
    out->host = arena_slice(&r->arena, slice_cstr(host));
    out->port = addr.port;
}

void kafka_client_host(const struct kafka_request *r, char *out, size_t size)
{
    char host[IO_ADDR_TEXT_SIZE] = "";
    if (r->conn != NULL)
        addr_host(&r->conn->peer, host, sizeof host);
    struct buf text;
    buf_init(&text, size);
    buf_printf(&text, "/%s", host);
    slice_to_cstr(buf_slice(&text), out, size);
    buf_fini(&text);
}
