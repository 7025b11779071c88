// SPDX-License-Identifier: Apache-2.0
//
// One run: a universe with a machine that runs the whole node on three shards, and a machine full
// of clients that speak Kafka's protocol to it. The world starts the server, lets it crash in every
// way, starts it again, and in the end lets it come to rest and has everything read back.
//
// Private to the room; what others see is sim/run.h.
#ifndef WEIR_SIM_WORLD_H
#define WEIR_SIM_WORLD_H

#include "amqp/door.h"
#include "base/prng.h"
#include "kafka/client.h"
#include "kafka/door.h"
#include "log/batch.h"
#include "node/node.h"
#include "sim/model.h"
#include "sim/model_queue.h"
#include "sim/run.h"

#define WORLD_SHARDS         3
#define WORLD_CLIENTS_MAX    32
#define WORLD_TOPICS         4
#define WORLD_TOPIC_RETAINED 1 // loses its oldest records by retention
#define WORLD_TOPIC_TRIMMED  2 // and this one by DeleteRecords
#define WORLD_TOPIC_BUNDLED  3 // also written by the bundler
#define WORLD_SETTINGS       32
#define WORLD_PORT           9092
#define WORLD_AMQP_PORT      5672
#define WORLD_APIS           80
#define WORLD_QUEUES         4 // the last one takes the dead letters of the first
#define WORLD_QUEUE_USERS    8

struct bundler;
struct client;
struct queue_user;

enum server_state { SERVER_DOWN, SERVER_STARTING, SERVER_UP, SERVER_STOPPING };
enum world_phase { PHASE_SETUP, PHASE_RUN, PHASE_SETTLE, PHASE_VERIFY, PHASE_OVER };

struct world {
    const struct sim_run_options *options;
    struct sim_run_report *report;
    struct prng prng; // of the world's own decisions
    struct sim *sim;
    struct sim_machine *server_machine, *client_machine;
    struct io_world *server_world, *client_world;
    struct node *node;
    struct kafka_door *doors[WORLD_SHARDS];
    struct amqp_door *amqp_doors[WORLD_SHARDS];
    struct node_scale scale;
    char settings_text[WORLD_SETTINGS][64];
    const char *settings[WORLD_SETTINGS + 1];
    uint32_t settings_count;
    enum server_state server;
    enum world_phase phase;
    bool dying;         // its end is scheduled
    bool restart_asked; // a start is scheduled
    uint32_t failed_starts;
    uint64_t faults_at_start;     // that excuse a server that gives up, counted when it began
    uint64_t read_flips_at_start; // and these a start that fails
    uint32_t rest_flip_ppm;       // while it is on; see damage.c
    uint32_t steps_to_fate;
    bool crash_on_ack;
    enum sim_crash_kind crash_kind;
    struct model model;
    struct history history;
    struct client *clients[WORLD_CLIENTS_MAX];
    uint32_t clients_count;
    int16_t api_min[WORLD_APIS], api_max[WORLD_APIS]; // what the server offers; -1: not known
    bool apis_known;
    struct model_topic *topics[WORLD_TOPICS]; // that live as long as the world
    uint32_t topics_count;
    uint32_t topics_ready; // bit per topic
    uint64_t steps;
    uint64_t next_payload; // makes every batch unlike any other
    int64_t wall_start_ms;
    uint32_t verified;            // readers that have read all
    uint32_t followers, followed; // of them, those that have
    struct model_queues queues;
    struct model_queue *queue_models[WORLD_QUEUES];
    struct queue_user *queue_users[WORLD_QUEUE_USERS];
    uint32_t queue_users_count, queue_sessions;
    uint64_t next_message;
    bool queues_verified;
    bool half_open; // connections may break without a word
    struct bundler *bundler;
    bool disk_may_fill; // then no bundles: an append that is refused would tear one (node/bundle.h)
};

// ---- server.c

void server_plan(struct world *w); // sizes and settings of this run, by dice
void server_start(struct world *w);
void server_crash(struct world *w, enum sim_crash_kind kind); // from anywhere but the server
void server_stop(struct world *w);                            // in order, and then started again
void server_bury(struct world *w);                            // frees what a dead server has left
void server_crashed(void *arg, struct sim_machine *machine);
void server_fate(struct world *w);         // after a step: shall something happen to it?
void server_acknowledged(struct world *w); // a client has just been told that something is durable

// ---- world.c

int64_t world_timestamp(const struct world *w);
void world_step_done(struct world *w);
uint32_t world_dice(struct world *w, uint32_t below);

uint64_t server_faults(const struct world *w); // so far, that excuse a server that gives up

// ---- files.c: the store at rest

void files_check(struct world *w);

// ---- damage.c: bits that change at rest

void damage_flipped(void *arg, struct sim_machine *machine, const char *path, uint64_t offset);
void damage_mend(struct world *w);
void damage_started(struct world *w); // the server has read its store

#endif
