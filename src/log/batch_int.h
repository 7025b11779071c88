// SPDX-License-Identifier: Apache-2.0
//
// Batch headers, for this room only: reading one whose records are not at hand, and writing one.
#ifndef WEIR_LOG_BATCH_INT_H
#define WEIR_LOG_BATCH_INT_H

#include "log/batch.h"

// As batch_peek, but the first BATCH_HEADER_BYTES suffice; out->size_bytes may exceed bytes.len.
int batch_peek_header(struct slice bytes, struct batch *out);
// Writes all header fields; the size_bytes - BATCH_HEADER_BYTES bytes of records behind it must be
// in place already, since the CRC covers them.
void batch_write_header(uint8_t *out, const struct batch *b);
// Whether one flipped bit of the records is what is wrong with it; never said of long batches,
// where chance would say it too often of what was torn.
bool batch_one_bit_off(struct slice batch);

#endif
