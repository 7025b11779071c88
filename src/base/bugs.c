// SPDX-License-Identifier: Apache-2.0
//
// The planted bugs' names. See bugs.h for why they exist at all.
#include "base/bugs.h"

#include <string.h>

enum bug bug_planted = BUG_NONE;

static const struct {
    const char *name;
    const char *text;
} rows[BUG_COUNT] = {[BUG_NONE] = {"none", "no planted bug"},
#define BUG_ROW(id, name, what) [BUG_##id] = {name, what},
                     BUG_TABLE(BUG_ROW)
#undef BUG_ROW
};

const char *bug_name(enum bug which)
{
    ASSERT(which < BUG_COUNT);
    return rows[which].name;
}

const char *bug_text(enum bug which)
{
    ASSERT(which < BUG_COUNT);
    return rows[which].text;
}

enum bug bug_by_name(const char *name)
{
    for (int i = 0; i < BUG_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return (enum bug)i;
    return BUG_NONE;
}
