// SPDX-License-Identifier: Apache-2.0
//
// libmicrohttpd (GNU, in Debian), loaded when the HTTP door is opened and not before: it brings a
// TLS library along that would cost every start more than all the rest.
#ifndef WEIR_HTTP_MHD_H
#define WEIR_HTTP_MHD_H

#include <microhttpd.h>

#define MHD_FUNCTIONS(X)           \
    X(start_daemon)                \
    X(stop_daemon)                 \
    X(run)                         \
    X(get_timeout)                 \
    X(get_daemon_info)             \
    X(add_connection)              \
    X(suspend_connection)          \
    X(resume_connection)           \
    X(create_response_from_buffer) \
    X(add_response_header)         \
    X(queue_response)              \
    X(destroy_response)

struct mhd {
#define MHD_MEMBER(name) __typeof__(MHD_##name) *name;
    MHD_FUNCTIONS(MHD_MEMBER)
#undef MHD_MEMBER
};
// ERR_UNSUPPORTED: the library is not installed, or not one that we know. Once per process.
int mhd_load(const struct mhd **out);

#endif
