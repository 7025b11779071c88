// SPDX-License-Identifier: Apache-2.0
//
// The counters by name: schema/metrics.tab, read once per question. Names have dots, units stand
// beside them; another way to look at them (Prometheus) derives its own names from these.
#include "node/status.h"

uint32_t status_metrics(const struct status *s, struct status_metric *out, uint32_t max)
{
    const struct status_metric all[] = {
#define M(metric_name, metric_unit, expression, metric_doc) \
    {.name = metric_name, .unit = metric_unit, .doc = metric_doc, .value = (int64_t)(expression)},
#include "../../schema/metrics.tab"
#undef M
    };
    uint32_t count = sizeof all / sizeof all[0];
    for (uint32_t i = 0; i < count && i < max; i++)
        out[i] = all[i];
    return count;
}
