// SPDX-License-Identifier: Apache-2.0
//
// A command's conversation with a running server: one connection, one call after the other, waited
// for. Under it are the same loop and the same client as everywhere; the main thread sleeps until
// an answer has come.
#ifndef WEIR_CLI_SESSION_H
#define WEIR_CLI_SESSION_H

#include "kafka/client.h"

struct cli_session;

// `address`: HOST:PORT or NULL for WEIR_KAFKA or the default, 127.0.0.1:9092. Prints what went
// wrong and what to do; returns an exit code.
int cli_session_open(const char *address, struct cli_session **out);
void cli_session_close(struct cli_session *session); // accepts NULL
// The newest version up to version_max that both the schema and the server know. 0, or an exit code
// after a message. *out_response is of the API's response type and lives until the next call.
int cli_session_call(struct cli_session *session, int16_t api_key, int version_max,
                     const void *request, const void **out_response);

#endif
