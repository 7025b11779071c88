// SPDX-License-Identifier: Apache-2.0
//
// Loading libmicrohttpd: its functions by name, once.
#include "http/mhd.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"

#define MHD_LIBRARY "libmicrohttpd.so.12" // the ABI of the header that this was built with

_Static_assert(sizeof(void *) == sizeof(void (*)(void)), "POSIX: dlsym returns functions as well");

static int symbol(void *library, const char *name, void *out_function)
{
    void *found = dlsym(library, name);
    if (found == NULL)
        return ERR_UNSUPPORTED;
    memcpy(out_function, &found, sizeof found);
    return 0;
}

int mhd_load(const struct mhd **out)
{
    static struct mhd table;
    static void *library;
    int err = 0;
    if (library == NULL) {
        void *opened = dlopen(MHD_LIBRARY, RTLD_NOW | RTLD_LOCAL);
        if (opened == NULL)
            return ERR_UNSUPPORTED;
#define MHD_LOAD(name) \
    if (err == 0)      \
        err = symbol(opened, "MHD_" #name, &table.name);
        MHD_FUNCTIONS(MHD_LOAD)
#undef MHD_LOAD
        if (err != 0) {
            (void)dlclose(opened);
            return err;
        }
        library = opened;
    }
    *out = &table;
    return 0;
}
