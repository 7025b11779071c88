// SPDX-License-Identifier: Apache-2.0
//
// A user inside the server, as a streaming query will be one: step after step it appends a batch to
// partitions on several shards and commits the step's number as an offset, all in one bundle
// (node/bundle.h). After any crash a step's batches are there exactly if its number is committed.
#ifndef WEIR_SIM_BUNDLER_H
#define WEIR_SIM_BUNDLER_H

#include "sim/world.h"

struct bundler;

struct bundler *bundler_create(struct world *w); // when the topics are planned
void bundler_destroy(struct bundler *b);
void bundler_server_up(struct bundler *b);     // on any actor of the new server
void bundler_server_gone(struct bundler *b);   // before the model is told
void bundler_server_buried(struct bundler *b); // after that, when its memory is gone
// The committed offset was read after everything came to rest; *out: the number of steps.
bool bundler_verified(const struct bundler *b, uint64_t *out);

#endif
