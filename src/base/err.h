// SPDX-License-Identifier: Apache-2.0
//
// All errors of the program: one table (schema/errors.tab) of name, text, Kafka error code, AMQP
// reply code and HTTP status. Functions return 0 or one of these negative values; positive returns
// are counts where a header says so.
#ifndef WEIR_BASE_ERR_H
#define WEIR_BASE_ERR_H

#include <stdint.h>

#include "base/gen/err_enum.h" // enum err { ERR_IO = -1, … }, generated

const char *err_name(int err); // "ERR_IO"; "OK" for 0
const char *err_text(int err); // a sentence for people, without final dot
int16_t
err_kafka(int err); // Kafka's code; UNKNOWN_SERVER_ERROR (-1) where Kafka has no better word
int err_from_kafka(
    int16_t code); // the ERR_* of a Kafka code; ERR_UNKNOWN_SERVER for codes not in the table
uint16_t err_amqp(int err); // AMQP 0-9-1 reply code, 541 internal-error by default
int err_http(int err);      // HTTP status, 500 by default

#endif
