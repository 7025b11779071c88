// SPDX-License-Identifier: Apache-2.0
//
// What the requests about many partitions share: one array of parts, the door's own error for each,
// and the way back to the request. Private to the room.
#ifndef WEIR_KAFKA_SCATTER_H
#define WEIR_KAFKA_SCATTER_H

#include "kafka/resolve.h"

struct kafka_scatter { // r->state
    struct scatter scatter;
    struct kafka_request *r;
    void (*answer)(struct kafka_request *r);
    void *parts;
    int *errs; // the door's own, by part
    void *own; // the handler's
};

// `size` is that of the job's part. False: kafka_fail has been called.
bool kafka_scatter_new(struct kafka_request *r, enum scatter_job job, size_t count, size_t size,
                       void (*answer)(struct kafka_request *r));
void kafka_scatter_start(struct kafka_request *r); // then `answer` runs, in a later turn

#endif
